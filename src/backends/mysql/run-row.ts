import type { ClaimedRun, ParkReason, RunKey, RunRecord, RunStatus, WorkerKey } from "../../backend/index.js";
import type { Names } from "./names.js";
import type { RunFact } from "./run-fact.js";
import { suspectCrashCount } from "./schema.js";
import type { Row } from "./session.js";
import { nullableNumberOf, nullableTextOf, number, numberOf, text } from "./sql.js";

/** Statuses as they are stored. */
const statuses: readonly RunStatus[] = ["running", "parked", "completed", "failed", "cancelled", "terminated", "continued"];
export const runningStatus = 0;
export const parkedStatus = 1;
export const continuedStatus = 6;
export const statusNumber = (status: RunStatus): number => statuses.indexOf(status);
const statusOf = (stored: number): RunStatus => statuses[stored] ?? "running";

/** The part of a run that changes. */
export interface RunRow {
  readonly key: RunKey;
  readonly chain: RunKey;
  /** Id of the route. */
  readonly route: number;
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

export const isSuspect = (row: RunRow): boolean => row.crashCount >= suspectCrashCount;
export const isOpenRow = (row: Pick<RunRow, "status">): boolean => row.status <= parkedStatus;

/** Which part of the index of due runs a run is in: those with the same lane and route are claimed in the order of their due times. */
export const laneOf = (row: Pick<RunRow, "status" | "crashCount">): number =>
  (row.status === parkedStatus ? 2 : 0) + (row.crashCount >= suspectCrashCount ? 1 : 0);
export const ordinaryLanes: readonly number[] = [0, 2];
export const suspectLanes: readonly number[] = [1, 3];
export const parkedLanes: readonly number[] = [2, 3];

const rowNames =
  "id,chain,route,status,owner,epoch,last_seq,inbox_count,inbox_seen,due_at,crash_count,park_count,is_suspect,has_tasks,has_keys,ended_at,park_reason".split(
    ",",
  );
export const rowColumns = rowNames.map((name) => `r.${name}`).join(",");
export const rowWidth = rowNames.length;

export function rowOf(columns: Row): RunRow {
  const [
    key,
    chain,
    route,
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
    route: numberOf(route),
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

export function claimOf(row: RunRow, fact: RunFact, names: Pick<Names, "nameOf">): ClaimedRun {
  const { key, epoch, lastSeq, inboxCount, crashCount, parkCount } = row;
  const { workflowId, runId, version, engineVersion, createdAt, deadlineAt, parentRunId, options } = fact;
  return {
    key,
    workflowId,
    runId,
    name: names.nameOf(fact.name),
    route: names.nameOf(row.route),
    version,
    engineVersion,
    status: row.status === parkedStatus ? "parked" : "running",
    createdAt,
    deadlineAt,
    epoch,
    lastSeq,
    inboxCount,
    crashCount,
    parkCount,
    parentRunId,
    options,
  };
}

export function recordOf(
  row: RunRow,
  fact: RunFact,
  names: Pick<Names, "nameOf">,
  others: Pick<RunRecord, "ownerId" | "inboxUnread" | "attributes">,
): RunRecord {
  const { key, epoch, lastSeq, inboxCount, crashCount, dueAt, endedAt } = row;
  return {
    ...fact,
    ...others,
    key,
    name: names.nameOf(fact.name),
    route: names.nameOf(row.route),
    status: statusOf(row.status),
    endedAt,
    dueAt,
    epoch,
    lastSeq,
    inboxCount,
    // The inbox has gone on with the chain.
    inboxUnread: row.status === continuedStatus ? 0 : others.inboxUnread,
    crashCount,
    parkReason: row.parkReason === null ? null : (JSON.parse(row.parkReason) as ParkReason),
  };
}

/** What a turn can change, in the order of `changingValues`. */
const changing =
  "status,lane,owner,epoch,last_seq,inbox_count,inbox_seen,due_at,crash_count,park_count,is_suspect,has_tasks,has_keys,ended_at,park_reason";
export const insertRunHead = (table: string): string => `INSERT INTO ${table} (id,chain,route,${changing}) VALUES `;
/** For rows that are there: the rows were locked and read by the same transaction, so what is written is known to follow from what is there. */
export const updateRunTail = ` ON DUPLICATE KEY UPDATE ${changing
  .split(",")
  .map((column) => `${column}=VALUES(${column})`)
  .join(",")}`;

const bit = (value: boolean): string => (value ? "1" : "0");

export const rowValues = (row: RunRow): string =>
  `(${row.key},${row.chain},${row.route},${row.status},${laneOf(row)},${number(row.owner)},${row.epoch},${row.lastSeq},${row.inboxCount},${row.inboxSeen},` +
  `${number(row.dueAt)},${row.crashCount},${row.parkCount},${bit(row.isSuspect)},${bit(row.hasTasks)},${bit(row.hasKeys)},${number(row.endedAt)},${text(row.parkReason)})`;
