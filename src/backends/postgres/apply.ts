import { StoreFailure, type Operation, type Outcome } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import { lockModes } from "./codes.js";
import { outcomeOf, usualOutcome, type AppliedRow } from "./decode.js";
import { encodeBatch, type Members } from "./encode.js";
import { encodeSimple, isSimple } from "./encode-simple.js";
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
 * and what has no such outcome (a message, an activity's) is applied in a commit of its own as soon as the row is free. So is a start while somebody's
 * transaction has started the same id and is still open.
 */
export async function applyBatch(options: ApplyOptions, operations: readonly Operation[]): Promise<readonly Outcome[]> {
  const { runtime, contention } = options;
  const outcomes = new Array<Outcome | undefined>(operations.length);
  const members = [...operations.entries()];
  let deferred: Members = [];
  if (runtime.monotonicMs() < contention.untilMs && !isSimple(operations)) {
    deferred = await applyFree(options, members, outcomes);
  } else {
    try {
      if (!(await applySimple(options, operations, outcomes))) await applyMembers(options, members, lockModes.ahead, outcomes);
    } catch (error) {
      if (!isLocked(error)) throw error;
      contention.untilMs = runtime.monotonicMs() + contentionMs;
      deferred = await applyFree(options, members, outcomes);
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
  const values = encodeSimple(operations);
  if (values === undefined) return false;
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

/** Applies what waits for nobody; returns what is to be done again. Whose lock a batch ran into nobody says, so it is halved until the culprit stands alone. */
async function applyFree(options: ApplyOptions, members: Members, outcomes: (Outcome | undefined)[]): Promise<Members> {
  try {
    return await applyMembers(options, members, lockModes.free, outcomes);
  } catch (error) {
    if (!isLocked(error)) throw error;
  }
  const [first] = members;
  if (first === undefined) return [];
  if (members.length > 1) {
    const middle = Math.ceil(members.length / 2);
    const left = await applyFree(options, members.slice(0, middle), outcomes);
    try {
      return [...left, ...(await applyFree(options, members.slice(middle), outcomes))];
    } catch (error) {
      throw left.length < middle ? partlyDone(error) : error;
    }
  }
  const [index, operation] = first;
  if (operation.type !== "turn") return members;
  outcomes[index] = { status: "locked" };
  return [];
}

/** Looks again and again rather than wait in line: what waits on this connection would hold up everything behind it. */
async function applyDeferred(
  options: ApplyOptions,
  members: Members,
  outcomes: (Outcome | undefined)[],
  isPartOfMore: boolean,
): Promise<void> {
  const { runtime } = options;
  const untilMs = runtime.monotonicMs() + deferredMaxMs;
  let left = members;
  for (;;) {
    await new Promise<void>((resolve) => void runtime.setTimer(resolve, deferredPauseMs, { keepAlive: true }));
    const isPart = isPartOfMore || left.length < members.length;
    try {
      left = await applyFree(options, left, outcomes);
    } catch (error) {
      throw isPart ? partlyDone(error) : error;
    }
    if (left.length === 0) return;
    if (runtime.monotonicMs() > untilMs) throw heldForLong(isPart || left.length < members.length ? "unknown" : "none");
  }
}

const heldForLong = (outcome: "none" | "unknown"): StoreFailure =>
  new StoreFailure("backend_unavailable", "PostgreSQL: a row is locked for long. Look for a transaction that was left open.", {
    outcome,
    transient: true,
  });

const isLocked = (error: unknown): boolean =>
  error instanceof StoreFailure && (error.cause as { readonly code?: unknown } | undefined)?.code === "55P03";

/** Other members of the batch are committed: nobody may conclude that nothing was. */
function partlyDone(error: unknown): unknown {
  if (!(error instanceof StoreFailure)) return error;
  return new StoreFailure(error.code, error.message, { outcome: "unknown", transient: true, cause: error.cause });
}
