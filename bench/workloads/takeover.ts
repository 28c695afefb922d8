import { join } from "node:path";
import { connect, launch, type Client, type Handle } from "perdure";
import { delay, median, percentile, stampMs } from "../measure.js";
import { sharedBackends } from "../sites.js";
import type { Bench, Role, Workload } from "../workload.js";
import { doubledSteps, openEffectLog, readEffects, type Effect } from "./effect-log.js";
import { onSlowStep, slowStepCount, slowSteps } from "./slow-steps.js";

const runCount = 500;

/** W7b: one of two workers is killed and does not come back; a client goes on starting runs all the while. */
export const takeover: Workload = {
  name: "W7b",
  title: "two workers, one killed and not restarted",
  backends: sharedBackends,
  async run(bench) {
    const takeovers: number[] = [];
    const outcomes: Outcome[] = [];
    for (let round = 0; round < (bench.quick ? 1 : 3); round++) {
      const outcome = await trial(bench, `round${round}`);
      outcomes.push(outcome);
      takeovers.push(...outcome.takeovers);
    }
    const errors = outcomes.flatMap((outcome) => outcome.errors);
    if (takeovers.length === 0) return { figures: {}, errors: [...errors, "the killed worker had no run: nothing was taken over"] };
    return {
      figures: {
        takenOver: takeovers.length,
        takeoverP50Ms: median(takeovers),
        takeoverMaxMs: percentile(takeovers, 1),
        refusedStarts: outcomes.reduce((sum, outcome) => sum + outcome.refused, 0),
        doubled: Math.max(...outcomes.map((outcome) => outcome.doubled)),
      },
      errors,
    };
  },
  roles: { worker: (...args) => worker(...args) },
};

interface Outcome {
  readonly takeovers: readonly number[];
  readonly refused: number;
  readonly doubled: number;
  readonly errors: readonly string[];
}

async function trial(bench: Bench, prefix: string): Promise<Outcome> {
  const log = join(bench.folder, `${prefix}.log`);
  const [victim, survivor] = [bench.spawn("worker", { type: prefix }), bench.spawn("worker", { type: prefix })];
  await Promise.all([victim.hear("ready"), survivor.hear("ready")]);
  const client = await connect({ backend: bench.openBackend() });
  const before = await startSome(client, 0, runCount / 2, prefix);
  // Until the victim is in the middle of its share.
  while (readEffects(log).filter((effect) => effect.pid === victim.pid).length < 200) await delay(5);
  await victim.kill();
  const killedMs = stampMs();
  const after = await startSome(client, runCount / 2, runCount, prefix);
  const results = await Promise.allSettled([...before.handles, ...after.handles].map((handle) => handle.result({ timeout: "60s" })));
  await client.close();
  await survivor.stop();
  const effects = readEffects(log);
  const failed = results.filter((result) => result.status === "rejected").length;
  const doubled = doubledSteps(effects);
  const errors = [
    ...(failed > 0 ? [`${failed} runs failed or did not end within a minute`] : []),
    ...(doubled > runCount ? [`${doubled} steps ran twice, though only ${runCount} were in flight`] : []),
  ];
  return { takeovers: takeoversOf(effects, victim.pid, killedMs), refused: before.refused + after.refused, doubled, errors };
}

async function startSome(
  client: Client,
  from: number,
  to: number,
  prefix: string,
): Promise<{ readonly handles: readonly Handle<number>[]; readonly refused: number }> {
  const indices = Array.from({ length: to - from }, (_, index) => from + index);
  const started = await Promise.allSettled(indices.map((index) => client.start(slowSteps, undefined, { id: `${prefix}-${index}` })));
  const handles = started.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  return { handles, refused: started.length - handles.length };
}

/** For each run that the victim drove last and had not finished: how long after the kill another process moved it. */
function takeoversOf(effects: readonly Effect[], victimPid: number, killedMs: number): readonly number[] {
  const reached = new Map<string, number>();
  for (const { pid, id, step } of effects) if (pid === victimPid) reached.set(id, Math.max(step, reached.get(id) ?? -1));
  const waits = new Map<string, number>();
  for (const { pid, id, atMs } of effects) {
    if (pid !== victimPid && (reached.get(id) ?? slowStepCount) < slowStepCount && !waits.has(id)) waits.set(id, atMs - killedMs);
  }
  // A run that the victim had given up before its death was moved before it, too.
  return [...waits.values()].filter((waitMs) => waitMs >= 0);
}

const worker: Role = async (bench, post, { type: prefix }) => {
  onSlowStep(openEffectLog(join(bench.folder, `${prefix}.log`)));
  const engine = await launch({ backend: bench.openBackend(), workflows: [slowSteps] });
  post.tell({ type: "ready" });
  await post.hear("stop");
  await engine.close();
};
