import { launch, workflow, type Engine } from "perdure";
import { openCeiling, type Ceiling } from "../ceiling/ceiling.js";
import { hotUpdateShare } from "../hot-updates.js";
import { cpuPer1000, delay, inFlight, median, percentile, stopwatch, type Span } from "../measure.js";
import type { Figures, Measurement } from "../report.js";
import { openProbe, type Probe } from "../server-probe.js";
import { backendNames } from "../sites.js";
import { counted, type StoreCounts } from "../store-counts.js";
import { stepResult } from "../values.js";
import type { Bench, Workload } from "../workload.js";

const stepCount = 10;
/** One to start, one for each step; the end goes with the last of them. */
const transactionsPerWorkflow = stepCount + 1;

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
  backends: backendNames,
  async run(bench): Promise<Measurement> {
    const costs = await measureCosts(bench);
    const engine = await launch({ backend: bench.openBackend(), workflows: [steps] });
    const many = bench.quick ? 1_000 : 2_000;
    await inFlight(many, 100, (index) => execute(engine, index));
    const alone = await inFlight(bench.quick ? 50 : 200, 1, (index) => execute(engine, index));
    const rounds = await measureRounds(bench, engine, many);
    const bulk = await measureBulk(bench, engine, many);
    await engine.close();
    const hotShare = await hotUpdateShare(bench.place);
    const { transactionsPerWorkflow: transactions } = costs;
    return {
      figures: {
        c1P50Ms: median(alone),
        c1P99Ms: percentile(alone, 0.99),
        ...costs,
        ...rounds.figures,
        ...bulk,
        ...(hotShare !== undefined && { hotUpdateShare: hotShare }),
      },
      ...(rounds.ceiling && { ceiling: rounds.ceiling }),
      errors:
        transactions === transactionsPerWorkflow
          ? []
          : [`a workflow of ${stepCount} steps took ${transactions} write transactions, not ${transactionsPerWorkflow}`],
    };
  },
};

/** What one workflow at a time asks of the store, and what the database says of that. */
async function measureCosts({ place, openBackend }: Bench): Promise<Figures & { readonly transactionsPerWorkflow: number }> {
  const probe = await openProbe(place);
  const { backend, counts } = counted(openBackend());
  const engine = await launch({ backend, workflows: [steps] });
  await inFlight(5, 1, (index) => execute(engine, index));
  const total = 50;
  const samples: Sample[] = [];
  for (let index = 0; index < total; index++) samples.push(await sampleOne(engine, index, counts, probe));
  await engine.close();
  await probe?.close();
  // The median: a lease that is renewed, or a table that the server analyses meanwhile, is a transaction, but not one of a workflow.
  const of = (name: keyof Sample): number => median(samples.map((sample) => sample[name]));
  return {
    transactionsPerWorkflow: of("transactions"),
    ...(Number.isNaN(of("statements")) ? {} : { statementsPerWorkflow: of("statements"), roundTripsPerWorkflow: of("roundTrips") }),
    appliesPerWorkflow: of("applies"),
    storeCallsPerWorkflow: of("calls"),
    rowsPerStep: of("rows") / stepCount,
    historyRowsPerStep: of("historyRows") / stepCount,
  };
}

interface Sample {
  readonly transactions: number;
  readonly statements: number;
  readonly roundTrips: number;
  readonly applies: number;
  readonly calls: number;
  readonly rows: number;
  readonly historyRows: number;
}

/** What follows a workflow, like a notification that it has ended, comes within a few milliseconds. */
const settleMs = 15;

