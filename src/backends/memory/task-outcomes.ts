/** What becomes of claimed tasks: they end, go on, or expire. */
import type {
  FinishTaskOperation,
  FinishTaskOutcome,
  InboxItem,
  TaskTarget,
  TouchTaskOperation,
  TouchTaskOutcome,
} from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { claimedRunOf, copyPayload } from "./copies.js";
import { putItem } from "./inbox.js";
import { wakeRun } from "./ownership.js";
import { rowOf, type MemoryState, type TaskRow } from "./state.js";
import { detachTask, removeTask, setExpiry } from "./tasks.js";

/** A claimed task at its epoch; or whatever task there is for this attempt, claimed or not. */
function findTask(state: MemoryState, target: TaskTarget): TaskRow | undefined {
  if ("key" in target) {
    const task = state.tasks.get(target.key);
    return task?.owner !== null && task?.epoch === target.epoch ? task : undefined;
  }
  const run = state.runByRunId.get(target.runId);
  const task = run === undefined ? undefined : state.tasksByRun.get(run.key)?.get(target.command);
  return task?.attempt === target.attempt ? task : undefined;
}

export function applyFinishTask(state: MemoryState, operation: FinishTaskOperation, now: number): FinishTaskOutcome {
  const task = findTask(state, operation.task);
  if (task === undefined) return { status: "gone" };
  const row = rowOf(state.runs, task.runKey);
  const { kind } = operation;
  removeTask(state, task);
  if (kind === "done") return { status: "finished", runKey: row.key, position: 0, claimed: null, owner: row.owner };
  // A task that an ended run left behind has nobody to tell.
  if (!isOpen(row.status)) return { status: "gone" };
  const item = { kind, name: "", command: task.command, attempt: task.attempt, payload: operation.payload, options: null };
  const position = putItem(rowOf(state.inboxes, row.chain), item);
  const claimed = wakeRun(state, row, { now, cancels: false, claimFor: operation.claimFor });
  return { status: "finished", runKey: row.key, position, claimed: claimed ? claimedRunOf(state, row) : null, owner: row.owner };
}

export function applyTouchTask(state: MemoryState, operation: TouchTaskOperation, now: number): TouchTaskOutcome {
  const task = findTask(state, operation);
  if (task === undefined) return { status: "gone" };
  if (operation.details !== null) task.details = copyPayload(operation.details);
  if (task.heartbeatMs !== null) setExpiry(state, task, now + task.heartbeatMs);
  if (operation.detach) detachTask(state, task);
  return { status: "touched", cancelRequested: task.cancelRequested };
}

export function hasExpired(state: MemoryState, now: number): boolean {
  for (const { expiresAt } of state.expiringTasks) if (expiresAt !== null && expiresAt <= now) return true;
  return false;
}

export function expireTasks(state: MemoryState, now: number): number {
  const overdue = [...state.expiringTasks].filter((task) => task.expiresAt !== null && task.expiresAt <= now);
  for (const task of overdue.toSorted((a, b) => a.key - b.key)) {
    const row = rowOf(state.runs, task.runKey);
    const item: InboxItem = {
      kind: "activity_expired",
      name: task.owner === null && !task.isDetached ? "queued" : "heartbeat",
      command: task.command,
      attempt: task.attempt,
      payload: task.details,
      options: null,
    };
    removeTask(state, task);
    if (!isOpen(row.status)) continue;
    putItem(rowOf(state.inboxes, row.chain), item);
    wakeRun(state, row, { now, cancels: false, claimFor: null });
  }
  return overdue.length;
}
