/** Who drives a run. Every change of owner goes through here, so that the indexes by owner and by due time always agree with the rows. */
import { isOpen, type ClaimFor, type WorkerKey } from "../../backend/index.js";
import { enterDue, leaveDue } from "./due-index.js";
import { addTo, isSuspect, removeFrom, type MemoryState, type RunRow } from "./state.js";

/** Makes `worker` the owner at the next epoch. */
export function takeRun(state: MemoryState, row: RunRow, worker: WorkerKey): void {
  setOwner(state, row, worker);
  row.epoch += 1;
  row.claimedAsSuspect = isSuspect(row);
  setDue(state, row, null);
}

/** Leaves the run without owner, due at `dueAt`. The epoch stays: without owner no turn is accepted. */
export function releaseRun(state: MemoryState, row: RunRow, dueAt: number | null): void {
  setOwner(state, row, null);
  setDue(state, row, dueAt);
}

/** Takes the run from its owner, fencing it, and makes it due at once. */
export function freeRun(state: MemoryState, row: RunRow, now: number): void {
  row.epoch += 1;
  releaseRun(state, row, now);
}

/** Changes when a run wants to be driven (and enters it anew after a change of its crash count). */
export function setDue(state: MemoryState, row: RunRow, dueAt: number | null): void {
  leaveDue(row);
  row.dueAt = dueAt;
  if (dueAt !== null && row.owner === null && isOpen(row.status)) enterDue(isSuspect(row) ? state.dueSuspects : state.dueRuns, row);
}

/**
 * Something came into the inbox: makes the run due and, if `claimFor` allows, gives it to that worker. Returns whether it was given.
 * A parked run stays as it is: its code cannot run, so what came waits for whatever mends it. So does a delayed start, unless it is to be cancelled.
 */
export function wakeRun(
  state: MemoryState,
  row: RunRow,
  options: { readonly now: number; readonly cancels: boolean; readonly claimFor: ClaimFor | null },
): boolean {
  const { now, cancels, claimFor } = options;
  if (row.owner !== null || row.status !== "running") return false;
  const isDelayedStart = row.lastSeq === 0 && row.dueAt !== null && row.dueAt > now;
  if (isDelayedStart && !cancels) return false;
  if (claimFor !== null && claimFor.routes.includes(row.route) && isAlive(state, claimFor.worker, now) && !isSuspect(row)) {
    takeRun(state, row, claimFor.worker);
    return true;
  }
  if (row.dueAt === null || row.dueAt > now) setDue(state, row, now);
  return false;
}

/** A worker may take things only while its lease lasts. What it took before then is fenced by epochs alone. */
export function isAlive(state: MemoryState, worker: WorkerKey, now: number): boolean {
  const row = state.workers.get(worker);
  return row !== undefined && now < row.leaseUntil;
}

function setOwner(state: MemoryState, row: RunRow, owner: WorkerKey | null): void {
  if (row.owner !== null) removeFrom(state.runsByOwner, row.owner, row);
  row.owner = owner;
  if (owner !== null) addTo(state.runsByOwner, owner, row);
}
