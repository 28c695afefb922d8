/** How records stand in the tables, and how they are read back. */
import type {
  ClaimedRun,
  ClaimedTask,
  HistoryRecord,
  InboxItem,
  InboxRecord,
  ParkReason,
  Payload,
  RunRecord,
  RunStatus,
} from "../../backend/index.js";

export const statuses: readonly RunStatus[] = ["running", "parked", "completed", "failed", "cancelled", "terminated", "continued"];
export const statusNumber = (status: RunStatus): number => statuses.indexOf(status);
const statusOf = (stored: number): RunStatus => statuses[stored] ?? "running";

export const kinds: readonly InboxItem["kind"][] = ["start", "message", "activity_completed", "activity_failed", "cancel"];
export const kindNumber = (kind: InboxItem["kind"]): number => kinds.indexOf(kind);

/** A payload in the JSON of a batch: text as `p`, bytes in base64 as `b`. */
export const payloadFields = (payload: Payload | null): { readonly p?: string; readonly b?: string } =>
  typeof payload === "string"
    ? { p: payload }
    : payload === null
      ? {}
      : { b: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("base64") };

type Row = readonly unknown[];

interface LongForms {
  readonly workflowId?: string;
  readonly runId?: string;
  readonly name?: string;
}

const longFormsOf = (text: string | null): LongForms => (text === null ? {} : (JSON.parse(text) as LongForms));

/** Columns: `recordColumns`. */
type RecordRow = readonly [
  key: number,
  workflowId: string,
  runId: string,
  name: string,
  longForms: string | null,
  version: string | null,
  engineVersion: number,
  inputHash: string,
  status: number,
  createdAt: number,
  endedAt: number | null,
  deadlineAt: number | null,
  dueAt: number | null,
  ownerId: string | null,
  epoch: number,
  lastSeq: number,
  inboxCount: number,
  inboxUnread: number,
  crashCount: number,
  parkReason: string | null,
];

export function recordOf(row: Row): RunRecord {
  const [key, workflowId, runId, name, longForms, version, engineVersion, inputHash, status, createdAt, ...rest] = row as RecordRow;
  const [endedAt, deadlineAt, dueAt, ownerId, epoch, lastSeq, inboxCount, inboxUnread, crashCount, parkReason] = rest;
  return {
    key,
    workflowId,
    runId,
    name,
    ...longFormsOf(longForms),
    version,
    engineVersion,
    inputHash,
    status: statusOf(status),
    createdAt,
    endedAt,
    deadlineAt,
    dueAt,
    ownerId,
    epoch,
    lastSeq,
    inboxCount,
    inboxUnread,
    crashCount,
    parkReason: parkReason === null ? null : (JSON.parse(parkReason) as ParkReason),
  };
}

/** Columns: `claimedColumns`. */
type ClaimedRunRow = readonly [
  key: number,
  workflowId: string,
  runId: string,
  name: string,
  longForms: string | null,
  version: string | null,
  engineVersion: number,
  status: number,
  createdAt: number,
  deadlineAt: number | null,
  epoch: number,
  lastSeq: number,
  inboxCount: number,
  crashCount: number,
  parkCount: number,
];

export function claimedRunOf(row: Row): ClaimedRun {
  const [key, workflowId, runId, name, longForms, version, engineVersion, status, createdAt, deadlineAt, ...rest] = row as ClaimedRunRow;
  const [epoch, lastSeq, inboxCount, crashCount, parkCount] = rest;
  return {
    key,
    workflowId,
    runId,
    name,
    ...longFormsOf(longForms),
    version,
    engineVersion,
    status: status === 1 ? "parked" : "running",
    createdAt,
    deadlineAt,
    epoch,
    lastSeq,
    inboxCount,
    crashCount,
    parkCount,
  };
}

/** Columns of a claimed task. */
type ClaimedTaskRow = readonly [
  key: number,
  runKey: number,
  workflowId: string,
  runId: string,
  longForms: string | null,
  command: number,
  name: string,
  longName: string | null,
  queue: string,
  attempt: number,
  input: string | null,
  inputBytes: Uint8Array | null,
  options: string,
  dueAt: number,
  epoch: number,
  crashCount: number,
];

export function claimedTaskOf(row: Row): ClaimedTask {
  const [key, runKey, workflowId, runId, longForms, command, name, longName, queue, attempt, input, inputBytes, ...rest] =
    row as ClaimedTaskRow;
  const [options, dueAt, epoch, crashCount] = rest;
  const { name: _, ...longIds } = longFormsOf(longForms);
  return {
    key,
    runKey,
    workflowId,
    runId,
    ...longIds,
    command,
    name: longName ?? name,
    queue,
    attempt,
    // One of the two is there, always.
    input: (input ?? inputBytes) as Payload,
    options,
    dueAt,
    epoch,
    crashCount,
  };
}

/** Columns: seq, at, event, payload, payload_bytes. */
export const lineOf = ([seq, at, event, payload, bytes]: Row): HistoryRecord => ({
  seq: seq as number,
  at: at as number,
  event: event as string,
  payload: (payload ?? bytes) as Payload | null,
});

/** Columns: position, kind, name, command, attempt, payload, payload_bytes. */
export const inboxRecordOf = ([position, kind, name, command, attempt, payload, bytes]: Row): InboxRecord => ({
  kind: kinds[kind as number] ?? "message",
  name: name as string,
  command: command as number | null,
  attempt: attempt as number | null,
  payload: (payload ?? bytes) as Payload | null,
  position: position as number,
});
