/** What becomes of claimed tasks: they end, go on, or expire. */
import type {
  FinishTaskOperation,
  FinishTaskOutcome,
  InboxItem,
  TaskTarget,
  TouchTaskOperation,
  TouchTaskOutcome,
} from "../../backend/index.js";
import { deliver } from "./messages.js";
import { isOpenRow } from "./run-row.js";
import type { RunRow } from "./run-row.js";
import type { Tables, Work } from "./tables.js";
import type { TaskRow } from "./task-table.js";

/** A claimed task at its epoch; or whatever task there is for this attempt, claimed or not. */
function findTask({ tasks }: Tables, target: TaskTarget): TaskRow | undefined {
  if (!("key" in target)) return tasks.byAttempt(target.runId, target.command, target.attempt);
  const task = tasks.byKey(target.key);
  return task !== undefined && task.owner !== null && task.epoch === target.epoch ? task : undefined;
}

function runOf({ runs }: Tables, task: TaskRow): RunRow {
  const row = runs.byKey(task.run);
  if (row === undefined) throw new Error(`The run ${task.run} of task ${task.key} is missing.`);
  return row;
}

export function applyFinishTask(work: Work, operation: FinishTaskOperation): FinishTaskOutcome {
  const task = findTask(work, operation.task);
  if (task === undefined) return { status: "gone" };
  const row = runOf(work, task);
  const { kind } = operation;
  work.tasks.remove(task.key);
  if (kind === "done") return { status: "finished", runKey: row.key, position: 0, claimed: null, owner: row.owner };
  // A task that an ended run left behind has nobody to tell.
  if (!isOpenRow(row)) return { status: "gone" };
  const { command, attempt } = task;
  const item: InboxItem = { kind, name: "", command, attempt, payload: operation.payload, options: null };
  const claimed = deliver(work, row, item, operation.claimFor);
  return { status: "finished", runKey: row.key, position: row.inboxCount, claimed, owner: row.owner };
}

export function applyTouchTask(work: Work, operation: TouchTaskOperation): TouchTaskOutcome {
  const task = findTask(work, operation);
  if (task === undefined) return { status: "gone" };
  work.tasks.touch(task.key, work.now, operation.details);
  if (operation.detach) work.tasks.detach(task.key);
  return { status: "touched", cancelRequested: work.tasks.isCancelRequested(task.key) };
}

/** How many tasks expire in one transaction: a few milliseconds. */
export const expiredMax = 200;

export const hasExpiredTasks = ({ taskQueue }: Tables, now: number): boolean => taskQueue.expired(now, 1).length > 0;

/** Removes the tasks that are overdue, at most `expiredMax`, and tells their runs. */
export function expireTasks(work: Work): number {
  const overdue = work.taskQueue.expired(work.now, expiredMax);
  for (const task of overdue.toSorted((a, b) => a.key - b.key)) {
    const row = runOf(work, task);
    const { command, attempt, details } = task;
    const name = task.owner === null && task.dueAt !== null ? "queued" : "heartbeat";
    work.tasks.remove(task.key);
    if (!isOpenRow(row)) continue;
    deliver(work, row, { kind: "activity_expired", name, command, attempt, payload: details, options: null }, null);
  }
  return overdue.length;
}
