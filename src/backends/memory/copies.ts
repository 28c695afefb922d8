/** What crosses the seam is copied, in and out: neither side can change the other's data through a shared object, as over a real database. */
import type {
  Attribute,
  ChunkRecord,
  ClaimedRun,
  ClaimedTask,
  EntryRecord,
  HistoryRecord,
  InboxItem,
  InboxRecord,
  Payload,
  RunRecord,
} from "../../backend/index.js";
import { rowOf, type InboxRow, type MemoryState, type RunRow, type TaskRow } from "./state.js";

export function copyPayload(payload: Payload): Payload;
export function copyPayload(payload: Payload | null): Payload | null;
export function copyPayload(payload: Payload | null): Payload | null {
  // Not `slice`: on a Buffer that is a view of the same bytes.
  return payload instanceof Uint8Array ? new Uint8Array(payload) : payload;
}

export const copyLine = (line: HistoryRecord): HistoryRecord => ({
  seq: line.seq,
  at: line.at,
  event: line.event,
  payload: copyPayload(line.payload),
});

export const inboxRowOf = (item: InboxItem, position: number): InboxRow => ({
  kind: item.kind,
  name: item.name,
  command: item.command,
  attempt: item.attempt,
  payload: copyPayload(item.payload),
  options: item.options,
  position,
  consumed: false,
});

export const inboxRecordOf = (row: InboxRow): InboxRecord => ({
  kind: row.kind,
  name: row.name,
  command: row.command,
  attempt: row.attempt,
  payload: copyPayload(row.payload),
  options: row.options,
  position: row.position,
});

export const copyEntry = (entry: EntryRecord): EntryRecord => ({ ...entry, payload: copyPayload(entry.payload) });
export const copyChunk = (chunk: ChunkRecord): ChunkRecord => ({ ...chunk, payload: copyPayload(chunk.payload) });

/** The items that were put into the inbox for this run and those before it in its chain. */
export const inboxCountOf = (state: MemoryState, row: RunRow): number => row.inboxCountAtEnd ?? rowOf(state.inboxes, row.chain).count;

export const attributesOf = (state: MemoryState, row: RunRow): readonly Attribute[] =>
  [...(state.attributes.get(row.chain) ?? [])].map(([name, value]) => ({ name, value })).toSorted((a, b) => (a.name < b.name ? -1 : 1));

export function runRecordOf(state: MemoryState, row: RunRow): RunRecord {
  return {
    key: row.key,
    workflowId: row.workflowId,
    runId: row.runId,
    name: row.name,
    route: row.route,
    version: row.version,
    engineVersion: row.engineVersion,
    inputHash: row.inputHash,
    status: row.status,
    createdAt: row.createdAt,
    endedAt: row.endedAt,
    deadlineAt: row.deadlineAt,
    dueAt: row.dueAt,
    ownerId: row.owner === null ? null : (state.workers.get(row.owner)?.workerId ?? null),
    epoch: row.epoch,
    lastSeq: row.lastSeq,
    inboxCount: inboxCountOf(state, row),
    inboxUnread: row.inboxCountAtEnd === null ? rowOf(state.inboxes, row.chain).unread : 0,
    crashCount: row.crashCount,
    parkReason: row.parkReason === null ? null : { ...row.parkReason },
    parentRunId: row.parentRunId,
    options: row.options,
    attributes: attributesOf(state, row),
  };
}

export function claimedRunOf(state: MemoryState, row: RunRow): ClaimedRun {
  return {
    key: row.key,
    workflowId: row.workflowId,
    runId: row.runId,
    name: row.name,
    route: row.route,
    version: row.version,
    engineVersion: row.engineVersion,
    status: row.status === "parked" ? "parked" : "running",
    createdAt: row.createdAt,
    deadlineAt: row.deadlineAt,
    epoch: row.epoch,
    lastSeq: row.lastSeq,
    inboxCount: inboxCountOf(state, row),
    crashCount: row.crashCount,
    parkCount: row.parkCount,
    parentRunId: row.parentRunId,
    options: row.options,
  };
}

export function claimedTaskOf(state: MemoryState, row: TaskRow, dueAt: number): ClaimedTask {
  const run = rowOf(state.runs, row.runKey);
  return {
    key: row.key,
    runKey: row.runKey,
    workflowId: run.workflowId,
    runId: run.runId,
    command: row.command,
    name: row.name,
    route: row.route,
    attempt: row.attempt,
    input: copyPayload(row.input),
    options: row.options,
    dueAt,
    heartbeatMs: row.heartbeatMs,
    details: copyPayload(row.details),
    epoch: row.epoch,
    crashCount: row.crashCount,
    cancelRequested: row.cancelRequested,
  };
}
