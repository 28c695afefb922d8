import type { ClaimedTask, Payload, TaskKey, WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";
import type { DueRow } from "./run-queue.js";
import { taskColumns } from "./task-table.js";
import type { TaskRow } from "./task-table.js";

export interface ExpiredTask extends TaskRow {
  /** Null for a task that nobody may claim although nobody has it. */
  readonly dueAt: number | null;
  readonly details: Payload | null;
}

/** Queued activities by what is to be done about them. */
export interface TaskQueue {
  /** Tasks on a route that are due and nobody's, the longest due first. */
  due(route: number, now: number, limit: number): DueRow[];
  nextDueAt(route: number, now: number): number | null;
  /** Makes the worker the owner at the next epoch. From now on the task expires by its heartbeat, if it has one. */
  take(key: TaskKey, worker: WorkerKey, now: number): void;
  /** What has expired, the longest overdue first. */
  expired(now: number, limit: number): ExpiredTask[];
  /** What a worker needs to know. */
  claimed(key: TaskKey): ClaimedTask | undefined;
  owned(worker: WorkerKey): { readonly key: TaskKey; readonly cancelRequested: boolean }[];
  /** The owner of tasks with the lowest key above this one. */
  ownerAbove(worker: WorkerKey): WorkerKey | undefined;
  /** Takes a task from this worker, fencing it, and makes it due. */
  free(key: TaskKey, worker: WorkerKey, dueAt: number): void;
  /** Takes all of its tasks from a worker and returns how many there were; `crashes` is added to their crash counts. */
  freeAll(worker: WorkerKey, dueAt: number, crashes: number): number;
}

type StoredClaim = Omit<ClaimedTask, "key" | "name" | "route" | "cancelRequested"> & {
  readonly name: number;
  readonly route: number;
  readonly cancelRequested: number;
};

export function taskQueue(connection: SqliteConnection, names: Names): TaskQueue {
  const due = connection.prepare(`SELECT key, due_at AS dueAt FROM task INDEXED BY task_due
    WHERE route = ? AND due_at <= ? AND owner IS NULL ORDER BY due_at LIMIT ?`);
  const nextDue = connection.prepare(`SELECT key, due_at AS dueAt FROM task INDEXED BY task_due
    WHERE route = ? AND due_at > ? AND owner IS NULL ORDER BY due_at LIMIT 1`);
  const take = connection.prepare("UPDATE task SET owner = ?, epoch = epoch + 1, expires_at = ? + heartbeat_ms WHERE key = ?");
  const expired = connection.prepare(`SELECT ${taskColumns}, t.due_at AS dueAt, t.details FROM task AS t INDEXED BY task_expiring
    WHERE t.expires_at <= ? ORDER BY t.expires_at LIMIT ?`);
  const claimed = connection.prepare(`SELECT t.run AS runKey, f.workflow_id AS workflowId, f.run_id AS runId, t.command, t.name, t.route,
    t.attempt, t.input, t.options, t.due_at AS dueAt, t.heartbeat_ms AS heartbeatMs, t.details, t.epoch, t.crash_count AS crashCount,
    t.cancel_requested AS cancelRequested
    FROM task AS t JOIN run_fact AS f ON f.key = t.run WHERE t.key = ?`);
  const owned = connection.prepare("SELECT key, cancel_requested AS cancelRequested FROM task INDEXED BY task_owned WHERE owner = ?");
  const ownerAbove = connection.prepare("SELECT owner FROM task INDEXED BY task_owned WHERE owner > ? ORDER BY owner LIMIT 1");
  // It waits for a worker again, and that it does for as long as it takes.
  const free = connection.prepare(
    "UPDATE task SET owner = NULL, epoch = epoch + 1, due_at = ?, expires_at = NULL WHERE key = ? AND owner = ?",
  );
  const freeAll = connection.prepare(`UPDATE task SET owner = NULL, epoch = epoch + 1, due_at = ?, expires_at = NULL,
    crash_count = crash_count + ? WHERE owner = ?`);
  return {
    due: (route, now, limit) => due.all<DueRow>([route, now, limit]),
    nextDueAt: (route, now) => nextDue.get<DueRow>([route, now])?.dueAt ?? null,
    take: (key, worker, now) => void take.run([worker, now, key]),
    expired: (now, limit) => expired.all<ExpiredTask>([now, limit]),
    claimed(key) {
      const row = claimed.get<StoredClaim>([key]);
      return row && claimOf(key, row, names);
    },
    owned: (worker) =>
      owned
        .all<{ key: TaskKey; cancelRequested: number }>([worker])
        .map(({ key, cancelRequested }) => ({ key, cancelRequested: cancelRequested !== 0 })),
    ownerAbove: (worker) => ownerAbove.get<{ owner: WorkerKey }>([worker])?.owner,
    free: (key, worker, dueAt) => void free.run([dueAt, key, worker]),
    freeAll: (worker, dueAt, crashes) => freeAll.run([dueAt, crashes, worker]),
  };
}

/** Field by field, which for a row of this width is faster than to copy it and replace some of it. */
const claimOf = (key: TaskKey, row: StoredClaim, names: Names): ClaimedTask => ({
  key,
  runKey: row.runKey,
  workflowId: row.workflowId,
  runId: row.runId,
  command: row.command,
  name: names.nameOf(row.name),
  route: names.nameOf(row.route),
  attempt: row.attempt,
  input: row.input,
  options: row.options,
  dueAt: row.dueAt,
  heartbeatMs: row.heartbeatMs,
  details: row.details,
  epoch: row.epoch,
  crashCount: row.crashCount,
  cancelRequested: row.cancelRequested !== 0,
});
