import type { ClaimedTask, NewTask, Payload, RunKey, TaskKey, WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";
import type { DueRow } from "./run-queue.js";

export interface TaskRow {
  readonly key: TaskKey;
  readonly run: RunKey;
  readonly command: number;
  readonly attempt: number;
  /** Null for a task that nobody may claim although nobody has it. */
  readonly dueAt: number | null;
  readonly owner: WorkerKey | null;
  readonly epoch: number;
  readonly cancelRequested: number;
}

export interface ExpiredTask extends TaskRow {
  readonly details: Payload | null;
}

/** Queued activities. */
export interface TaskTable {
  insert(key: TaskKey, run: RunKey, task: NewTask): void;
  /** Removes the task of a command, whether claimed or not. */
  removeCommand(run: RunKey, command: number): void;
  removeOfRun(run: RunKey): void;
  remove(key: TaskKey): void;
  /** Tells whoever works, or will work, at the task of a command to stop. */
  cancelCommand(run: RunKey, command: number): void;
  byKey(key: TaskKey): TaskRow | undefined;
  byAttempt(runId: string, command: number, attempt: number): TaskRow | undefined;
  /** Tasks on a route that are due and nobody's, the longest due first. */
  due(route: number, now: number, limit: number): DueRow[];
  nextDueAt(route: number, now: number): number | null;
  /** Makes the worker the owner at the next epoch. From now on the task expires by its heartbeat, if it has one. */
  take(key: TaskKey, worker: WorkerKey, now: number): void;
  /** Its worker has told that it goes on; details that are null stay as they were. */
  touch(key: TaskKey, now: number, details: Payload | null): void;
  /** Leaves the task without owner, and due for nobody. */
  detach(key: TaskKey): void;
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

type StoredClaim = Omit<ClaimedTask, "name" | "route" | "cancelRequested"> & {
  readonly name: number;
  readonly route: number;
  readonly cancelRequested: number;
};

const rowColumns = "t.key, t.run, t.command, t.attempt, t.due_at AS dueAt, t.owner, t.epoch, t.cancel_requested AS cancelRequested";

export function taskTable(connection: SqliteConnection, names: Names): TaskTable {
  const insert =
    connection.prepare(`INSERT INTO task (key, run, command, name, route, attempt, due_at, expires_at, heartbeat_ms, options, input, details)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const removeCommand = connection.prepare("DELETE FROM task WHERE run = ? AND command = ?");
  const removeOfRun = connection.prepare("DELETE FROM task WHERE run = ?");
  const remove = connection.prepare("DELETE FROM task WHERE key = ?");
  const cancelCommand = connection.prepare("UPDATE task SET cancel_requested = 1 WHERE run = ? AND command = ?");
  const byKey = connection.prepare(`SELECT ${rowColumns} FROM task AS t WHERE t.key = ?`);
  const byAttempt = connection.prepare(`SELECT ${rowColumns} FROM run_fact AS f JOIN task AS t ON t.run = f.key
    WHERE f.run_id = ? AND t.command = ? AND t.attempt = ?`);
  const due = connection.prepare(`SELECT key, due_at AS dueAt FROM task INDEXED BY task_due
    WHERE route = ? AND due_at <= ? AND owner IS NULL ORDER BY due_at LIMIT ?`);
  const nextDue = connection.prepare(`SELECT key, due_at AS dueAt FROM task INDEXED BY task_due
    WHERE route = ? AND due_at > ? AND owner IS NULL ORDER BY due_at LIMIT 1`);
  const take = connection.prepare("UPDATE task SET owner = ?, epoch = epoch + 1, expires_at = ? + heartbeat_ms WHERE key = ?");
  const touch = connection.prepare(`UPDATE task SET details = coalesce(?, details),
    expires_at = iif(heartbeat_ms IS NULL, expires_at, ? + heartbeat_ms) WHERE key = ?`);
  const detach = connection.prepare("UPDATE task SET owner = NULL, due_at = NULL WHERE key = ?");
  const expired = connection.prepare(`SELECT ${rowColumns}, t.details FROM task AS t INDEXED BY task_expiring
    WHERE t.expires_at <= ? ORDER BY t.expires_at LIMIT ?`);
  const claimed =
    connection.prepare(`SELECT t.key, t.run AS runKey, f.workflow_id AS workflowId, f.run_id AS runId, t.command, t.name, t.route,
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
    insert(key, run, { command, name, route, attempt, dueAt, expiresAt, heartbeatMs, options, input, details }) {
      const [nameId, routeId] = [names.ensure(name), names.ensure(route)];
      insert.run([key, run, command, nameId, routeId, attempt, dueAt, expiresAt, heartbeatMs, options, input, details]);
    },
    removeCommand: (run, command) => void removeCommand.run([run, command]),
    removeOfRun: (run) => void removeOfRun.run([run]),
    remove: (key) => void remove.run([key]),
    cancelCommand: (run, command) => void cancelCommand.run([run, command]),
    byKey: (key) => byKey.get<TaskRow>([key]),
    byAttempt: (runId, command, attempt) => byAttempt.get<TaskRow>([runId, command, attempt]),
    due: (route, now, limit) => due.all<DueRow>([route, now, limit]),
    nextDueAt: (route, now) => nextDue.get<DueRow>([route, now])?.dueAt ?? null,
    take: (key, worker, now) => void take.run([worker, now, key]),
    touch: (key, now, details) => void touch.run([details, now, key]),
    detach: (key) => void detach.run([key]),
    expired: (now, limit) => expired.all<ExpiredTask>([now, limit]),
    claimed(key) {
      const row = claimed.get<StoredClaim>([key]);
      if (row === undefined) return undefined;
      return { ...row, name: names.nameOf(row.name), route: names.nameOf(row.route), cancelRequested: row.cancelRequested !== 0 };
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
