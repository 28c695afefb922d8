/** Worker processes and their leases. */
import type { Pulse, Store, WorkerKey } from "../../backend/index.js";
import { earlier, firstDueAt } from "./due-index.js";
import { freeRun, isAlive } from "./ownership.js";
import type { MemoryState } from "./state.js";
import { hasExpired } from "./task-outcomes.js";
import { freeTask } from "./tasks.js";

export function registerWorker(
  state: MemoryState,
  options: Parameters<Store["registerWorker"]>[0],
  now: number,
): { readonly worker: WorkerKey } {
  state.lastKeys.worker += 1;
  const worker = state.lastKeys.worker;
  state.workers.set(worker, { key: worker, workerId: options.workerId, leaseUntil: now + options.leaseMs });
  return { worker };
}

export function pulse(state: MemoryState, { worker, leaseMs, runRoutes, taskRoutes }: Parameters<Store["pulse"]>[0], now: number): Pulse {
  const row = state.workers.get(worker);
  // An expired lease is never renewed, even if nobody has noticed yet: its worker has stopped its work, and a peer may be about to take it over.
  const lives = row !== undefined && now < row.leaseUntil;
  if (lives && leaseMs !== null) row.leaseUntil = now + leaseMs;
  const { dead, orphaned } = findCasualties(state, worker, now);
  return {
    isAlive: lives,
    ownsAny: owners(state).has(worker),
    othersOwn: [...owners(state)].some((owner) => owner !== worker),
    nextRunDueAt: earlier(firstDueAt(state.dueRuns, runRoutes, now), firstDueAt(state.dueSuspects, runRoutes, now)),
    nextTaskDueAt: firstDueAt(state.dueTasks, taskRoutes, now),
    hasCasualties: dead.length + orphaned.length > 0,
    hasExpired: hasExpired(state, now),
  };
}

const owners = (state: MemoryState): ReadonlySet<WorkerKey> => new Set([...state.runsByOwner.keys(), ...state.tasksByOwner.keys()]);

function findCasualties(
  state: MemoryState,
  self: WorkerKey | null,
  now: number,
): { readonly dead: readonly WorkerKey[]; readonly orphaned: readonly WorkerKey[] } {
  const isGone = (worker: WorkerKey): boolean => worker !== self && !isAlive(state, worker, now);
  // By owner, not by death: a worker that was declared dead before it took something must not keep it.
  return { dead: [...state.workers.keys()].filter(isGone), orphaned: [...owners(state)].filter(isGone) };
}

export function retireWorker(state: MemoryState, worker: WorkerKey, now: number): void {
  state.workers.delete(worker);
  freeAllOf(state, worker, { now, crashed: false });
}

export function release(state: MemoryState, options: Parameters<Store["release"]>[0], now: number): void {
  for (const key of options.runs) {
    const run = state.runs.get(key);
    if (run?.owner === options.worker) freeRun(state, run, now);
  }
  for (const key of options.tasks) {
    const task = state.tasks.get(key);
    if (task?.owner === options.worker) freeTask(state, task, now);
  }
}

export function recover(state: MemoryState, self: WorkerKey | null, now: number): Awaited<ReturnType<Store["recover"]>> {
  const { dead, orphaned } = findCasualties(state, self, now);
  for (const worker of dead) state.workers.delete(worker);
  const freed = { runs: 0, tasks: 0 };
  for (const owner of orphaned) {
    const { runs, tasks } = freeAllOf(state, owner, { now, crashed: true });
    freed.runs += runs;
    freed.tasks += tasks;
  }
  return { workers: dead.length, ...freed };
}

/** Takes everything from a worker, fencing it, and makes it due at once. A crash is put down to the suspects among its runs, or else to all it held. */
function freeAllOf(
  state: MemoryState,
  worker: WorkerKey,
  { now, crashed }: { readonly now: number; readonly crashed: boolean },
): { readonly runs: number; readonly tasks: number } {
  const runs = [...(state.runsByOwner.get(worker) ?? [])];
  const tasks = [...(state.tasksByOwner.get(worker) ?? [])];
  const hasSuspects = runs.some((run) => run.claimedAsSuspect);
  for (const run of runs) {
    if (crashed && (run.claimedAsSuspect || !hasSuspects)) run.crashCount += 1;
    freeRun(state, run, now);
  }
  for (const task of tasks) {
    if (crashed && !hasSuspects) task.crashCount += 1;
    freeTask(state, task, now);
  }
  return { runs: runs.length, tasks: tasks.length };
}