async function sampleOne(engine: Engine, index: number, counts: StoreCounts, probe: Probe | undefined): Promise<Sample> {
  const [before, tallyBefore] = [{ ...counts }, await probe?.read()];
  await execute(engine, index);
  await delay(settleMs);
  const [after, tallyAfter] = [{ ...counts }, await probe?.read()];
  const applies = after.applies - before.applies;
  const difference = (name: "statements" | "roundTrips"): number =>
    (tallyAfter?.[name] ?? Number.NaN) - (tallyBefore?.[name] ?? Number.NaN);
  return {
    transactions: tallyAfter === undefined || tallyBefore === undefined ? applies : tallyAfter.transactions - tallyBefore.transactions,
    statements: difference("statements"),
    roundTrips: difference("roundTrips"),
    applies,
    calls: after.calls - before.calls - (after.renewals - before.renewals),
    rows: after.rows - before.rows,
    historyRows: after.historyRows - before.historyRows,
  };
}

const speedOf = (span: Span, count: number): Figures & { readonly stepsPerSec: number; readonly nodeCpuMsPer1000: number } => {
  const { nodeCpuMsPer1000 = Number.NaN, ...server } = cpuPer1000(span, count);
  return { stepsPerSec: (count / span.wallMs) * 1000, nodeCpuMsPer1000, ...server };
};

/** For each figure, the median of the rounds. */
const medians = (rounds: readonly Figures[]): Figures =>
  Object.fromEntries(Object.keys(rounds[0] ?? {}).map((name) => [name, median(rounds.map((round) => Number(round[name])))]));

/** Ceiling and workload take turns, so that both meet the same neighbours. */
async function measureRounds(
  { place, folder, quick, serverPid }: Bench,
  engine: Engine,
  many: number,
): Promise<{ readonly figures: Figures; readonly ceiling: Figures | undefined }> {
  const ceiling = await openCeiling(place, folder, serverPid);
  await ceiling?.steps(many / 2);
  const own: ReturnType<typeof speedOf>[] = [];
  const best: ReturnType<typeof speedOf>[] = [];
  for (let round = 0; round < (quick ? 3 : 5); round++) {
    if (ceiling !== undefined) {
      const span = await ceiling.steps(many);
      best.push(speedOf(span, span.steps));
    }
    const elapsed = stopwatch(serverPid);
    const latencies = await inFlight(many, 100, (index) => execute(engine, index));
    own.push({ ...speedOf(elapsed(), many * stepCount), p50Ms: median(latencies), p99Ms: percentile(latencies, 0.99) });
  }
  const figures = medians(own);
  if (ceiling === undefined) return { figures, ceiling: undefined };
  const limit = await finish(ceiling, best);
  const shares = own.map((round, index) => round.stepsPerSec / (best[index]?.stepsPerSec ?? Number.NaN));
  const engineCpuMsPer1000 = Number(figures["nodeCpuMsPer1000"]) - Number(limit["nodeCpuMsPer1000"]);
  return { figures: { ...figures, shareOfCeiling: median(shares), engineCpuMsPer1000 }, ceiling: limit };
}

async function finish(ceiling: Ceiling, rounds: readonly Figures[]): Promise<Figures> {
  const commits = await ceiling.commits(300);
  await ceiling.close();
  return { driver: ceiling.driver, ...medians(rounds), commitP50Ms: median(commits) };
}

/** Starts them all, then waits for them all. */
async function measureBulk({ serverPid }: Bench, engine: Engine, total: number): Promise<Figures> {
  const elapsed = stopwatch(serverPid);
  const handles = await Promise.all(Array.from({ length: total }, (_, index) => engine.start(steps, index)));
  await Promise.all(handles.map((handle) => handle.result()));
  const { stepsPerSec, nodeCpuMsPer1000, ...server } = speedOf(elapsed(), total * stepCount);
  const { serverCpuMsPer1000 } = server as { readonly serverCpuMsPer1000?: number };
  return {
    bulkStepsPerSec: stepsPerSec,
    bulkNodeCpuMsPer1000: nodeCpuMsPer1000,
    ...(serverCpuMsPer1000 !== undefined && { bulkServerCpuMsPer1000: serverCpuMsPer1000 }),
  };
}
