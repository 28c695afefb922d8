import type { ClaimedRun, ParkReason, RunKey, RunRecord } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";
import { parkedStatus, statusOf } from "./run-row.js";
import type { RunTarget } from "./run-row.js";

/** Runs as clients and drivers see them. */
export interface RunRecords {
  find(target: RunTarget): RunRecord | undefined;
  /** What a driver needs to know. */
  claimed(key: RunKey): ClaimedRun | undefined;
  newestKey(): RunKey;
  list(filter: ListFilter): RunRecord[];
}

/** Runs with keys from `from` up to, and without, `before`, the newest first. */
export interface ListFilter {
  readonly before: RunKey;
  readonly from: RunKey;
  readonly name: number | undefined;
  readonly status: number | undefined;
  readonly prefix: string;
  readonly limit: number;
}

type StoredRecord = Omit<RunRecord, "name" | "status" | "parkReason"> & {
  readonly name: number;
  readonly status: number;
  readonly parkReason: string | null;
};
type StoredClaim = Omit<ClaimedRun, "name" | "status"> & { readonly name: number; readonly status: number };

const columns = `r.key, f.workflow_id AS workflowId, f.run_id AS runId, r.name, f.version, f.engine_version AS engineVersion, f.input_hash AS inputHash,
  r.status, f.created_at AS createdAt, r.ended_at AS endedAt, f.deadline_at AS deadlineAt, r.due_at AS dueAt, w.worker_id AS ownerId, r.epoch,
  r.last_seq AS lastSeq, r.inbox_count AS inboxCount, (SELECT count(*) FROM inbox AS i WHERE i.chain = r.chain) AS inboxUnread,
  r.crash_count AS crashCount, r.park_reason AS parkReason`;
const tables = "run_fact AS f JOIN run AS r ON r.key = f.key LEFT JOIN worker AS w ON w.key = r.owner";

export function runRecords(connection: SqliteConnection, names: Names): RunRecords {
  const byWorkflowId = connection.prepare(`SELECT ${columns} FROM ${tables} WHERE f.workflow_id = ? ORDER BY f.generation DESC LIMIT 1`);
  const byRunId = connection.prepare(`SELECT ${columns} FROM ${tables} WHERE f.run_id = ?`);
  const claimed = connection.prepare(`SELECT r.key, f.workflow_id AS workflowId, f.run_id AS runId, r.name, f.version,
    f.engine_version AS engineVersion, r.status, f.created_at AS createdAt, f.deadline_at AS deadlineAt, r.epoch, r.last_seq AS lastSeq,
    r.inbox_count AS inboxCount, r.crash_count AS crashCount, r.park_count AS parkCount
    FROM run AS r JOIN run_fact AS f ON f.key = r.key WHERE r.key = ?`);
  const newestKey = connection.prepare("SELECT max(key) AS key FROM run_fact");
  const list = connection.prepare(`SELECT ${columns} FROM ${tables} WHERE f.key < ? AND f.key >= ? AND (? IS NULL OR r.name = ?)
    AND (? IS NULL OR r.status = ?) AND substr(f.workflow_id, 1, ?) = ? ORDER BY f.key DESC LIMIT ?`);

  const toRecord = (row: StoredRecord): RunRecord => ({
    ...row,
    name: names.nameOf(row.name),
    status: statusOf(row.status),
    parkReason: row.parkReason === null ? null : (JSON.parse(row.parkReason) as ParkReason),
  });

  return {
    find(target) {
      const row = "runId" in target ? byRunId.get<StoredRecord>([target.runId]) : byWorkflowId.get<StoredRecord>([target.workflowId]);
      return row && toRecord(row);
    },
    claimed(key) {
      const row = claimed.get<StoredClaim>([key]);
      return row && { ...row, name: names.nameOf(row.name), status: row.status === parkedStatus ? "parked" : "running" };
    },
    newestKey: () => newestKey.get<{ key: number | null }>()?.key ?? 0,
    list({ before, from, name, status, prefix, limit }) {
      // substr counts code points, and so must we: the length of a JavaScript string counts an emoji twice.
      const length = Array.from(prefix).length;
      return list.all<StoredRecord>([before, from, name, name, status, status, length, prefix, limit]).map(toRecord);
    },
  };
}
