import type { ClaimedTask, NewTask, RunKey, TaskKey, WorkerKey } from "../../backend/index.js";
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

interface DueRow {
  readonly key: TaskKey;
  readonly dueAt: number;
}

type StoredClaim = Omit<ClaimedTask, "name"> & { readonly name: number };

export type TaskTable = ReturnType<typeof taskTable>;

/** Queued activities. */
export function taskTable(connection: SqliteConnection, names: Names) {
  const insert = connection.prepare(
    "INSERT INTO task (key, run, command, name, queue, attempt, due_at, options, input) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const removeCommand = connection.prepare("DELETE FROM task WHERE run = ? AND command = ?");
  const removeOfRun = connection.prepare("DELETE FROM task WHERE run = ?");
  const remove = connection.prepare("DELETE FROM task WHERE key = ?");
  const byKey = connection.prepare("SELECT key, run, command, attempt, owner, epoch FROM task WHERE key = ?");
  const due = connection.prepare(
    "SELECT key, due_at AS dueAt FROM task INDEXED BY task_due WHERE name = ? AND due_at <= ? AND owner IS NULL ORDER BY due_at LIMIT ?",
  );
  const nextDue = connection.prepare(
    "SELECT due_at AS dueAt FROM task INDEXED BY task_due WHERE name = ? AND due_at > ? AND owner IS NULL ORDER BY due_at LIMIT 1",
  );
  const take = connection.prepare("UPDATE task SET owner = ?, epoch = epoch + 1 WHERE key = ?");
  const claimed =
    connection.prepare(`SELECT t.key, t.run AS runKey, f.workflow_id AS workflowId, f.run_id AS runId, t.command, t.name, t.queue, t.attempt,
    t.input, t.options, t.due_at AS dueAt, t.epoch, t.crash_count AS crashCount FROM task AS t JOIN run_fact AS f ON f.key = t.run WHERE t.key = ?`);
  const owned = connection.prepare("SELECT key FROM task INDEXED BY task_owned WHERE owner = ? ORDER BY key");
  const ownerAbove = connection.prepare("SELECT owner FROM task INDEXED BY task_owned WHERE owner > ? ORDER BY owner LIMIT 1");
  const free = connection.prepare(
    "UPDATE task SET owner = NULL, epoch = epoch + 1, due_at = ?, crash_count = crash_count + ? WHERE key = ? AND owner = ?",
  );
  const freeAll = connection.prepare(
    "UPDATE task SET owner = NULL, epoch = epoch + 1, due_at = ?, crash_count = crash_count + ? WHERE owner = ?",
  );
  return {
    insert(key: TaskKey, run: RunKey, { command, name, queue, attempt, dueAt, options, input }: NewTask): void {
      insert.run([key, run, command, names.ensure(name), queue, attempt, dueAt, options, input]);
    },
    removeCommand: (run: RunKey, command: number): void => void removeCommand.run([run, command]),
    removeOfRun: (run: RunKey): void => void removeOfRun.run([run]),
    remove: (key: TaskKey): void => void remove.run([key]),
    byKey: (key: TaskKey): TaskRow | undefined => byKey.get<TaskRow>([key]),
    /** Tasks of a name that are due and nobody's, the longest due first. */
    due: (name: number, now: number, limit: number): DueRow[] => due.all<DueRow>([name, now, limit]),
    nextDueAt: (name: number, now: number): number | null => nextDue.get<DueRow>([name, now])?.dueAt ?? null,
    /** Makes the worker the owner at the next epoch. */
    take: (key: TaskKey, worker: WorkerKey): void => void take.run([worker, key]),
    claimed(key: TaskKey): ClaimedTask | undefined {
      const row = claimed.get<StoredClaim>([key]);
      return row && { ...row, name: names.nameOf(row.name) };
    },
    owned: (worker: WorkerKey): TaskKey[] => owned.all<{ key: TaskKey }>([worker]).map(({ key }) => key),
    ownerAbove: (worker: WorkerKey): WorkerKey | undefined => ownerAbove.get<{ owner: number }>([worker])?.owner,
    /** Takes a task from this worker, fencing it, and makes it due. */
    free: (key: TaskKey, worker: WorkerKey, dueAt: number, crashes: number): number => free.run([dueAt, crashes, key, worker]),
    freeAll: (worker: WorkerKey, dueAt: number, crashes: number): number => freeAll.run([dueAt, crashes, worker]),
  };
}
