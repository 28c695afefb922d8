/** What reaches a run from outside: messages, and the order to try a parked run again. */
import type { ClaimedRun, ClaimFor, InboxItem, ResumeOperation, ResumeOutcome, SendOperation, SendOutcome } from "../../backend/index.js";
import { isOpenRow, isSuspect, parkedStatus, runningStatus } from "./run-row.js";
import type { RunRow } from "./run-row.js";
import type { Work } from "./tables.js";

export function applySend(work: Work, operation: SendOperation): SendOutcome {
  const row = work.runs.find(operation.target);
  if (row === undefined) return { status: "not_found" };
  if (!isOpenRow(row)) return { status: "not_running" };
  if (!work.inbox.acceptKey(row.chain, operation.dedupeKey)) return { status: "duplicate" };
  const claimed = deliver(work, row, operation.item, operation.claimFor);
  return { status: "sent", key: row.key, position: row.inboxCount, claimed, owner: row.owner };
}

export function applyResume(work: Work, operation: ResumeOperation): ResumeOutcome {
  const row = work.runs.find(operation.target);
  if (row === undefined) return { status: "not_found" };
  if (row.status !== parkedStatus) return { status: "not_parked" };
  row.crashCount = 0;
  // One that a worker is trying right now is due for nobody else; its next turn, or its recovery, says when it is due again.
  row.dueAt = row.owner === null ? work.now : null;
  work.runs.save(row);
  return { status: "resumed" };
}

/**
 * Puts an item into the inbox and makes the run due or, if `claimFor` allows, gives it to that worker.
 * A parked run stays as it is: its code cannot run, so what came waits for whatever mends it. So does a delayed start, unless it is to be cancelled.
 */
export function deliver(work: Work, row: RunRow, item: InboxItem, claimFor: ClaimFor | null): ClaimedRun | null {
  row.inboxCount += 1;
  work.inbox.put(row.chain, row.inboxCount, item);
  work.runs.setInboxCount(row.key, row.inboxCount);
  if (!mayWake(work, row, item.kind === "cancel")) return null;
  if (claimFor !== null && mayClaim(work, row, claimFor)) {
    work.runs.take(row.key, claimFor.worker);
    row.owner = claimFor.worker;
    return work.records.claimed(row.key) ?? null;
  }
  if (row.dueAt === null || row.dueAt > work.now) work.runs.setDueAt(row.key, work.now);
  return null;
}

function mayWake(work: Work, row: RunRow, cancels: boolean): boolean {
  if (row.owner !== null || row.status !== runningStatus) return false;
  const isDelayedStart = row.lastSeq === 0 && row.dueAt !== null && row.dueAt > work.now;
  return !isDelayedStart || cancels;
}

const mayClaim = (work: Work, row: RunRow, { worker, routes }: ClaimFor): boolean =>
  !isSuspect(row) && routes.includes(work.names.nameOf(row.route)) && work.isAlive(worker);
