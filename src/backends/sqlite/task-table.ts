import type { ClaimedTask, NewTask, RunKey, TaskKey, WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";
import type { DueRow } from "./run-queue.js";

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
  byKey(key: TaskKey): TaskRow | undefined;
  /** Tasks of a name that are due and nobody's, the longest due first. */
  due(name: number, now: number, limit: number): DueRow[];
  nextDueAt(name: number, now: number): number | null;
  /** Makes the worker the owner at the next epoch. */
  take(key: TaskKey, worker: WorkerKey): void;
  /** What a worker needs to know. */
  claimed(key: TaskKey): ClaimedTask | undefined;
  owned(worker: WorkerKey): TaskKey[];
  /** The owner of tasks with the lowest key above this one. */
  ownerAbove(worker: WorkerKey): WorkerKey | undefined;
  /** Takes a task from this worker, fencing it, and makes it due. */
  free(key: TaskKey, worker: WorkerKey, dueAt: number): void;
  /** Takes all of its tasks from a worker and returns how many there were; `crashes` is added to their crash counts. */
  freeAll(worker: WorkerKey, dueAt: number, crashes: number): number;
}

type StoredClaim = Omit<ClaimedTask, "name"> & { readonly name: number };

export function taskTable(connection: SqliteConnection, names: Names): TaskTable {
  const insert = connection.prepare(`INSERT INTO task (key, run, command, name, queue, attempt, due_at, options, input)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const removeCommand = connection.prepare("DELETE FROM task WHERE run = ? AND command = ?");
  const removeOfRun = connection.prepare("DELETE FROM task WHERE run = ?");
  const remove = connection.prepare("DELETE FROM task WHERE key = ?");
  const byKey = connection.prepare("SELECT key, run, command, attempt, owner, epoch FROM task WHERE key = ?");
  const due = connection.prepare(`SELECT key, due_at AS dueAt FROM task INDEXED BY task_due
    WHERE name = ? AND due_at <= ? AND owner IS NULL ORDER BY due_at LIMIT ?`);
  const nextDue = connection.prepare(`SELECT key, due_at AS dueAt FROM task INDEXED BY task_due
    WHERE name = ? AND due_at > ? AND owner IS NULL ORDER BY due_at LIMIT 1`);
  const take = connection.prepare("UPDATE task SET owner = ?, epoch = epoch + 1 WHERE key = ?");
  const claimed =
    connection.prepare(`SELECT t.key, t.run AS runKey, f.workflow_id AS workflowId, f.run_id AS runId, t.command, t.name, t.queue,
    t.attempt, t.input, t.options, t.due_at AS dueAt, t.epoch, t.crash_count AS crashCount
    FROM task AS t JOIN run_fact AS f ON f.key = t.run WHERE t.key = ?`);
  const owned = connection.prepare("SELECT key FROM task INDEXED BY task_owned WHERE owner = ?");
  const ownerAbove = connection.prepare("SELECT owner FROM task INDEXED BY task_owned WHERE owner > ? ORDER BY owner LIMIT 1");
  const free = connection.prepare("UPDATE task SET owner = NULL, epoch = epoch + 1, due_at = ? WHERE key = ? AND owner = ?");
  const freeAll = connection.prepare(`UPDATE task SET owner = NULL, epoch = epoch + 1, due_at = ?, crash_count = crash_count + ?
    WHERE owner = ?`);
  return {
    insert(key, run, { command, name, queue, attempt, dueAt, options, input }) {
      insert.run([key, run, command, names.ensure(name), queue, attempt, dueAt, options, input]);
    },
    removeCommand: (run, command) => void removeCommand.run([run, command]),
    removeOfRun: (run) => void removeOfRun.run([run]),
    remove: (key) => void remove.run([key]),
    byKey: (key) => byKey.get<TaskRow>([key]),
    due: (name, now, limit) => due.all<DueRow>([name, now, limit]),
    nextDueAt: (name, now) => nextDue.get<DueRow>([name, now])?.dueAt ?? null,
    take: (key, worker) => void take.run([worker, key]),
    claimed(key) {
      const row = claimed.get<StoredClaim>([key]);
      return row && { ...row, name: names.nameOf(row.name) };
    },
    owned: (worker) => owned.all<{ key: TaskKey }>([worker]).map(({ key }) => key),
    ownerAbove: (worker) => ownerAbove.get<{ owner: WorkerKey }>([worker])?.owner,
    free: (key, worker, dueAt) => void free.run([dueAt, key, worker]),
    freeAll: (worker, dueAt, crashes) => freeAll.run([dueAt, crashes, worker]),
  };
}
