import type { ClaimedRun, NewRun, ParkReason, RunKey, RunRecord, RunStatus, WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";
import { suspectCrashCount } from "./schema.js";

/** Statuses as they are stored. */
export const statuses: readonly RunStatus[] = ["running", "parked", "completed", "failed", "cancelled", "terminated", "continued"];
export const runningStatus = 0;
export const parkedStatus = 1;
export const statusNumber = (status: RunStatus): number => statuses.indexOf(status);
const statusOf = (stored: number): RunStatus => statuses[stored] ?? "running";

/** The part of a run that changes. */
export interface RunRow {
  readonly key: RunKey;
  readonly chain: RunKey;
  /** Id of the name. */
  readonly name: number;
  status: number;
  owner: WorkerKey | null;
  epoch: number;
  lastSeq: number;
  inboxCount: number;
  inboxSeen: number;
  dueAt: number | null;
  crashCount: number;
  parkCount: number;
  /** Was it claimed as a suspect? Then its worker's death is put down to it. */
  isSuspect: number;
  endedAt: number | null;
  parkReason: string | null;
}

export const isSuspect = (row: RunRow): boolean => row.crashCount >= suspectCrashCount;
export const isOpenRow = (row: RunRow): boolean => row.status <= parkedStatus;

/** A turn as the conditional updates want it: what must still be so, and what is so afterwards. */
export interface Step {
  readonly key: RunKey;
  readonly epoch: number;
  readonly lastSeq: number;
  readonly newLastSeq: number;
  /** How many items the driver has seen, which must be all there are. */
  readonly inboxSeen: number;
}

export type RunTarget = { readonly workflowId: string } | { readonly runId: string };

const rowColumns = `r.key, r.chain, r.name, r.status, r.owner, r.epoch, r.last_seq AS lastSeq, r.inbox_count AS inboxCount, r.inbox_seen AS inboxSeen,
  r.due_at AS dueAt, r.crash_count AS crashCount, r.park_count AS parkCount, r.is_suspect AS isSuspect, r.ended_at AS endedAt, r.park_reason AS parkReason`;
const recordColumns = `r.key, f.workflow_id AS workflowId, f.run_id AS runId, r.name, f.version, f.engine_version AS engineVersion, f.input_hash AS inputHash,
  r.status, f.created_at AS createdAt, r.ended_at AS endedAt, f.deadline_at AS deadlineAt, r.due_at AS dueAt, w.worker_id AS ownerId, r.epoch,
  r.last_seq AS lastSeq, r.inbox_count AS inboxCount, (SELECT count(*) FROM inbox AS i WHERE i.chain = r.chain) AS inboxUnread,
  r.crash_count AS crashCount, r.park_reason AS parkReason`;
const recordTables = "run_fact AS f JOIN run AS r ON r.key = f.key LEFT JOIN worker AS w ON w.key = r.owner";

/**
 * The usual turn: the driver owns a running run, nothing has come in that it has not seen, and no crash or parking is to be forgotten. One statement
 * checks and writes; whatever else is the case is found out by reading the row, where it costs twice.
 */
const usual = `key = ? AND epoch = ? AND last_seq = ? AND inbox_count = ?
  AND owner IS NOT NULL AND status = 0 AND crash_count = 0 AND park_count = 0`;

export function prepareRunStatements(connection: SqliteConnection) {
  const prepare = (sql: string) => connection.prepare(sql);
  return {
    insertFact:
      prepare(`INSERT INTO run_fact (key, workflow_id, generation, run_id, version, engine_version, input_hash, created_at, deadline_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`),
    insert:
      prepare(`INSERT INTO run (key, chain, name, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, park_count, ended_at, park_reason)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),

    // None of its columns is in an index or the condition of one.
    advance: prepare(`UPDATE run SET last_seq = ?, inbox_seen = ? WHERE ${usual}`),
    rest: prepare(`UPDATE run SET last_seq = ?, inbox_seen = ?, owner = NULL, due_at = ? WHERE ${usual}`),
    end: prepare(`UPDATE run SET last_seq = ?, inbox_seen = ?, owner = NULL, status = ?, ended_at = ? WHERE ${usual}`),
    setInboxCount: prepare("UPDATE run SET inbox_count = ? WHERE key = ?"),
    setDueAt: prepare("UPDATE run SET due_at = ? WHERE key = ?"),
    take: prepare("UPDATE run SET owner = ?, epoch = epoch + 1, due_at = NULL, is_suspect = crash_count >= 2 WHERE key = ?"),
    save: prepare(`UPDATE run SET status = ?, owner = ?, epoch = ?, last_seq = ?, inbox_count = ?, inbox_seen = ?, due_at = ?, crash_count = ?,
      park_count = ?, is_suspect = ?, ended_at = ?, park_reason = ? WHERE key = ?`),

    byKey: prepare(`SELECT ${rowColumns} FROM run AS r WHERE r.key = ?`),
    byWorkflowId: prepare(`SELECT ${rowColumns} FROM run_fact AS f JOIN run AS r ON r.key = f.key
      WHERE f.workflow_id = ? ORDER BY f.generation DESC LIMIT 1`),
    byRunId: prepare(`SELECT ${rowColumns} FROM run_fact AS f JOIN run AS r ON r.key = f.key WHERE f.run_id = ?`),
    claimed:
      prepare(`SELECT r.key, f.workflow_id AS workflowId, f.run_id AS runId, r.name, f.version, f.engine_version AS engineVersion, r.status,
      f.created_at AS createdAt, f.deadline_at AS deadlineAt, r.epoch, r.last_seq AS lastSeq, r.inbox_count AS inboxCount,
      r.crash_count AS crashCount, r.park_count AS parkCount FROM run AS r JOIN run_fact AS f ON f.key = r.key WHERE r.key = ?`),
    recordByWorkflowId: prepare(`SELECT ${recordColumns} FROM ${recordTables} WHERE f.workflow_id = ? ORDER BY f.generation DESC LIMIT 1`),
    recordByRunId: prepare(`SELECT ${recordColumns} FROM ${recordTables} WHERE f.run_id = ?`),
    records: prepare(`SELECT ${recordColumns} FROM ${recordTables} WHERE f.key < ? AND f.key >= ? AND (? IS NULL OR r.name = ?)
      AND (? IS NULL OR r.status = ?) AND substr(f.workflow_id, 1, ?) = ? ORDER BY f.key DESC LIMIT ?`),
    newestKey: prepare("SELECT max(key) AS key FROM run_fact"),

    due: prepare(`SELECT key, due_at AS dueAt FROM run INDEXED BY run_due
      WHERE name = ? AND due_at <= ? AND owner IS NULL AND crash_count < 2 ORDER BY due_at LIMIT ?`),
    dueSuspects: prepare(`SELECT key, due_at AS dueAt FROM run INDEXED BY run_due_suspect
      WHERE name = ? AND due_at <= ? AND owner IS NULL AND crash_count >= 2 ORDER BY due_at LIMIT ?`),
    nextDue: prepare(`SELECT due_at AS dueAt FROM run INDEXED BY run_due
      WHERE name = ? AND due_at > ? AND owner IS NULL AND crash_count < 2 ORDER BY due_at LIMIT 1`),
    nextDueSuspect: prepare(`SELECT due_at AS dueAt FROM run INDEXED BY run_due_suspect
      WHERE name = ? AND due_at > ? AND owner IS NULL AND crash_count >= 2 ORDER BY due_at LIMIT 1`),
    parked: prepare(`SELECT ${rowColumns} FROM run AS r INDEXED BY run_parked WHERE r.name = ? AND r.status = 1 AND r.owner IS NULL`),
    owned: prepare(`SELECT key, inbox_count AS inboxCount, inbox_seen AS inboxSeen FROM run INDEXED BY run_owned WHERE owner = ?`),
    ownedRows: prepare(`SELECT ${rowColumns} FROM run AS r INDEXED BY run_owned WHERE r.owner = ?`),
    ownerAbove: prepare("SELECT owner FROM run INDEXED BY run_owned WHERE owner > ? ORDER BY owner LIMIT 1"),
  };
}

interface DueRow {
  readonly key: number;
  readonly dueAt: number;
}

type StoredRecord = Omit<RunRecord, "name" | "status" | "parkReason"> & {
  readonly name: number;
  readonly status: number;
  readonly parkReason: string | null;
};
type StoredClaim = Omit<ClaimedRun, "name" | "status"> & { readonly name: number; readonly status: number };

export type RunTable = ReturnType<typeof runTable>;

/** The rows of runs: `run` and `run_fact`. */
export function runTable(connection: SqliteConnection, names: Names) {
  const sql = prepareRunStatements(connection);
  const toRecord = (row: StoredRecord | undefined): RunRecord | undefined =>
    row && {
      ...row,
      name: names.nameOf(row.name),
      status: statusOf(row.status),
      parkReason: row.parkReason === null ? null : (JSON.parse(row.parkReason) as ParkReason),
    };

  return {
    /** False if the workflow id or the run id is taken. */
    insertFact: (key: RunKey, run: NewRun, createdAt: number): boolean =>
      sql.insertFact.run([key, run.workflowId, 1, run.runId, run.version, run.engineVersion, run.inputHash, createdAt, run.deadlineAt]) ===
      1,
    insert(row: RunRow): void {
      const { key, chain, name, status, owner, epoch, lastSeq, inboxCount, inboxSeen, dueAt, parkCount, endedAt, parkReason } = row;
      sql.insert.run([key, chain, name, status, owner, epoch, lastSeq, inboxCount, inboxSeen, dueAt, parkCount, endedAt, parkReason]);
    },

    /** The usual turns: the driver goes on, gives the run up, or ends it. False: read the row. */
    advance: ({ key, epoch, lastSeq, newLastSeq, inboxSeen }: Step): boolean =>
      sql.advance.run([newLastSeq, inboxSeen, key, epoch, lastSeq, inboxSeen]) === 1,
    rest: ({ key, epoch, lastSeq, newLastSeq, inboxSeen }: Step, dueAt: number | null): boolean =>
      sql.rest.run([newLastSeq, inboxSeen, dueAt, key, epoch, lastSeq, inboxSeen]) === 1,
    end: ({ key, epoch, lastSeq, newLastSeq, inboxSeen }: Step, status: number, endedAt: number): boolean =>
      sql.end.run([newLastSeq, inboxSeen, status, endedAt, key, epoch, lastSeq, inboxSeen]) === 1,

    setInboxCount: (key: RunKey, count: number): void => void sql.setInboxCount.run([count, key]),
    setDueAt: (key: RunKey, dueAt: number): void => void sql.setDueAt.run([dueAt, key]),
    /** Makes the worker the owner at the next epoch. */
    take: (key: RunKey, worker: WorkerKey): void => void sql.take.run([worker, key]),
    save(row: RunRow): void {
      const { status, owner, epoch, lastSeq, inboxCount, inboxSeen, dueAt, crashCount, parkCount } = row;
      sql.save.run([
        status,
        owner,
        epoch,
        lastSeq,
        inboxCount,
        inboxSeen,
        dueAt,
        crashCount,
        parkCount,
        row.isSuspect,
        row.endedAt,
        row.parkReason,
        row.key,
      ]);
    },

    byKey: (key: RunKey): RunRow | undefined => sql.byKey.get<RunRow>([key]),
    /** The newest run of a workflow id, or exactly the run of a run id. */
    find: (target: RunTarget): RunRow | undefined =>
      "runId" in target ? sql.byRunId.get<RunRow>([target.runId]) : sql.byWorkflowId.get<RunRow>([target.workflowId]),
    findRecord: (target: RunTarget): RunRecord | undefined =>
      toRecord(
        "runId" in target
          ? sql.recordByRunId.get<StoredRecord>([target.runId])
          : sql.recordByWorkflowId.get<StoredRecord>([target.workflowId]),
      ),
    claimed(key: RunKey): ClaimedRun | undefined {
      const row = sql.claimed.get<StoredClaim>([key]);
      return row && { ...row, name: names.nameOf(row.name), status: row.status === parkedStatus ? "parked" : "running" };
    },
    newestKey: (): RunKey => sql.newestKey.get<{ key: number | null }>()?.key ?? 0,
    /** Runs with keys from `from` up to, and without, `before`, the newest first. */
    listRecords(filter: {
      readonly before: RunKey;
      readonly from: RunKey;
      readonly name: number | undefined;
      readonly status: number | undefined;
      readonly prefix: string;
      readonly limit: number;
    }): RunRecord[] {
      const { before, from, name, status, prefix, limit } = filter;
      // substr counts code points, and so must we: the length of a JavaScript string counts an emoji twice.
      const length = Array.from(prefix).length;
      const rows = sql.records.all<StoredRecord>([before, from, name, name, status, status, length, prefix, limit]);
      return rows.map((row) => toRecord(row) as RunRecord);
    },

    /** Runs of a name that are due and nobody's, the longest due first. */
    due: (name: number, now: number, limit: number): DueRow[] => sql.due.all<DueRow>([name, now, limit]),
    dueSuspects: (name: number, now: number, limit: number): DueRow[] => sql.dueSuspects.all<DueRow>([name, now, limit]),
    nextDueAt(name: number, now: number): number | null {
      const ordinary = sql.nextDue.get<DueRow>([name, now])?.dueAt ?? Infinity;
      const suspect = sql.nextDueSuspect.get<DueRow>([name, now])?.dueAt ?? Infinity;
      const next = Math.min(ordinary, suspect);
      return next === Infinity ? null : next;
    },
    /** Parked runs of a name that nobody is trying. */
    parked: (name: number): RunRow[] => sql.parked.all<RunRow>([name]),
    owned: (worker: WorkerKey) => sql.owned.all<{ key: RunKey; inboxCount: number; inboxSeen: number }>([worker]),
    ownedRows: (worker: WorkerKey): RunRow[] => sql.ownedRows.all<RunRow>([worker]),
    ownerAbove: (worker: WorkerKey): WorkerKey | undefined => sql.ownerAbove.get<{ owner: number }>([worker])?.owner,
  };
}
