import type { WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

export interface WorkerRow {
  readonly key: WorkerKey;
  readonly workerId: string;
  readonly leaseUntil: number;
}

export type WorkerTable = ReturnType<typeof workerTable>;

/** Worker processes with a lease; dead and retired ones are removed. */
export function workerTable(connection: SqliteConnection) {
  const insert = connection.prepare("INSERT INTO worker (key, worker_id, lease_until) VALUES (?, ?, ?)");
  const renew = connection.prepare("UPDATE worker SET lease_until = ? WHERE key = ? AND lease_until > ?");
  const remove = connection.prepare("DELETE FROM worker WHERE key = ?");
  const byKey = connection.prepare("SELECT key, worker_id AS workerId, lease_until AS leaseUntil FROM worker WHERE key = ?");
  const all = connection.prepare("SELECT key, worker_id AS workerId, lease_until AS leaseUntil FROM worker ORDER BY key");
  return {
    insert: (key: WorkerKey, workerId: string, leaseUntil: number): void => void insert.run([key, workerId, leaseUntil]),
    /** False if the lease is over, noticed or not. */
    renew: (key: WorkerKey, leaseUntil: number, now: number): boolean => renew.run([leaseUntil, key, now]) === 1,
    remove: (key: WorkerKey): boolean => remove.run([key]) === 1,
    byKey: (key: WorkerKey): WorkerRow | undefined => byKey.get<WorkerRow>([key]),
    all: (): WorkerRow[] => all.all<WorkerRow>(),
  };
}
