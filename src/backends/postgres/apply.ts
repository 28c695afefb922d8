import { StoreFailure, type Operation, type Outcome } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import { lockModes } from "./codes.js";
import { outcomeOf, usualOutcome, type AppliedRow } from "./decode.js";
import { encodeBatch, encodeSimple, type Members } from "./encode.js";
import type { Link } from "./link.js";
import type { Statements } from "./statements.js";

/** Until when (monotonic) rows are to be taken as they are free: somebody holds one for long. */
export interface Contention {
  untilMs: number;
}

export interface ApplyOptions {
  readonly runtime: Runtime;
  readonly writer: Link;
  readonly statements: Pick<Statements, "apply" | "applySimple">;
  readonly contention: Contention;
}

const contentionMs = 1000;
const deferredMaxMs = 10_000;
const deferredPauseMs = 20;

/**
 * Applies a batch: usually one statement, which is one commit. Where a row stays locked, the rest does not wait for it: turns on it are refused as `locked`,
 * and what has no such outcome (a message, an activity's) is applied in a commit of its own as soon as the row is free.
 */
export async function applyBatch(options: ApplyOptions, operations: readonly Operation[]): Promise<readonly Outcome[]> {
  const { runtime, contention } = options;
  const outcomes = new Array<Outcome | undefined>(operations.length);
  if (await applySimple(options, operations, outcomes)) return outcomes as Outcome[];
  const members = [...operations.entries()];
  let deferred: Members = [];
  if (runtime.monotonicMs() < contention.untilMs) {
    deferred = await applyMembers(options, members, lockModes.free, outcomes);
  } else {
    try {
      await applyMembers(options, members, lockModes.ahead, outcomes);
    } catch (error) {
      if (!isLocked(error)) throw error;
      contention.untilMs = runtime.monotonicMs() + contentionMs;
      deferred = await applyMembers(options, members, lockModes.free, outcomes);
    }
  }
  if (deferred.length > 0) await applyDeferred(options, deferred, outcomes, deferred.length < operations.length);
  return outcomes as Outcome[];
}

/** False if the batch is not a simple one; nothing was done then. */
async function applySimple(
  { writer, statements }: ApplyOptions,
  operations: readonly Operation[],
  outcomes: (Outcome | undefined)[],
): Promise<boolean> {
  const batch = encodeSimple(operations);
  if (batch === undefined) return false;
  const values = [batch.turns, batch.turnCount, batch.starts, batch.startCount, batch.lines];
  const rows = await writer.rows<AppliedRow>(statements.applySimple, values, "write");
  for (const row of rows) outcomes[row[0]] = outcomeOf(row);
  for (const [index, operation] of operations.entries()) outcomes[index] ??= usualOutcome(operation);
  return true;
}

/** Applies members and notes their outcomes; returns those that are to be done again. */
async function applyMembers(
  { writer, statements }: ApplyOptions,
  members: Members,
  mode: number,
  outcomes: (Outcome | undefined)[],
): Promise<Members> {
  const { operations, lines, claimRoutes } = encodeBatch(members);
  const rows = await writer.rows<AppliedRow>(statements.apply, [operations, lines, mode, claimRoutes], "write");
  const left = new Set<number>();
  const told = new Map<number, Outcome>();
  for (const row of rows) {
    const outcome = outcomeOf(row);
    if (outcome === undefined) left.add(row[0]);
    else told.set(row[0], outcome);
  }
  for (const [index, operation] of members) if (!left.has(index)) outcomes[index] = told.get(index) ?? usualOutcome(operation);
  return left.size === 0 ? [] : members.filter(([index]) => left.has(index));
}

async function applyDeferred(
  options: ApplyOptions,
  deferred: Members,
  outcomes: (Outcome | undefined)[],
  isPartOfMore: boolean,
): Promise<void> {
  const { runtime } = options;
  const untilMs = runtime.monotonicMs() + deferredMaxMs;
  for (;;) {
    try {
      await applyMembers(options, deferred, lockModes.ahead, outcomes);
      return;
    } catch (error) {
      if (!isLocked(error) || runtime.monotonicMs() > untilMs) throw isPartOfMore ? partlyDone(error) : error;
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, deferredPauseMs, { keepAlive: true }));
    }
  }
}

const isLocked = (error: unknown): boolean =>
  error instanceof StoreFailure && (error.cause as { readonly code?: unknown } | undefined)?.code === "55P03";

/** Other members of the batch are committed: nobody may conclude that nothing was. */
function partlyDone(error: unknown): unknown {
  if (!(error instanceof StoreFailure)) return error;
  return new StoreFailure(error.code, error.message, { outcome: "unknown", transient: true, cause: error.cause });
}
