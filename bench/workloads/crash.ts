import { join } from "node:path";
import { launch } from "perdure";
import { delay, median, stampMs } from "../measure.js";
import { sharedBackends } from "../sites.js";
import type { Bench, Role, Workload } from "../workload.js";
import { doubledSteps, openEffectLog, readEffects } from "./effect-log.js";
import { onSlowStep, slowStepCount, slowSteps } from "./slow-steps.js";

const runCount = 500;
const ids = Array.from({ length: runCount }, (_, index) => `run-${index}`);

/** W7: a process with 500 runs in flight is killed and started again at once. */
export const crash: Workload = {
  name: "W7",
  title: "500 runs in flight, kill -9, restarted at once",
  backends: sharedBackends,
  async run(bench) {
    const trials: Trial[] = [];
    for (let round = 0; round < (bench.quick ? 1 : 3); round++) trials.push(await trial(bench, `round${round}`));
    return {
      figures: {
        runs: runCount,
        firstMoveMs: median(trials.map((each) => each.firstMoveMs)),
        lastRunMovesMs: median(trials.map((each) => each.lastRunMovesMs)),
        allDoneMs: median(trials.map((each) => each.allDoneMs)),
        doubled: Math.max(...trials.map((each) => each.doubled)),
        lost: trials.reduce((sum, each) => sum + each.lost, 0),
      },
      errors: trials.flatMap((each) => each.errors),
    };
  },
  roles: { starter: (...args) => starter(...args), finisher: (...args) => finisher(...args) },
};

interface Trial {
  readonly firstMoveMs: number;
  readonly lastRunMovesMs: number;
  readonly allDoneMs: number;
  readonly doubled: number;
  readonly lost: number;
  readonly errors: readonly string[];
}

const logFile = (bench: Bench, prefix: string): string => join(bench.folder, `${prefix}.log`);

async function trial(bench: Bench, prefix: string): Promise<Trial> {
  const first = bench.spawn("starter", { type: prefix });
  await first.hear("started");
  // In the middle of it: every run has begun, none has ended.
  await delay(60);
  await first.kill();
  const killedMs = stampMs();
  const second = bench.spawn("finisher", { type: prefix });
  await second.hear("done");
  const allDoneMs = stampMs() - killedMs;
  await second.stop();
  const effects = readEffects(logFile(bench, prefix));
  const moved = new Map<string, number>();
  for (const { pid, id, atMs } of effects) if (pid === second.pid && !moved.has(id)) moved.set(id, atMs - killedMs);
  const steps = new Set(effects.map(({ id, step }) => `${id} ${step}`));
  const doubled = doubledSteps(effects);
  const lost = runCount * slowStepCount - steps.size;
  const errors = [
    ...(lost > 0 ? [`${lost} steps never ran`] : []),
    ...(doubled > runCount ? [`${doubled} steps ran twice, though only ${runCount} were in flight`] : []),
    ...(moved.size === 0 ? ["all runs had ended before the kill"] : []),
  ];
  const moves = [...moved.values()];
  return { firstMoveMs: Math.min(...moves), lastRunMovesMs: Math.max(...moves), allDoneMs, doubled, lost, errors };
}

const starter: Role = async (bench, post, { type: prefix }) => {
  onSlowStep(openEffectLog(logFile(bench, prefix)));
  const engine = await launch({ backend: bench.openBackend(), workflows: [slowSteps] });
  await Promise.all(ids.map((id) => engine.start(slowSteps, undefined, { id: `${prefix}-${id}` })));
  post.tell({ type: "started" });
  await post.hear("stop");
};

const finisher: Role = async (bench, post, { type: prefix }) => {
  onSlowStep(openEffectLog(logFile(bench, prefix)));
  const engine = await launch({ backend: bench.openBackend(), workflows: [slowSteps] });
  await Promise.all(ids.map((id) => engine.get(slowSteps, `${prefix}-${id}`).result()));
  post.tell({ type: "done" });
  await post.hear("stop");
  await engine.close();
};
