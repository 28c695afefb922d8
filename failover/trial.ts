// Does it: two workers, runs in flight, one worker struck, the rest watched; gathers the evidence.
import { join } from "node:path";
import { connect, workflowRef, type Client, type Handle, type HistoryEvent } from "perdure";
import { delay, stampMs } from "../bench/measure.js";
import { backendAt, type Site } from "../bench/sites.js";
import { readEffectLog, type EffectReader } from "./effect-log.js";
import type { Evidence } from "./evidence.js";
import { idOf, type TenStepsResult, type tenSteps } from "./ten-steps.js";
import type { Begin, Worker, WorkerPool } from "./workers.js";

export interface Trial {
  readonly kind: Evidence["kind"];
  readonly number: number;
  readonly site: Site;
  readonly pool: WorkerPool;
  readonly folder: string;
  readonly runs: number;
  /** Undefined: the library's default. */
  readonly leaseMs: number | undefined;
  /** Stop trials: the victim goes on while its runs are being taken over (`early`), or when all have ended (`late`). */
  readonly resume: "early" | "late";
}

const lookMs = 10;
/** No trial takes half as long on a slow machine. */
const limitMs = 60_000;
/** How long the victim is left stopped beyond its lease, at most: on SQLite it may have been stopped in the middle of a commit, and nobody can write then. */
const stoppedMaxMs = 8000;
/** Workers that have been up for a moment know of one another; one that nobody has ever seen alive can only be judged by its lease. */
const settleMs = 1000;
/** The nine steps that are left when all runs have begun take 180 ms or more; the blow comes before any has ended. */
const blow = { afterMs: 20, withinMs: 120 };

const ref = workflowRef<ReturnType<typeof tenSteps>>("ten-steps");

interface Scene {
  readonly trial: Trial;
  readonly client: Client;
  readonly log: EffectReader;
  readonly handles: readonly Handle<TenStepsResult>[];
  readonly workers: readonly Worker[];
}

export async function runTrial(trial: Trial): Promise<Evidence> {
  const { site, pool, number, leaseMs, runs } = trial;
  const place = await site.make(number);
  const effectFile = join(trial.folder, `effects-${number}.log`);
  const log = readEffectLog(effectFile);
  const client = await connect({ backend: backendAt(place) });
  try {
    const settings = { place, effectFile, leaseMs };
    const workers = await Promise.all([pool.start(settings), pool.start(settings)]);
    await delay(settleMs);
    // Each starts its half, which it then drives: of two that merely wait, the quicker would take everything.
    for (const [half, worker] of workers.entries()) {
      const inputs = Array.from({ length: runs }, (_, input) => input).filter((input) => input % workers.length === half);
      const begin: Begin = { type: "begin", inputs };
      worker.tell(begin);
    }
    const handles = Array.from({ length: runs }, (_, input) => client.get(ref, idOf(input)));
    await until(() => new Set(log.effects().map(({ run }) => run)).size === runs, "all runs are in flight");
    for (const worker of workers) worker.tell({ type: "go" });
    await delay(blow.afterMs + Math.random() * (blow.withinMs - blow.afterMs));
    const scene = { trial, client, log, handles, workers };
    return trial.kind === "kill" ? await kill(scene) : await stop(scene);
  } finally {
    await client.close();
    await pool.killAll();
    log.close();
    await site.clear(place);
  }
}

async function kill(scene: Scene): Promise<Evidence> {
  const [victim, survivor] = choose(scene);
  const struckMs = stampMs();
  victim.signal("SIGKILL");
  const results = await resultsOf(scene);
  await end(survivor);
  return {
    ...(await gather(scene, results)),
    kind: "kill",
    victimPid: victim.pid,
    struckMs,
    resumedMs: undefined,
    noticedLoss: false,
    before: undefined,
  };
}

async function stop(scene: Scene): Promise<Evidence> {
  const { trial, log } = scene;
  const [victim, survivor] = choose(scene);
  const struckMs = stampMs();
  victim.signal("SIGSTOP");
  const ending = resultsOf(scene);
  const tooLongMs = (trial.leaseMs ?? 0) + stoppedMaxMs;
  const movedElsewhere = (): boolean => {
    const mine = new Set<string>();
    for (const { pid, run, atMs } of log.effects()) {
      if (pid === victim.pid) mine.add(run);
      else if (atMs > struckMs && mine.has(run)) return true;
    }
    return false;
  };
  // By then its lease has run out: nothing is taken over before.
  const isTime = trial.resume === "early" ? until(movedElsewhere, "a run has moved", tooLongMs).catch(() => undefined) : ending;
  await Promise.race([isTime, delay(tooLongMs)]);
  const hasEnded = await Promise.race([ending.then(() => true), delay(0).then(() => false)]);
  const before = hasEnded ? await historiesOf(scene) : undefined;
  const resumedMs = stampMs();
  victim.signal("SIGCONT");
  const noticedLoss = await Promise.race([victim.hear("lease-lost").then(() => true), delay(limitMs / 4).then(() => false)]);
  const results = await ending;
  // Bodies that it was stopped in end in their own time; what closing leaves unwritten will never be written.
  await Promise.all([end(victim), end(survivor)]);
  return { ...(await gather(scene, results)), kind: "stop", victimPid: victim.pid, struckMs, resumedMs, noticedLoss, before };
}

/** The victim is the one with more runs in hand. */
function choose({ workers, log }: Scene): readonly [victim: Worker, survivor: Worker] {
  const [first, second] = workers;
  if (first === undefined || second === undefined) throw new Error("a trial has two workers");
  const holders = new Map(log.effects().map(({ run, pid }) => [run, pid]));
  const count = (worker: Worker): number => [...holders.values()].filter((pid) => pid === worker.pid).length;
  return count(first) >= count(second) ? [first, second] : [second, first];
}

/** Undefined for a run that failed or did not end. */
const resultsOf = ({ handles }: Scene): Promise<readonly (TenStepsResult | undefined)[]> =>
  Promise.all(handles.map((handle) => handle.result({ timeout: limitMs, otherwise: undefined }).catch(() => undefined)));

async function historiesOf({ handles }: Scene): Promise<ReadonlyMap<string, readonly HistoryEvent[]>> {
  return new Map(await Promise.all(handles.map(async (handle) => [handle.id, await handle.history()] as const)));
}

async function gather(scene: Scene, results: readonly (TenStepsResult | undefined)[]): Promise<Pick<Evidence, "runs" | "effects">> {
  const histories = await historiesOf(scene);
  const runs = scene.handles.map(({ id }, input) => ({ id, input, result: results[input], history: histories.get(id) ?? [] }));
  return { runs, effects: [...scene.log.effects()] };
}

/** Lets it close in order; kills it if it does not. */
async function end(worker: Worker): Promise<void> {
  worker.tell({ type: "stop" });
  const timer = setTimeout(() => worker.signal("SIGKILL"), 10_000);
  await worker.gone;
  clearTimeout(timer);
}

async function until(condition: () => boolean, what: string, maxMs = limitMs): Promise<void> {
  const limit = stampMs() + maxMs;
  while (!condition()) {
    if (stampMs() > limit) throw new Error(`waited ${maxMs} ms until ${what}, in vain`);
    await delay(lookMs);
  }
}
