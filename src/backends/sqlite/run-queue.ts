import type { RunKey, WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import { rowColumns } from "./run-row.js";
import type { RunRow } from "./run-row.js";

export interface DueRow {
  readonly key: number;
  readonly dueAt: number;
}

export interface OwnedRun {
  readonly key: RunKey;
  readonly inboxCount: number;
  readonly inboxSeen: number;
}

/** Runs by what is to be done about them. Each statement is tied to its index, so that what merely sleeps or has ended costs nothing. */
export interface RunQueue {
  /** Runs on a route that are due and nobody's, the longest due first. */
  due(route: number, now: number, limit: number): DueRow[];
  /** The same of those whose crashes make them suspects. */
  dueSuspects(route: number, now: number, limit: number): DueRow[];
  /** The earliest time after `now` at which one of either is due. */
  nextDueAt(route: number, now: number): number | null;
  /** Parked runs on a route that nobody is trying. */
  parked(route: number): RunRow[];
  owned(worker: WorkerKey): OwnedRun[];
  ownedRows(worker: WorkerKey): RunRow[];
  /** The owner of runs with the lowest key above this one. */
  ownerAbove(worker: WorkerKey): WorkerKey | undefined;
}

export function runQueue(connection: SqliteConnection): RunQueue {
  const due = connection.prepare(`SELECT key, due_at AS dueAt FROM run INDEXED BY run_due
    WHERE route = ? AND due_at <= ? AND owner IS NULL AND crash_count < 2 ORDER BY due_at LIMIT ?`);
  const dueSuspects = connection.prepare(`SELECT key, due_at AS dueAt FROM run INDEXED BY run_due_suspect
    WHERE route = ? AND due_at <= ? AND owner IS NULL AND crash_count >= 2 ORDER BY due_at LIMIT ?`);
  const next = connection.prepare(`SELECT key, due_at AS dueAt FROM run INDEXED BY run_due
    WHERE route = ? AND due_at > ? AND owner IS NULL AND crash_count < 2 ORDER BY due_at LIMIT 1`);
  const nextSuspect = connection.prepare(`SELECT key, due_at AS dueAt FROM run INDEXED BY run_due_suspect
    WHERE route = ? AND due_at > ? AND owner IS NULL AND crash_count >= 2 ORDER BY due_at LIMIT 1`);
  const parked = connection.prepare(
    `SELECT ${rowColumns} FROM run AS r INDEXED BY run_parked WHERE r.route = ? AND r.status = 1 AND r.owner IS NULL`,
  );
  const owned = connection.prepare(
    "SELECT key, inbox_count AS inboxCount, inbox_seen AS inboxSeen FROM run INDEXED BY run_owned WHERE owner = ?",
  );
  const ownedRows = connection.prepare(`SELECT ${rowColumns} FROM run AS r INDEXED BY run_owned WHERE r.owner = ?`);
  const ownerAbove = connection.prepare("SELECT owner FROM run INDEXED BY run_owned WHERE owner > ? ORDER BY owner LIMIT 1");
  return {
    due: (route, now, limit) => due.all<DueRow>([route, now, limit]),
    dueSuspects: (route, now, limit) => dueSuspects.all<DueRow>([route, now, limit]),
    nextDueAt(route, now) {
      const times = [next, nextSuspect].flatMap((statement) => statement.get<DueRow>([route, now])?.dueAt ?? []);
      return times.length === 0 ? null : Math.min(...times);
    },
    parked: (route) => parked.all<RunRow>([route]),
    owned: (worker) => owned.all<OwnedRun>([worker]),
    ownedRows: (worker) => ownedRows.all<RunRow>([worker]),
    ownerAbove: (worker) => ownerAbove.get<{ owner: WorkerKey }>([worker])?.owner,
  };
}
