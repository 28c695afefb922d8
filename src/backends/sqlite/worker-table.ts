import type { WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

export interface WorkerRow {
  readonly key: WorkerKey;
  readonly workerId: string;
  readonly leaseUntil: number;
}

/** Worker processes with a lease; dead and retired ones are removed. */
export interface WorkerTable {
  insert(key: WorkerKey, workerId: string, leaseUntil: number): void;
  /** False if the lease is over, noticed or not. */
  renew(key: WorkerKey, leaseUntil: number, now: number): boolean;
  remove(key: WorkerKey): void;
  byKey(key: WorkerKey): WorkerRow | undefined;
  all(): WorkerRow[];
}

export function workerTable(connection: SqliteConnection): WorkerTable {
  const insert = connection.prepare("INSERT INTO worker (key, worker_id, lease_until) VALUES (?, ?, ?)");
  const renew = connection.prepare("UPDATE worker SET lease_until = ? WHERE key = ? AND lease_until > ?");
  const remove = connection.prepare("DELETE FROM worker WHERE key = ?");
  const byKey = connection.prepare("SELECT key, worker_id AS workerId, lease_until AS leaseUntil FROM worker WHERE key = ?");
  const all = connection.prepare("SELECT key, worker_id AS workerId, lease_until AS leaseUntil FROM worker ORDER BY key");
  return {
    insert: (key, workerId, leaseUntil) => void insert.run([key, workerId, leaseUntil]),
    renew: (key, leaseUntil, now) => renew.run([leaseUntil, key, now]) === 1,
    remove: (key) => void remove.run([key]),
    byKey: (key) => byKey.get<WorkerRow>([key]),
    all: () => all.all<WorkerRow>(),
  };
}
