import { launch, message, workflow, type Engine } from "perdure";
import type { Message as Note } from "../children.js";
import { delay, median, percentile, stampMs } from "../measure.js";
import type { Figures } from "../report.js";
import { backendNames } from "../sites.js";
import { stepResult } from "../values.js";
import type { Bench, Role, Workload } from "../workload.js";

interface Mark {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** Called by step bodies, which run once, live: replay does not come here. */
let onStep: (index: number) => void = () => {};

const long = workflow("long-run", async (ctx, stepCount: number) => {
  for (let index = 0; index < stepCount; index++) {
    await ctx.step("step", () => {
      onStep(index);
      return stepResult(index);
    });
  }
  return stepCount;
});

const move = message<boolean>("move");
let onMoved: () => void = () => {};

/** Does its steps, and then waits: each message makes it do one step more, until one says false. */
const longThenWaiting = workflow("long-then-waiting", async (ctx, stepCount: number) => {
  for (let index = 0; index < stepCount; index++) await ctx.step("step", () => stepResult(index));
  while (await ctx.receive(move)) await ctx.step("moved", () => onMoved());
});

/** W5: one run with a long history. */
export const longRun: Workload = {
  name: "W5",
  title: "one run of 5,000 sequential steps: flat cost, replay, recovery",
  backends: backendNames,
  async run(bench) {
    const stepCount = 5_000;
    const flat = await measureFlatness(bench, stepCount);
    const replay = await measureReplay(bench, stepCount);
    // Without a file there is nothing that another process could go on with.
    if (bench.backend === "memory") return { figures: { ...flat, ...replay } };
    const recovery = await measureRecovery(bench);
    return { figures: { ...flat, ...replay, ...recovery.figures }, errors: recovery.errors };
  },
  roles: { victim: (...args) => victim(...args), heir: (...args) => heir(...args) },
};

const markNow = (): Mark => {
  const { user, system } = process.cpuUsage();
  return { wallMs: stampMs(), cpuMs: (user + system) / 1000 };
};

/** The first and the last 500 steps of one run. */
async function timeEnds(engine: Engine, stepCount: number): Promise<{ readonly total: number; readonly first: Mark; readonly last: Mark }> {
  const window = 500;
  const marks = new Map<number, Mark>();
  const marked = new Set([0, window, stepCount - window - 1, stepCount - 1]);
  onStep = (index) => {
    if (marked.has(index)) marks.set(index, markNow());
  };
  const startMs = stampMs();
  await engine.execute(long, stepCount);
  const total = stampMs() - startMs;
  const between = (from: number, to: number): Mark => {
    const [start, end] = [marks.get(from), marks.get(to)];
    if (start === undefined || end === undefined) throw new Error(`steps ${from} and ${to} did not both run`);
    return { wallMs: end.wallMs - start.wallMs, cpuMs: end.cpuMs - start.cpuMs };
  };
  return { total, first: between(0, window), last: between(stepCount - window - 1, stepCount - 1) };
}

async function measureFlatness(bench: Bench, stepCount: number): Promise<Figures> {
  const engine = await launch({ backend: bench.openBackend(), workflows: [long] });
  await engine.execute(long, 2_000);
  const runs: Awaited<ReturnType<typeof timeEnds>>[] = [];
  for (let round = 0; round < (bench.quick ? 3 : 5); round++) runs.push(await timeEnds(engine, stepCount));
  await engine.close();
  return {
    steps: stepCount,
    msPerStep: median(runs.map((run) => run.total)) / stepCount,
    firstMsPerStep: median(runs.map((run) => run.first.wallMs)) / 500,
    lastMsPerStep: median(runs.map((run) => run.last.wallMs)) / 500,
    lastToFirstWall: median(runs.map((run) => run.last.wallMs / run.first.wallMs)),
    lastToFirstCpu: median(runs.map((run) => run.last.cpuMs / run.first.cpuMs)),
    cpuMsPerStep: median(runs.map((run) => run.last.cpuMs)) / 500,
  };
}

/** From the send of a message to a run that this process has never seen, to the step that it makes: commit, claim, load, decode, replay, commit. */
async function measureReplay(bench: Bench, stepCount: number): Promise<Figures> {
  const id = "replayed";
  const workflows = [longThenWaiting];
  const first = await launch({ backend: bench.openBackend(), workflows });
  await first.start(longThenWaiting, stepCount, { id });
  while ((await first.get(id).describe()).historyLength <= stepCount) await delay(20);
  await first.close();
  const timeMove = async (engine: Engine): Promise<number> => {
    const moved = new Promise<number>((resolve) => (onMoved = () => resolve(stampMs())));
    const startMs = stampMs();
    await engine.get(longThenWaiting, id).send(move, true);
    return (await moved) - startMs;
  };
  const cold: number[] = [];
  const warm: number[] = [];
  for (let round = 0; round < (bench.quick ? 3 : 7); round++) {
    const engine = await launch({ backend: bench.openBackend(), workflows });
    await delay(100);
    cold.push(await timeMove(engine));
    warm.push(await timeMove(engine));
    await engine.close();
  }
  // The first cold replay runs code that is not compiled yet: it is the maximum here, and what a new process would see.
  return { coldReplayMs: median(cold), coldReplayMaxMs: percentile(cold, 1), warmMoveMs: median(warm) };
}

interface Progress extends Note {
  readonly type: "progress";
  readonly index: number;
}

const extraSteps = 200;

/** Kills the process of a run after 5,000 steps, and times a new one from its spawn to the next step. */
async function measureRecovery(bench: Bench): Promise<{ readonly figures: Figures; readonly errors: readonly string[] }> {
  const recoveries: number[] = [];
  const errors: string[] = [];
  for (let round = 0; round < (bench.quick ? 1 : 3); round++) {
    const input = { type: `recovered-${round}` };
    const first = bench.spawn("victim", input);
    const { index: last } = await first.hear<Progress>("progress");
    await first.kill();
    const startMs = stampMs();
    const second = bench.spawn("heir", input);
    const { index: next } = await second.hear<Progress>("progress");
    recoveries.push(stampMs() - startMs);
    if (next < last) errors.push(`step ${next} ran again although step ${last} had begun before the kill`);
    await second.hear("done");
    await second.stop();
  }
  return { figures: { recoveryMs: median(recoveries) }, errors };
}

const victim: Role = async (bench, post, input) => {
  const engine = await launch({ backend: bench.openBackend(), workflows: [long] });
  onStep = (index) => {
    if (index >= 5_000) post.tell({ type: "progress", index } as Progress);
  };
  await engine.start(long, 5_000 + extraSteps, { id: input.type });
  await post.hear("stop");
};

const heir: Role = async (bench, post, input) => {
  let told = false;
  onStep = (index) => {
    if (!told) post.tell({ type: "progress", index } as Progress);
    told = true;
  };
  const engine = await launch({ backend: bench.openBackend(), workflows: [long] });
  await engine.get(long, input.type).result();
  post.tell({ type: "done" });
  await post.hear("stop");
  await engine.close();
};
