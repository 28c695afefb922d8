import { connect, launch, workflow, type Engine } from "perdure";
import { openCeiling } from "../ceiling/ceiling.js";
import { cpuPer1000, inFlight, inFlightFor, median, percentile, stopwatch } from "../measure.js";
import type { Figures } from "../report.js";
import { backendNames } from "../sites.js";
import type { Bench, Role, Workload } from "../workload.js";

const empty = workflow("empty", async (_ctx, order: number) => order);

/** W1: start to result of a workflow that does nothing. */
export const emptyWorkflow: Workload = {
  name: "W1",
  title: "an empty workflow, start to result, within a process and across two",
  backends: backendNames,
  async run(bench) {
    const many = bench.quick ? 3_000 : 20_000;
    const engine = await launch({ backend: bench.openBackend(), workflows: [empty] });
    const execute = (index: number): Promise<number> => engine.execute(empty, index);
    await inFlight(1_000, 100, execute);
    const alone = await inFlight(bench.quick ? 200 : 500, 1, execute);
    const elapsed = stopwatch(bench.serverPid);
    const together = await inFlight(many, 100, execute);
    const span = elapsed();
    const bulk = await measureBulk(engine, many);
    await engine.close();
    const across = bench.backend === "memory" ? {} : await measureAcross(bench);
    const ceiling = await commitTime(bench);
    return {
      figures: {
        c1P50Ms: median(alone),
        c1P99Ms: percentile(alone, 0.99),
        workflowsPerSec: (many / span.wallMs) * 1000,
        c100P50Ms: median(together),
        c100P99Ms: percentile(together, 0.99),
        ...cpuPer1000(span, many),
        ...bulk,
        ...across,
      },
      ...(ceiling && { ceiling }),
    };
  },
  roles: { worker: (...args) => worker(...args) },
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

/** The client here, the worker in another process. By time, not by number: where processes hear of one another by polling only, each takes up to a second. */
async function measureAcross(bench: Bench): Promise<Figures> {
  const other = bench.spawn("worker");
  await other.hear("ready");
  const client = await connect({ backend: bench.openBackend() });
  const execute = (index: number): Promise<number> => client.execute(empty, index);
  const shortMs = bench.quick ? 1_500 : 4_000;
  await inFlightFor(shortMs, 100, execute);
  const alone = await inFlightFor(shortMs, 1, execute);
  const elapsed = stopwatch();
  const together = await inFlightFor(2 * shortMs, 100, execute);
  const { wallMs } = elapsed();
  await client.close();
  await other.stop();
  return {
    acrossC1P50Ms: median(alone),
    acrossC1P99Ms: percentile(alone, 0.99),
    acrossWorkflowsPerSec: (together.length / wallMs) * 1000,
    acrossC100P50Ms: median(together),
  };
}

async function commitTime({ place, folder }: Bench): Promise<Figures | undefined> {
  const ceiling = await openCeiling(place, folder, undefined);
  if (ceiling === undefined) return undefined;
  const commits = await ceiling.commits(500);
  await ceiling.close();
  return { commitP50Ms: median(commits), commitP99Ms: percentile(commits, 0.99) };
}

const worker: Role = async (bench, post) => {
  const engine = await launch({ backend: bench.openBackend(), workflows: [empty] });
  post.tell({ type: "ready" });
  await post.hear("stop");
  await engine.close();
};
