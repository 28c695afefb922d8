import { launch, workflow, type Engine } from "perdure";
import { openCeiling } from "../ceiling/sqlite-ceiling.js";
import { inFlight, median, percentile, stopwatch } from "../measure.js";
import type { Figures, Measurement } from "../report.js";
import { counted } from "../store-counts.js";
import { stepResult } from "../values.js";
import { walCommits } from "../wal-commits.js";
import type { Bench, Workload } from "../workload.js";

const stepCount = 10;

const steps = workflow("ten-steps", async (ctx, order: number) => {
  let amount = 0;
  for (let index = 0; index < stepCount; index++) {
    const result = await ctx.step(`step ${index}`, () => stepResult(order));
    amount += result.amount;
  }
  return amount;
});

async function execute(engine: Engine, order: number): Promise<void> {
  const amount = await engine.execute(steps, order);
  if (amount !== stepCount * stepResult(order).amount) throw new Error(`a workflow gave ${amount}`);
}

/** W2: ten sequential steps. */
export const tenSteps: Workload = {
  name: "W2",
  title: "ten sequential steps with results of about 100 bytes",
  backends: ["sqlite", "memory"],
  async run(bench): Promise<Measurement> {
    const costs = await measureCosts(bench);
    const engine = await launch({ backend: bench.openBackend(), workflows: [steps] });
    const many = bench.quick ? 1_000 : 2_000;
    await inFlight(many, 100, (index) => execute(engine, index));
    const alone = await inFlight(bench.quick ? 50 : 200, 1, (index) => execute(engine, index));
    const rounds = await measureRounds(bench, engine, many);
    const bulk = await measureBulk(engine, many);
    await engine.close();
    return {
      figures: { c1P50Ms: median(alone), c1P99Ms: percentile(alone, 0.99), ...costs, ...rounds.figures, ...bulk },
      ...(rounds.ceiling && { ceiling: rounds.ceiling }),
    };
  },
};

/** What one workflow at a time asks of the store, and what the database file says of that. */
async function measureCosts(bench: Bench): Promise<Figures> {
  const { backend, counts } = counted(bench.openBackend());
  const engine = await launch({ backend, workflows: [steps] });
  await inFlight(5, 1, (index) => execute(engine, index));
  const before = { ...counts };
  const commitsBefore = bench.backend === "sqlite" ? walCommits(bench.databaseFile) : 0;
  const total = 50;
  await inFlight(total, 1, (index) => execute(engine, index));
  // A lease that is renewed meanwhile is a commit, but not one of a workflow.
  const renewals = counts.renewals - before.renewals;
  const commits = bench.backend === "sqlite" ? walCommits(bench.databaseFile) - commitsBefore - renewals : counts.applies - before.applies;
  const figures = {
    transactionsPerWorkflow: commits / total,
    appliesPerWorkflow: (counts.applies - before.applies) / total,
    storeCallsPerWorkflow: (counts.calls - before.calls - renewals) / total,
    rowsPerStep: (counts.rows - before.rows) / total / stepCount,
    historyRowsPerStep: (counts.historyRows - before.historyRows) / total / stepCount,
  };
  await engine.close();
  return figures;
}

/** Ceiling and workload take turns, so that both meet the same neighbours. */
async function measureRounds(
  bench: Bench,
  engine: Engine,
  many: number,
): Promise<{ readonly figures: Figures; readonly ceiling: Figures | undefined }> {
  const ceiling = bench.backend === "sqlite" ? await openCeiling(bench.folder) : undefined;
  ceiling?.steps(many / 2);
  const own: { stepsPerSec: number; cpuPer1000: number; p50Ms: number; p99Ms: number }[] = [];
  const best: { stepsPerSec: number; cpuPer1000: number }[] = [];
  for (let round = 0; round < (bench.quick ? 3 : 5); round++) {
    if (ceiling !== undefined) {
      const span = ceiling.steps(many);
      best.push({ stepsPerSec: (span.steps / span.wallMs) * 1000, cpuPer1000: (span.cpuMs / span.steps) * 1000 });
    }
    const elapsed = stopwatch();
    const latencies = await inFlight(many, 100, (index) => execute(engine, index));
    const { wallMs, cpuMs } = elapsed();
    const done = many * stepCount;
    own.push({
      stepsPerSec: (done / wallMs) * 1000,
      cpuPer1000: (cpuMs / done) * 1000,
      p50Ms: median(latencies),
      p99Ms: percentile(latencies, 0.99),
    });
  }
  const figures = {
    stepsPerSec: median(own.map((round) => round.stepsPerSec)),
    nodeCpuMsPer1000: median(own.map((round) => round.cpuPer1000)),
    p50Ms: median(own.map((round) => round.p50Ms)),
    p99Ms: median(own.map((round) => round.p99Ms)),
  };
  if (ceiling === undefined) return { figures, ceiling: undefined };
  const commits = ceiling.commits(300);
  ceiling.close();
  const limit = {
    driver: ceiling.driver,
    stepsPerSec: median(best.map((round) => round.stepsPerSec)),
    nodeCpuMsPer1000: median(best.map((round) => round.cpuPer1000)),
    commitP50Ms: median(commits),
  };
  const shares = own.map((round, index) => round.stepsPerSec / (best[index]?.stepsPerSec ?? Number.NaN));
  const engineCpuMsPer1000 = figures.nodeCpuMsPer1000 - limit.nodeCpuMsPer1000;
  return { figures: { ...figures, shareOfCeiling: median(shares), engineCpuMsPer1000 }, ceiling: limit };
}

/** Starts them all, then waits for them all. */
async function measureBulk(engine: Engine, total: number): Promise<Figures> {
  const elapsed = stopwatch();
  const handles = await Promise.all(Array.from({ length: total }, (_, index) => engine.start(steps, index)));
  await Promise.all(handles.map((handle) => handle.result()));
  const { wallMs, cpuMs } = elapsed();
  const done = total * stepCount;
  return { bulkStepsPerSec: (done / wallMs) * 1000, bulkNodeCpuMsPer1000: (cpuMs / done) * 1000 };
}
