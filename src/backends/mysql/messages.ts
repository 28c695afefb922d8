/** What reaches a run from outside: messages, and the order to try a parked run again. */
import type {
  ClaimedRun,
  ClaimFor,
  InboxItem,
  ResumeOperation,
  ResumeOutcome,
  RunTarget,
  SendOperation,
  SendOutcome,
} from "../../backend/index.js";
import type { Batch } from "./batch.js";
import type { Changes } from "./changes.js";
import { claimOf, isOpenRow, isSuspect, parkedStatus, runningStatus, type RunRow } from "./run-row.js";
import { idKey } from "./sql.js";
import { keyOfTarget } from "./targets.js";
import { putItem } from "./turns.js";

const rowOfTarget = (batch: Batch, target: RunTarget): RunRow | undefined => {
  const key = keyOfTarget(batch, target);
  return key === undefined ? undefined : batch.runs.get(key);
};

export function applySend(batch: Batch, changes: Changes, operation: SendOperation): SendOutcome {
  const row = rowOfTarget(batch, operation.target);
  if (row === undefined) return { status: "not_found" };
  if (!isOpenRow(row)) return { status: "not_running" };
  const key = `${row.chain}:${idKey(operation.dedupeKey)}`;
  if (batch.dedupeKeys.has(key)) return { status: "duplicate" };
  batch.dedupeKeys.add(key);
  changes.dedupeKeys.push({ chain: row.chain, key: operation.dedupeKey });
  row.hasKeys = true;
  const { position, claimed } = deliver(batch, changes, row, operation.item, operation.claimFor);
  return { status: "sent", key: row.key, position, claimed, owner: row.owner };
}

export function applyResume(batch: Batch, changes: Changes, operation: ResumeOperation): ResumeOutcome {
  const row = rowOfTarget(batch, operation.target);
  if (row === undefined) return { status: "not_found" };
  if (row.status !== parkedStatus) return { status: "not_parked" };
  row.crashCount = 0;
  // One that a worker is trying right now is due for nobody else; its next turn, or its recovery, says when it is due again.
  row.dueAt = row.owner === null ? batch.now : null;
  changes.changedRuns.add(row);
  return { status: "resumed" };
}

/**
 * Puts an item into the inbox and makes the run due or, if `claimFor` allows, gives it to that worker.
 * A parked run stays as it is: its code cannot run, so what came waits for whatever mends it. So does a delayed start, unless it is to be cancelled.
 */
export function deliver(
  batch: Batch,
  changes: Changes,
  row: RunRow,
  item: InboxItem,
  claimFor: ClaimFor | null,
): { readonly position: number; readonly claimed: ClaimedRun | null } {
  putItem(batch, changes, row, item);
  const position = row.inboxCount;
  if (!mayWake(batch, row, item.kind === "cancel")) return { position, claimed: null };
  const fact = batch.facts.get(row.key);
  if (claimFor !== null && fact !== undefined && mayClaim(batch, row, claimFor)) {
    row.owner = claimFor.worker;
    row.epoch += 1;
    row.isSuspect = false;
    row.dueAt = null;
    return { position, claimed: claimOf(row, fact, batch.names) };
  }
  if (row.dueAt === null || row.dueAt > batch.now) row.dueAt = batch.now;
  return { position, claimed: null };
}

function mayWake(batch: Batch, row: RunRow, cancels: boolean): boolean {
  if (row.owner !== null || row.status !== runningStatus) return false;
  const isDelayedStart = row.lastSeq === 0 && row.dueAt !== null && row.dueAt > batch.now;
  return !isDelayedStart || cancels;
}

function mayClaim(batch: Batch, row: RunRow, { worker, routes }: ClaimFor): boolean {
  const lease = batch.workers.get(worker);
  return !isSuspect(row) && lease !== undefined && batch.now < lease.leaseUntil && routes.includes(batch.names.nameOf(row.route));
}
