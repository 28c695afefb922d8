/** How records stand in the tables, and how they are read back. */
import type {
  Attribute,
  ChunkRecord,
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

export const kinds: readonly InboxItem["kind"][] = [
  "start",
  "message",
  "activity_completed",
  "activity_failed",
  "cancel",
  "update",
  "activity_expired",
];
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
  readonly route?: string;
  readonly parentRunId?: string;
}

/** Only with the names that it holds, so that it can be spread over the short ones. */
const longFormsOf = (text: string | null): LongForms => (text === null ? {} : (JSON.parse(text) as LongForms));

/** Columns: `recordColumns`. */
type RecordRow = readonly [
  key: number,
  workflowId: string,
  runId: string,
  name: string,
  route: string,
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
  parentRunId: string | null,
  options: string | null,
  attributes: string | null,
];

export function recordOf(row: Row): RunRecord {
  const [key, workflowId, runId, name, route, longForms, version, engineVersion, inputHash, status, createdAt, ...rest] = row as RecordRow;
  const [endedAt, deadlineAt, dueAt, ownerId, epoch, lastSeq, inboxCount, inboxUnread, crashCount, parkReason, ...last] = rest;
  const [parentRunId, options, attributes] = last;
  return {
    key,
    workflowId,
    runId,
    name,
    route,
    parentRunId,
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
    options,
    attributes: attributes === null ? none : attributesOf(attributes),
  };
}

const none: readonly never[] = [];

/** Sorted here: the table's order is that of bytes, and of short forms. */
function attributesOf(text: string): readonly Attribute[] {
  const rows = JSON.parse(text) as readonly (readonly [name: string, value: string, longForms: string | null])[];
  return rows
    .map(([name, value, longForms]): Attribute => ({
      name,
      value,
      ...(longForms !== null && (JSON.parse(longForms) as Partial<Attribute>)),
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Columns: `claimedColumns`. */
type ClaimedRunRow = readonly [
  key: number,
  workflowId: string,
  runId: string,
  name: string,
  route: string,
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
  parentRunId: string | null,
  options: string | null,
  mail?: string | null,
];

export function claimedRunOf(row: Row): ClaimedRun {
  const [key, workflowId, runId, name, route, longForms, version, engineVersion, status, createdAt, deadlineAt, ...rest] =
    row as ClaimedRunRow;
  const [epoch, lastSeq, inboxCount, crashCount, parkCount, parentRunId, options, mail] = rest;
  return {
    key,
    workflowId,
    runId,
    name,
    route,
    parentRunId,
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
    options,
    ...(typeof mail === "string" && { mail: claimedMailOf(mail) }),
  };
}

/** As `claimed_mail_1` gives it: items like rows, with bytes in base64. */
const claimedMailOf = (text: string): readonly InboxRecord[] =>
  (JSON.parse(text) as Row[]).map((item) =>
    inboxRecordOf(item.with(6, typeof item[6] === "string" ? new Uint8Array(Buffer.from(item[6], "base64")) : null)),
  );

/** Columns of a claimed task. */
type ClaimedTaskRow = readonly [
  key: number,
  runKey: number,
  workflowId: string,
  runId: string,
  longForms: string | null,
  command: number,
  name: string,
  route: string,
  longRoute: string | null,
  attempt: number,
  input: string | null,
  inputBytes: Uint8Array | null,
  options: string,
  dueAt: number,
  epoch: number,
  crashCount: number,
  heartbeatMs: number | null,
  details: string | null,
  detailsBytes: Uint8Array | null,
  isCancelRequested: boolean,
];

export function claimedTaskOf(row: Row): ClaimedTask {
  const [key, runKey, workflowId, runId, longForms, command, name, route, longRoute, attempt, input, inputBytes, ...rest] =
    row as ClaimedTaskRow;
  const [options, dueAt, epoch, crashCount, heartbeatMs, details, detailsBytes, cancelRequested] = rest;
  const { workflowId: longWorkflowId, runId: longRunId } = longFormsOf(longForms);
  return {
    key,
    runKey,
    workflowId: longWorkflowId ?? workflowId,
    runId: longRunId ?? runId,
    command,
    name,
    route: longRoute ?? route,
    attempt,
    // One of the two is there, always.
    input: (input ?? inputBytes) as Payload,
    options,
    dueAt,
    epoch,
    crashCount,
    heartbeatMs,
    details: details ?? detailsBytes,
    cancelRequested,
  };
}

/** Columns: seq, at, event, payload, payload_bytes. */
export const lineOf = ([seq, at, event, payload, bytes]: Row): HistoryRecord => ({
  seq: seq as number,
  at: at as number,
  event: event as string,
  payload: (payload ?? bytes) as Payload | null,
});

/** Columns: position, kind, name, command, attempt, payload, payload_bytes, options. */
export const inboxRecordOf = ([position, kind, name, command, attempt, payload, bytes, options]: Row): InboxRecord => ({
  kind: kinds[kind as number] ?? "message",
  name: name as string,
  command: command as number | null,
  attempt: attempt as number | null,
  payload: (payload ?? bytes) as Payload | null,
  options: options as string | null,
  position: position as number,
});

/** Columns: chunk_offset, writer, long_writer, restart_at, payload, payload_bytes. */
export const chunkOf = ([offset, writer, longWriter, restartAt, payload, bytes]: Row): ChunkRecord => ({
  offset: offset as number,
  writer: (longWriter ?? writer) as string,
  restartAt: restartAt as number | null,
  payload: (payload ?? bytes) as Payload | null,
});
