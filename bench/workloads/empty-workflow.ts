import { launch, workflow, type Engine } from "perdure";
import { openCeiling } from "../ceiling/sqlite-ceiling.js";
import { inFlight, median, percentile, stopwatch } from "../measure.js";
import type { Figures } from "../report.js";
import type { Workload } from "../workload.js";

const empty = workflow("empty", async (_ctx, order: number) => order);

/** W1: start to result of a workflow that does nothing. */
export const emptyWorkflow: Workload = {
  name: "W1",
  title: "an empty workflow, start to result",
  backends: ["sqlite", "memory"],
  async run(bench) {
    const single = bench.quick ? 200 : 500;
    const many = bench.quick ? 3_000 : 20_000;
    const engine = await launch({ backend: bench.openBackend(), workflows: [empty] });
    const execute = (index: number): Promise<number> => engine.execute(empty, index);
    await inFlight(1_000, 100, execute);
    const alone = await inFlight(single, 1, execute);
    const elapsed = stopwatch();
    const together = await inFlight(many, 100, execute);
    const { wallMs, cpuMs } = elapsed();
    const bulk = await measureBulk(engine, many);
    await engine.close();
    return {
      figures: {
        c1P50Ms: median(alone),
        c1P99Ms: percentile(alone, 0.99),
        workflowsPerSec: (many / wallMs) * 1000,
        c100P50Ms: median(together),
        c100P99Ms: percentile(together, 0.99),
        nodeCpuMsPer1000: (cpuMs / many) * 1000,
        ...bulk,
      },
      ...(bench.backend === "sqlite" && { ceiling: await commitTime(bench.folder) }),
    };
  },
};

/** Starts them all, then waits for them all. */
async function measureBulk(engine: Engine, total: number): Promise<Figures> {
  const elapsed = stopwatch();
  const handles = await Promise.all(Array.from({ length: total }, (_, index) => engine.start(empty, index)));
  const results = await Promise.all(handles.map((handle) => handle.result()));
  const { wallMs } = elapsed();
  if (results.some((result, index) => result !== index)) throw new Error("a workflow gave another result than its input");
  return { bulkWorkflowsPerSec: (total / wallMs) * 1000 };
}

async function commitTime(folder: string): Promise<Figures> {
  const ceiling = await openCeiling(folder);
  const commits = ceiling.commits(500);
  ceiling.close();
  return { commitP50Ms: median(commits), commitP99Ms: percentile(commits, 0.99) };
}
