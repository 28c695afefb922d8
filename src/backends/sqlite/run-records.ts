import type { Attribute, ClaimedRun, ParkReason, RunKey, RunRecord, RunTarget } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import type { Names } from "./names.js";
import { continuedStatus, newestOfChain, parkedStatus, statusOf } from "./run-row.js";

/** Runs as clients and drivers see them. */
export interface RunRecords {
  find(target: RunTarget): RunRecord | undefined;
  /** What a driver needs to know. */
  claimed(key: RunKey): ClaimedRun | undefined;
  newestKey(): RunKey;
  /** Children of a run with keys below `before`, the newest first. */
  childrenOf(parentRunId: string, before: RunKey, limit: number): RunKey[];
  list(filter: ListFilter): RunRecord[];
}

/** Runs with keys from `from` up to, and without, `before`, the newest first. */
export interface ListFilter {
  readonly before: RunKey;
  readonly from: RunKey;
  readonly name: number | undefined;
  readonly status: number | undefined;
  readonly prefix: string;
  readonly parentRunId: string | undefined;
  readonly attributes: readonly Attribute[];
  readonly limit: number;
}

type StoredRecord = Omit<RunRecord, "name" | "route" | "status" | "parkReason" | "attributes"> & {
  readonly name: number;
  readonly route: number;
  readonly status: number;
  readonly parkReason: string | null;
  /** JSON: pairs of name and value. */
  readonly attributes: string;
};
type StoredClaim = Omit<ClaimedRun, "key" | "name" | "route" | "status"> & {
  readonly name: number;
  readonly route: number;
  readonly status: number;
};

const columns = `r.key, f.workflow_id AS workflowId, f.run_id AS runId, f.name, r.route, f.version, f.engine_version AS engineVersion, f.input_hash AS inputHash,
  r.status, f.created_at AS createdAt, r.ended_at AS endedAt, f.deadline_at AS deadlineAt, r.due_at AS dueAt, w.worker_id AS ownerId, r.epoch,
  r.last_seq AS lastSeq, r.inbox_count AS inboxCount,
  (SELECT count(*) FROM inbox AS i WHERE i.chain = r.chain AND r.status <> ${continuedStatus}) AS inboxUnread,
  r.crash_count AS crashCount, r.park_reason AS parkReason, f.parent_run_id AS parentRunId, f.options,
  (SELECT json_group_array(json_array(a.name, a.value)) FROM attribute AS a WHERE a.chain = r.chain) AS attributes`;
const tables = "run_fact AS f JOIN run AS r ON r.key = f.key LEFT JOIN worker AS w ON w.key = r.owner";

export function runRecords(connection: SqliteConnection, names: Names): RunRecords {
  const byWorkflowId = connection.prepare(`SELECT ${columns} FROM ${tables} WHERE f.workflow_id = ? ORDER BY f.generation DESC LIMIT 1`);
  const byRunId = connection.prepare(`SELECT ${columns} FROM ${tables} WHERE f.run_id = ?`);
  const byChainOf = connection.prepare(`SELECT ${columns} FROM ${tables} WHERE f.key =
    (SELECT ${newestOfChain} FROM run_fact AS o JOIN run AS c ON c.key = o.key WHERE o.run_id = ?)`);
  const claimed = connection.prepare(`SELECT f.workflow_id AS workflowId, f.run_id AS runId, f.name, r.route, f.version,
    f.engine_version AS engineVersion, r.status, f.created_at AS createdAt, f.deadline_at AS deadlineAt, r.epoch, r.last_seq AS lastSeq,
    r.inbox_count AS inboxCount, r.crash_count AS crashCount, r.park_count AS parkCount,
    f.parent_run_id AS parentRunId, f.options
    FROM run AS r JOIN run_fact AS f ON f.key = r.key WHERE r.key = ?`);
  const childrenOf = connection.prepare(
    "SELECT key FROM run_fact INDEXED BY run_child WHERE parent_run_id = ? AND key < ? ORDER BY key DESC LIMIT ?",
  );
  const newestKey = connection.prepare("SELECT max(key) AS key FROM run_fact");
  const list = connection.prepare(`SELECT ${columns} FROM ${tables} WHERE f.key < ? AND f.key >= ? AND (? IS NULL OR f.name = ?)
    AND (? IS NULL OR r.status = ?) AND substr(f.workflow_id, 1, ?) = ? AND (? IS NULL OR f.parent_run_id = ?)
    AND (? IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(?) AS w WHERE NOT EXISTS (SELECT 1 FROM attribute AS a
      WHERE a.chain = r.chain AND a.name = json_extract(w.value, '$[0]') AND a.value = json_extract(w.value, '$[1]')))) ORDER BY f.key DESC LIMIT ?`);

  return {
    find(target) {
      const row =
        "workflowId" in target
          ? byWorkflowId.get<StoredRecord>([target.workflowId])
          : "runId" in target
            ? byRunId.get<StoredRecord>([target.runId])
            : byChainOf.get<StoredRecord>([target.chainOf]);
      return row && recordOf(row, names);
    },
    claimed(key) {
      const row = claimed.get<StoredClaim>([key]);
      return row && claimOf(key, row, names);
    },
    childrenOf: (parentRunId, before, limit) => childrenOf.all<{ key: RunKey }>([parentRunId, before, limit]).map(({ key }) => key),
    newestKey: () => newestKey.get<{ key: number | null }>()?.key ?? 0,
    list({ before, from, name, status, prefix, parentRunId, attributes, limit }) {
      const wanted = attributes.length === 0 ? null : JSON.stringify(attributes.map((one) => [one.name, one.value]));
      // substr counts code points, and so must we: the length of a JavaScript string counts an emoji twice.
      const length = Array.from(prefix).length;
      const params = [before, from, name, name, status, status, length, prefix, parentRunId, parentRunId, wanted, wanted, limit];
      return list.all<StoredRecord>(params).map((row) => recordOf(row, names));
    },
  };
}

const recordOf = (row: StoredRecord, names: Names): RunRecord => ({
  ...row,
  name: names.nameOf(row.name),
  route: names.nameOf(row.route),
  status: statusOf(row.status),
  parkReason: row.parkReason === null ? null : (JSON.parse(row.parkReason) as ParkReason),
  attributes: row.attributes === "[]" ? noAttributes : attributesOf(row.attributes),
});

/** Field by field, which for a row of this width is faster than to copy it and replace some of it. */
const claimOf = (key: RunKey, row: StoredClaim, names: Names): ClaimedRun => ({
  key,
  workflowId: row.workflowId,
  runId: row.runId,
  name: names.nameOf(row.name),
  route: names.nameOf(row.route),
  version: row.version,
  engineVersion: row.engineVersion,
  status: row.status === parkedStatus ? "parked" : "running",
  createdAt: row.createdAt,
  deadlineAt: row.deadlineAt,
  epoch: row.epoch,
  lastSeq: row.lastSeq,
  inboxCount: row.inboxCount,
  crashCount: row.crashCount,
  parkCount: row.parkCount,
  parentRunId: row.parentRunId,
  options: row.options,
});

const noAttributes: readonly Attribute[] = [];

/** Sorted here: SQLite orders text by code points, JavaScript by halves of them. */
const attributesOf = (json: string): readonly Attribute[] =>
  (JSON.parse(json) as readonly (readonly [string, string])[])
    .map(([name, value]) => ({ name, value }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
