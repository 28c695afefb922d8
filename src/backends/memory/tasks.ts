/** Queued activities. */
import type { NewTask, Store, WorkerKey } from "../../backend/index.js";
import { claimedTaskOf, copyPayload } from "./copies.js";
import { enterDue, firstDue, leaveDue, nextDueAt } from "./due-index.js";
import { isAlive } from "./ownership.js";
import { addTo, removeFrom, type MemoryState, type RunRow, type TaskRow } from "./state.js";

/** Queues a task; one of the same command is an older attempt and goes. */
export function queueTask(state: MemoryState, run: RunRow, task: NewTask): void {
  withdrawTask(state, run, task.command);
  state.lastKeys.task += 1;
  const row: TaskRow = {
    key: state.lastKeys.task,
    runKey: run.key,
    command: task.command,
    name: task.name,
    route: task.route,
    attempt: task.attempt,
    input: copyPayload(task.input),
    options: task.options,
    dueAt: task.dueAt,
    expiresAt: null,
    heartbeatMs: task.heartbeatMs,
    details: copyPayload(task.details),
    owner: null,
    epoch: 0,
    crashCount: 0,
    isDetached: false,
    cancelRequested: false,
    heap: null,
    heapIndex: 0,
  };
  state.tasks.set(row.key, row);
  const ofRun = state.tasksByRun.get(run.key);
  if (ofRun === undefined) state.tasksByRun.set(run.key, new Map([[row.command, row]]));
  else ofRun.set(row.command, row);
  enterDue(state.dueTasks, row);
  setExpiry(state, row, task.expiresAt);
}

/** Tells whoever works, or will work, at the task of a command to stop. */
export function cancelTask(state: MemoryState, run: RunRow, command: number): void {
  const row = state.tasksByRun.get(run.key)?.get(command);
  if (row !== undefined) row.cancelRequested = true;
}

export function setExpiry(state: MemoryState, row: TaskRow, expiresAt: number | null): void {
  row.expiresAt = expiresAt;
  if (expiresAt === null) state.expiringTasks.delete(row);
  else state.expiringTasks.add(row);
}

/** Gives the claim up without making the task due. */
export function detachTask(state: MemoryState, row: TaskRow): void {
  setTaskOwner(state, row, null);
  row.isDetached = true;
}

/** Removes the task of a command, whether claimed or not. */
export function withdrawTask(state: MemoryState, run: RunRow, command: number): void {
  const row = state.tasksByRun.get(run.key)?.get(command);
  if (row !== undefined) removeTask(state, row);
}

export function withdrawAllTasks(state: MemoryState, run: RunRow): void {
  const ofRun = state.tasksByRun.get(run.key);
  if (ofRun === undefined) return;
  for (const row of ofRun.values()) removeTask(state, row);
}

export function removeTask(state: MemoryState, row: TaskRow): void {
  leaveDue(row);
  setTaskOwner(state, row, null);
  setExpiry(state, row, null);
  state.tasks.delete(row.key);
  const ofRun = state.tasksByRun.get(row.runKey);
  ofRun?.delete(row.command);
  if (ofRun?.size === 0) state.tasksByRun.delete(row.runKey);
}

/** Takes a task from its worker, fencing it, and makes it due at once. */
export function freeTask(state: MemoryState, row: TaskRow, now: number): void {
  setTaskOwner(state, row, null);
  // It waits for a worker again, and that it does for as long as it takes.
  setExpiry(state, row, null);
  row.epoch += 1;
  row.dueAt = now;
  enterDue(state.dueTasks, row);
}

export function claimTasks(
  state: MemoryState,
  options: Parameters<Store["claimTasks"]>[0],
  now: number,
): Awaited<ReturnType<Store["claimTasks"]>> {
  const { worker, routes, limit } = options;
  const rows: { readonly row: TaskRow; readonly dueAt: number }[] = [];
  const wanted = isAlive(state, worker, now) ? limit : 0;
  while (rows.length < wanted) {
    const row = firstDue(state.dueTasks, routes, now);
    if (row === null) break;
    leaveDue(row);
    setTaskOwner(state, row, worker);
    setExpiry(state, row, row.heartbeatMs === null ? null : now + row.heartbeatMs);
    row.epoch += 1;
    rows.push({ row, dueAt: row.dueAt ?? now });
    row.dueAt = null;
  }
  return { tasks: rows.map(({ row, dueAt }) => claimedTaskOf(state, row, dueAt)), nextDueAt: nextDueAt(state.dueTasks, routes, now) };
}

function setTaskOwner(state: MemoryState, row: TaskRow, owner: WorkerKey | null): void {
  if (row.owner !== null) removeFrom(state.tasksByOwner, row.owner, row);
  row.owner = owner;
  if (owner !== null) addTo(state.tasksByOwner, owner, row);
}
