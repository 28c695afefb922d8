import type { ClaimedRun, ParkReason, RunKey, RunRecord, RunStatus, WorkerKey } from "../../backend/index.js";
import { suspectCrashCount } from "./schema.js";
import type { Row } from "./session.js";
import { idOf, nullableNumberOf, nullableTextOf, number, numberOf, text } from "./sql.js";

/** Statuses as they are stored. */
const statuses: readonly RunStatus[] = ["running", "parked", "completed", "failed", "cancelled", "terminated", "continued"];
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
  isSuspect: boolean;
  /** Has it ever queued a task, or accepted a message? Then its end has something to tidy up. */
  hasTasks: boolean;
  hasKeys: boolean;
  endedAt: number | null;
  parkReason: string | null;
}

/** The part of a run that never changes. */
export interface RunFact {
  readonly workflowId: string;
  readonly runId: string;
  readonly version: string | null;
  readonly engineVersion: number;
  readonly inputHash: string;
  readonly createdAt: number;
  readonly deadlineAt: number | null;
}

export const isSuspect = (row: RunRow): boolean => row.crashCount >= suspectCrashCount;
export const isOpenRow = (row: RunRow): boolean => row.status <= parkedStatus;

/** Which part of the index of due runs a run is in: those with the same lane and name are claimed in the order of their due times. */
export const laneOf = (row: Pick<RunRow, "status" | "crashCount">): number =>
  (row.status === parkedStatus ? 2 : 0) + (row.crashCount >= suspectCrashCount ? 1 : 0);
export const ordinaryLanes: readonly number[] = [0, 2];
export const suspectLanes: readonly number[] = [1, 3];
export const parkedLanes: readonly number[] = [2, 3];

const rowNames =
  "id,chain,name,status,owner,epoch,last_seq,inbox_count,inbox_seen,due_at,crash_count,park_count,is_suspect,has_tasks,has_keys,ended_at,park_reason".split(
    ",",
  );
export const rowColumns = rowNames.map((name) => `r.${name}`).join(",");
export const rowWidth = rowNames.length;
const factNames = [
  "workflow_key",
  "workflow_long",
  "run_key",
  "run_long",
  "version",
  "engine_version",
  "input_hash",
  "created_at",
  "deadline_at",
];
export const factColumns = factNames.map((name) => `f.${name}`).join(",");
export const factWidth = factNames.length;

export function rowOf(columns: Row): RunRow {
  const [
    key,
    chain,
    name,
    status,
    owner,
    epoch,
    lastSeq,
    inboxCount,
    inboxSeen,
    dueAt,
    crashCount,
    parkCount,
    isSuspectNow,
    hasTasks,
    hasKeys,
  ] = columns;
  return {
    key: numberOf(key),
    chain: numberOf(chain),
    name: numberOf(name),
    status: numberOf(status),
    owner: nullableNumberOf(owner),
    epoch: numberOf(epoch),
    lastSeq: numberOf(lastSeq),
    inboxCount: numberOf(inboxCount),
    inboxSeen: numberOf(inboxSeen),
    dueAt: nullableNumberOf(dueAt),
    crashCount: numberOf(crashCount),
    parkCount: numberOf(parkCount),
    isSuspect: numberOf(isSuspectNow) !== 0,
    hasTasks: numberOf(hasTasks) !== 0,
    hasKeys: numberOf(hasKeys) !== 0,
    endedAt: nullableNumberOf(columns[15]),
    parkReason: nullableTextOf(columns[16]),
  };
}

export function factOf(columns: Row): RunFact {
  const [workflowKey, workflowLong, runKey, runLong, version, engineVersion, inputHash, createdAt, deadlineAt] = columns;
  return {
    workflowId: idOf(workflowKey, workflowLong),
    runId: idOf(runKey, runLong),
    version: nullableTextOf(version),
    engineVersion: numberOf(engineVersion),
    inputHash: String(inputHash),
    createdAt: numberOf(createdAt),
    deadlineAt: nullableNumberOf(deadlineAt),
  };
}

export function claimOf(row: RunRow, fact: RunFact, name: string): ClaimedRun {
  const { key, epoch, lastSeq, inboxCount, crashCount, parkCount } = row;
  const { workflowId, runId, version, engineVersion, createdAt, deadlineAt } = fact;
  const status = row.status === parkedStatus ? "parked" : "running";
  return {
    key,
    workflowId,
    runId,
    name,
    version,
    engineVersion,
    status,
    createdAt,
    deadlineAt,
    epoch,
    lastSeq,
    inboxCount,
    crashCount,
    parkCount,
  };
}

export function recordOf(row: RunRow, fact: RunFact, others: Pick<RunRecord, "name" | "ownerId" | "inboxUnread">): RunRecord {
  const { key, epoch, lastSeq, inboxCount, crashCount, dueAt, endedAt } = row;
  return {
    ...fact,
    ...others,
    key,
    status: statusOf(row.status),
    endedAt,
    dueAt,
    epoch,
    lastSeq,
    inboxCount,
    crashCount,
    parkReason: row.parkReason === null ? null : (JSON.parse(row.parkReason) as ParkReason),
  };
}

/** What a turn can change, in the order of `changingValues`. */
const changing =
  "status,lane,owner,epoch,last_seq,inbox_count,inbox_seen,due_at,crash_count,park_count,is_suspect,has_tasks,has_keys,ended_at,park_reason";
export const insertRunHead = (table: string): string => `INSERT INTO ${table} (id,chain,name,${changing}) VALUES `;
/** For rows that are there: the rows were locked and read by the same transaction, so what is written is known to follow from what is there. */
export const updateRunTail = ` ON DUPLICATE KEY UPDATE ${changing
  .split(",")
  .map((column) => `${column}=VALUES(${column})`)
  .join(",")}`;

const bit = (value: boolean): string => (value ? "1" : "0");

export const rowValues = (row: RunRow): string =>
  `(${row.key},${row.chain},${row.name},${row.status},${laneOf(row)},${number(row.owner)},${row.epoch},${row.lastSeq},${row.inboxCount},${row.inboxSeen},` +
  `${number(row.dueAt)},${row.crashCount},${row.parkCount},${bit(row.isSuspect)},${bit(row.hasTasks)},${bit(row.hasKeys)},${number(row.endedAt)},${text(row.parkReason)})`;
