import type { NewTask, Payload, RunKey, TaskKey, WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";

export interface TaskRow {
  readonly key: TaskKey;
  readonly run: RunKey;
  readonly command: number;
  readonly attempt: number;
  readonly owner: WorkerKey | null;
  readonly epoch: number;
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
  isCancelRequested(key: TaskKey): boolean;
  byKey(key: TaskKey): TaskRow | undefined;
  byAttempt(runId: string, command: number, attempt: number): TaskRow | undefined;
  /** Its worker has told that it goes on; details that are null stay as they were. */
  touch(key: TaskKey, now: number, details: Payload | null): void;
  /** Leaves the task without owner, and due for nobody. */
  detach(key: TaskKey): void;
}

export const taskColumns = "t.key, t.run, t.command, t.attempt, t.owner, t.epoch";

export function taskTable(connection: SqliteConnection, names: Names): TaskTable {
  const insert =
    connection.prepare(`INSERT INTO task (key, run, command, name, route, attempt, due_at, expires_at, heartbeat_ms, options, input, details)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const removeCommand = connection.prepare("DELETE FROM task WHERE run = ? AND command = ?");
  const removeOfRun = connection.prepare("DELETE FROM task WHERE run = ?");
  const remove = connection.prepare("DELETE FROM task WHERE key = ?");
  const cancelCommand = connection.prepare("UPDATE task SET cancel_requested = 1 WHERE run = ? AND command = ?");
  const requested = connection.prepare("SELECT cancel_requested AS requested FROM task WHERE key = ?");
  const byKey = connection.prepare(`SELECT ${taskColumns} FROM task AS t WHERE t.key = ?`);
  const byAttempt = connection.prepare(`SELECT ${taskColumns} FROM run_fact AS f JOIN task AS t ON t.run = f.key
    WHERE f.run_id = ? AND t.command = ? AND t.attempt = ?`);
  const touch = connection.prepare(`UPDATE task SET details = coalesce(?, details),
    expires_at = iif(heartbeat_ms IS NULL, expires_at, ? + heartbeat_ms) WHERE key = ?`);
  const detach = connection.prepare("UPDATE task SET owner = NULL, due_at = NULL WHERE key = ?");
  return {
    insert(key, run, { command, name, route, attempt, dueAt, expiresAt, heartbeatMs, options, input, details }) {
      const [nameId, routeId] = [names.ensure(name), names.ensure(route)];
      insert.run([key, run, command, nameId, routeId, attempt, dueAt, expiresAt, heartbeatMs, options, input, details]);
    },
    removeCommand: (run, command) => void removeCommand.run([run, command]),
    removeOfRun: (run) => void removeOfRun.run([run]),
    remove: (key) => void remove.run([key]),
    cancelCommand: (run, command) => void cancelCommand.run([run, command]),
    isCancelRequested: (key) => requested.get<{ requested: number }>([key])?.requested === 1,
    byKey: (key) => byKey.get<TaskRow>([key]),
    byAttempt: (runId, command, attempt) => byAttempt.get<TaskRow>([runId, command, attempt]),
    touch: (key, now, details) => void touch.run([details, now, key]),
    detach: (key) => void detach.run([key]),
  };
}
