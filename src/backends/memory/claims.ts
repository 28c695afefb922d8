/** How workers come by runs, and what they hold. */
import type { ClaimedRun, Store, WorkerKey } from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { claimedRunOf, inboxCountOf, inboxRecordOf } from "./copies.js";
import { earlier, firstDue, nextDueAt, type DueIndex } from "./due-index.js";
import { isAlive, setDue, takeRun } from "./ownership.js";
import { rowOf, type MemoryState, type RunRow } from "./state.js";

export function claimRuns(
  state: MemoryState,
  options: Parameters<Store["claimRuns"]>[0],
  now: number,
): Awaited<ReturnType<Store["claimRuns"]>> {
  const { worker, routes, limit, suspects } = options;
  const runs: ClaimedRun[] = [];
  const claimFrom = (index: DueIndex<RunRow>, wanted: number): void => {
    for (let claimed = 0; claimed < wanted; claimed += 1) {
      const row = firstDue(index, routes, now);
      if (row === null) return;
      takeRun(state, row, worker);
      const { rows } = rowOf(state.inboxes, row.chain);
      runs.push({ ...claimedRunOf(state, row), mail: rows.filter(({ consumed }) => !consumed).map(inboxRecordOf) });
    }
  };
  if (isAlive(state, worker, now)) {
    claimFrom(state.dueRuns, limit);
    claimFrom(state.dueSuspects, suspects);
  }
  return { runs, nextDueAt: earlier(nextDueAt(state.dueRuns, routes, now), nextDueAt(state.dueSuspects, routes, now)) };
}

export function reclaimRun(state: MemoryState, options: Parameters<Store["reclaimRun"]>[0]): ClaimedRun | null {
  const row = state.runs.get(options.key);
  if (row === undefined || !isOpen(row.status) || row.owner !== options.worker || row.epoch !== options.epoch) return null;
  takeRun(state, row, options.worker);
  return claimedRunOf(state, row);
}

export function inspectOwned(state: MemoryState, worker: WorkerKey): Awaited<ReturnType<Store["inspectOwned"]>> {
  const runs = [...(state.runsByOwner.get(worker) ?? [])];
  const tasks = [...(state.tasksByOwner.get(worker) ?? [])];
  return {
    runs: runs.map((row) => ({ key: row.key, inboxCount: inboxCountOf(state, row), inboxSeen: row.inboxSeen })),
    tasks: tasks.map(({ key, cancelRequested }) => ({ key, cancelRequested })),
  };
}

/** Makes the parked runs on these routes due, and returns how many that were not. A poisoned one waits for a person. */
export function retryParked(state: MemoryState, routes: readonly string[], now: number): number {
  let retried = 0;
  for (const route of new Set(routes)) {
    for (const row of state.parkedByRoute.get(route) ?? []) {
      const isWaiting = row.owner === null && (row.dueAt === null || row.dueAt > now);
      if (!isWaiting || row.parkReason?.code === "poisoned") continue;
      setDue(state, row, now);
      retried += 1;
    }
  }
  return retried;
}
