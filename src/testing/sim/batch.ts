import { lateRejections } from "../../platform/late-rejections.js";
import { forbidGlobals } from "./globals-guard.js";
import { mutants } from "./mutants.js";
import { runSchedule, type ScheduleOptions, type ScheduleResult } from "./schedule.js";
import { createTally, tallyObject } from "./tally.js";

export interface BatchOptions extends Omit<ScheduleOptions, "seed" | "mutant"> {
  readonly seeds: Iterable<number>;
  /** Monotonic time in ms, for the speed. */
  readonly monotonicMs: () => number;
  /** Errors that nobody caught. Answers how to stop listening. */
  readonly onUncaught: (listener: (error: unknown) => void) => () => void;
  readonly onFailure: (result: ScheduleResult) => void;
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface BatchSummary {
  readonly schedules: number;
  readonly virtualHours: number;
  readonly schedulesPerSec: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly sometimes: Readonly<Record<string, number>>;
  readonly violations: number;
  /** What a batch of this size should have brought about and did not. */
  readonly missing: readonly string[];
}

const faultKinds = [
  "crash",
  "crashInWrite",
  "leave",
  "pause",
  "suspend",
  "clockJump",
  "outage",
  "outageCall",
  "failBefore",
  "lostReply",
  "lateApply",
  "locked",
  "hintDropped",
  "hintDoubled",
  "hintDelayed",
] as const;

/** Rare situations that a batch must have come through, or its silence means little. */
const sometimes = [
  "turn:committed",
  "turn:fenced",
  "turn:unseen_inbox",
  "turn:locked",
  "start:started",
  "start:exists",
  "send:sent",
  "send:duplicate",
  "send:not_running",
  "send:not_found",
  "finish_task:finished",
  "finish_task:gone",
  "resolve:kept",
  "resolve:lost",
  "lease:refused",
  "takeover",
  "taskTakeover",
  "zombieWrite",
  "batched",
  "ranAgain",
  "left",
  "start:again",
  "start:instead",
  "terminate:terminated",
  "child",
  "child:operation_completed",
  "child:operation_failed",
  "errand:run_ended",
  "errand:cancel_child",
  "sent:child",
  "sent:parent",
  "sent:from",
  "sent:update",
  "continued:asNew",
  "continued:retry",
  "continued:unread",
  "answer:completed",
  "answer:failed",
  "answer:refused",
  "update:ok",
  "compensated",
  "once",
  "once:unknown",
  "touch_task:touched",
  "touch_task:gone",
  "detached",
  "finishedByToken",
  "finish:refused",
  "expired:heartbeat",
  "said:state",
  "said:attribute",
  "said:chunk",
  "append:appended",
  "append:fenced",
  "restart",
  "writtenBehind",
] as const;

const batchOfNote = 500;
/** Every so many schedules one is run twice, and must go the same way. */
const twiceEvery = 20;

/** Runs one schedule with the globals forbidden and uncaught errors caught. */
export async function runGuarded(options: ScheduleOptions, onUncaught: BatchOptions["onUncaught"]): Promise<ScheduleResult> {
  const leaks: string[] = [];
  const restore = forbidGlobals((name) => leaks.push(`${name} was called`));
  // Engines that crash never leave it, and those that close must not take it from the replays at the end.
  const leave = lateRejections.join();
  const stop = onUncaught((error) => leaks.push(`uncaught: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`));
  try {
    const result = await runSchedule(options);
    for (const leak of leaks.slice(0, 5)) result.witness.violate("leak", leak);
    return result;
  } finally {
    await new Promise<void>((resolve) => options.hop(resolve));
    leave();
    restore();
    stop();
  }
}

export async function runBatch(options: BatchOptions): Promise<BatchSummary> {
  const tally = createTally();
  const began = options.monotonicMs();
  let schedules = 0;
  let virtualMs = 0;
  let violations = 0;
  for (const seed of options.seeds) {
    const result = await runGuarded({ ...options, seed }, options.onUncaught);
    if (schedules % twiceEvery === 0 && result.violations.length === 0) {
      const again = await runGuarded({ ...options, seed }, options.onUncaught);
      if (again.traceHash !== result.traceHash)
        result.witness.violate(
          "determinism",
          `the schedule went another way the second time (${result.events} and ${again.events} events)`,
        );
    }
    schedules++;
    virtualMs += result.virtualMs;
    violations += result.violations.length;
    for (const [name, count] of result.tally.entries) tally.count(name, count);
    if (result.violations.length > 0) options.onFailure(result);
    options.onProgress?.(schedules);
  }
  const seconds = (options.monotonicMs() - began) / 1000;
  const missing = schedules < batchOfNote ? [] : [...faultKinds, ...sometimes].filter((name) => tally.get(name) === 0);
  const faults = Object.fromEntries(faultKinds.map((name) => [name, tally.get(name)]));
  const others = Object.entries(tallyObject(tally)).filter(([name]) => !(name in faults));
  return {
    schedules,
    virtualHours: Math.round(virtualMs / 36_000) / 100,
    schedulesPerSec: Math.round((schedules / seconds) * 10) / 10,
    faults,
    sometimes: { ...Object.fromEntries(sometimes.map((name) => [name, 0])), ...Object.fromEntries(others) },
    violations,
    missing,
  };
}

export interface MutantReport {
  readonly name: string;
  /** How many schedules it took; null if it was not caught. */
  readonly seedsToCatch: number | null;
}

/** Looks for each mutant in turn, in at most `seeds` schedules. */
export async function huntMutants(
  options: Omit<BatchOptions, "seeds" | "onFailure"> & { readonly firstSeed: number; readonly seedsMax: number },
): Promise<readonly MutantReport[]> {
  const reports: MutantReport[] = [];
  for (const mutant of mutants) {
    let seedsToCatch: number | null = null;
    for (let index = 0; index < options.seedsMax && seedsToCatch === null; index++) {
      const result = await runGuarded({ ...options, seed: options.firstSeed + index, mutant }, options.onUncaught);
      if (result.violations.length > 0) seedsToCatch = index + 1;
    }
    reports.push({ name: mutant.name, seedsToCatch });
  }
  return reports;
}
