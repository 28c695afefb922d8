/** Worker processes and their leases. */
import type { Store, WorkerKey } from "../../backend/index.js";
import { freeRun, isAlive } from "./ownership.js";
import type { MemoryState } from "./state.js";
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

export function renewLease(state: MemoryState, options: Parameters<Store["renewLease"]>[0], now: number): boolean {
  const row = state.workers.get(options.worker);
  // An expired lease is never renewed, even if nobody has noticed yet: its worker has stopped its work, and a peer may be about to take it over.
  if (row === undefined || now >= row.leaseUntil) return false;
  row.leaseUntil = now + options.leaseMs;
  return true;
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
  const dead = [...state.workers.keys()].filter((worker) => worker !== self && !isAlive(state, worker, now));
  for (const worker of dead) state.workers.delete(worker);

  // By owner, not by death: a worker that was declared dead before it took something must not keep it.
  const freed = { runs: 0, tasks: 0 };
  for (const owner of new Set([...state.runsByOwner.keys(), ...state.tasksByOwner.keys()])) {
    if (owner === self || isAlive(state, owner, now)) continue;
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
