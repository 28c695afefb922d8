// What a trial shows: pure, so that a test can feed it doctored evidence.
import { isDeepStrictEqual } from "node:util";
import type { HistoryEvent } from "perdure";
import type { Evidence, RunEvidence } from "./evidence.js";
import { stepCount, valueOf, type StepResult } from "./ten-steps.js";

export interface Verdict {
  readonly kind: Evidence["kind"];
  /** Runs that the victim had in hand and another worker went on with. */
  readonly takenOver: number;
  /** From the blow until the first of them moved; undefined if none did. */
  readonly firstMs: number | undefined;
  /** Until all had. */
  readonly allMs: number | undefined;
  /** Runs that did not complete with the right result and a whole history. */
  readonly lost: number;
  /** Checkpoints that were recorded more than once. */
  readonly doubled: number;
  /** Bodies that ran though an earlier execution of the same step had begun. */
  readonly rerun: number;
  /** What the victim wrote after it went on, in runs that were no longer its own. */
  readonly zombieWrites: number;
  /** What it wrote after its lease in runs that nobody had taken over yet. */
  readonly lateWrites: number;
  /** Empty if everything holds. */
  readonly problems: readonly string[];
}

export function judge(evidence: Evidence): Verdict {
  const { kind, runs } = evidence;
  const held = heldByVictim(evidence);
  const moves = movesOf(evidence, held);
  const began = evidence.effects.filter(({ what }) => what === "began");
  const rerun = began.length - new Set(began.map(({ run, step }) => `${run} ${step}`)).size;
  const lost = runs.filter((run) => !isWhole(run)).length;
  const doubled = doubledOf(runs);
  const { zombieWrites, lateWrites } = staleWritesOf(evidence);
  const problems = [
    ...(moves.length === 0 ? ["the victim had no run: nothing was taken over"] : []),
    ...(lost > 0 ? [`${lost} runs did not complete with the right result and a whole history`] : []),
    ...(doubled > 0 ? [`${doubled} checkpoints were recorded more than once`] : []),
    ...(zombieWrites > 0 ? [`the victim wrote ${zombieWrites} times in runs that were no longer its own`] : []),
    // Each run has one body at a time; what a dead process had recorded must not run again.
    ...(kind === "kill" && rerun > held.size ? [`${rerun} bodies ran again, though only ${held.size} were in flight`] : []),
    ...(kind === "stop" && !evidence.noticedLoss ? ["the victim went on and did not notice that its lease was lost"] : []),
  ];
  const [firstMs, allMs] = moves.length === 0 ? [undefined, undefined] : [Math.min(...moves), Math.max(...moves)];
  return { kind, takenOver: moves.length, firstMs, allMs, lost, doubled, rerun, zombieWrites, lateWrites, problems };
}

/** The runs whose last body before the blow began in the victim. */
function heldByVictim({ effects, victimPid, struckMs }: Evidence): ReadonlySet<string> {
  const holders = new Map<string, number>();
  for (const { what, run, pid, atMs } of effects) if (what === "began" && atMs <= struckMs) holders.set(run, pid);
  return new Set([...holders].flatMap(([run, pid]) => (pid === victimPid ? [run] : [])));
}

/** For each of them: how long after the blow a body of it began elsewhere (or in the victim, once it went on and had taken the run anew). */
function movesOf({ effects, victimPid, struckMs, resumedMs = Infinity }: Evidence, held: ReadonlySet<string>): readonly number[] {
  const moves = new Map<string, number>();
  for (const { what, run, pid, atMs } of effects) {
    const isMove = what === "began" && held.has(run) && atMs > struckMs && (pid !== victimPid || atMs > resumedMs);
    if (isMove && !moves.has(run)) moves.set(run, atMs - struckMs);
  }
  return [...moves.values()];
}

/** The results of steps in a history, by the number of their operation. */
function recordsOf(history: readonly HistoryEvent[]): ReadonlyMap<number, readonly StepResult[]> {
  const records = new Map<number, StepResult[]>();
  for (const { kind, command = 0, data } of history)
    if (kind === "operation_completed") records.set(command, [...(records.get(command) ?? []), data as StepResult]);
  return records;
}

function isWhole({ input, result, history }: RunEvidence): boolean {
  const records = recordsOf(history);
  const steps = Array.from({ length: stepCount }, (_, index) => index + 1);
  return (
    result !== undefined &&
    result.sum === steps.reduce((sum, step) => sum + valueOf(input, step), 0) &&
    // What the code saw is what is recorded.
    steps.every((step) => records.get(step)?.[0]?.by === result.by[step - 1] && records.get(step)?.[0]?.value === valueOf(input, step)) &&
    history.at(-1)?.kind === "run_completed" &&
    history.every(({ seq }, index) => seq === index + 1)
  );
}

function doubledOf(runs: readonly RunEvidence[]): number {
  const extra = (count: number): number => Math.max(0, count - 1);
  let doubled = 0;
  for (const { history } of runs) {
    for (const results of recordsOf(history).values()) doubled += extra(results.length);
    doubled += extra(history.filter(({ kind }) => kind === "run_completed").length);
  }
  return doubled;
}

interface StaleWrites {
  readonly zombieWrites: number;
  readonly lateWrites: number;
}

/**
 * Bodies that began before the victim was stopped and ended after it went on: their results must not be recorded in runs that another worker had gone on
 * with by then, and nothing may change in runs that had ended. In runs that nobody had taken over they may: an epoch fences those that it was raised for.
 */
function staleWritesOf(evidence: Evidence): StaleWrites {
  const { effects, victimPid, struckMs, resumedMs, runs, before } = evidence;
  if (resumedMs === undefined) return { zombieWrites: 0, lateWrites: 0 };
  const stale = new Set<string>();
  const endedMs = new Map<string, number>();
  const takenMs = new Map<string, number>();
  for (const { what, token, pid, run, atMs } of effects) {
    if (what === "began" && pid === victimPid && atMs <= struckMs) stale.add(token);
    if (what === "ended" && stale.has(token) && atMs >= resumedMs) endedMs.set(token, atMs);
    if (what === "began" && pid !== victimPid && atMs > struckMs && !takenMs.has(run)) takenMs.set(run, atMs);
  }
  let [zombieWrites, lateWrites] = [0, 0];
  for (const { id, history } of runs) {
    const known = before?.get(id);
    if (known !== undefined && !isDeepStrictEqual(known, history)) zombieWrites += Math.max(1, history.length - known.length);
    const late = [...recordsOf(history).values()].flat().flatMap(({ by }) => endedMs.get(by) ?? []);
    const isFenced = (atMs: number): boolean => known !== undefined || (takenMs.get(id) ?? Infinity) < atMs;
    lateWrites += late.filter((atMs) => !isFenced(atMs)).length;
    if (known === undefined) zombieWrites += late.filter(isFenced).length;
  }
  return { zombieWrites, lateWrites };
}
