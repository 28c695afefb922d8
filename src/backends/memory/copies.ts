/** What crosses the seam is copied, in and out: neither side can change the other's data through a shared object, as over a real database. */
import type { ClaimedRun, ClaimedTask, HistoryRecord, InboxItem, InboxRecord, Payload, RunRecord } from "../../backend/index.js";
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
  position,
  consumed: false,
});

export const inboxRecordOf = (row: InboxRow): InboxRecord => ({
  kind: row.kind,
  name: row.name,
  command: row.command,
  attempt: row.attempt,
  payload: copyPayload(row.payload),
  position: row.position,
});

export function runRecordOf(state: MemoryState, row: RunRow): RunRecord {
  const inbox = rowOf(state.inboxes, row.chain);
  return {
    key: row.key,
    workflowId: row.workflowId,
    runId: row.runId,
    name: row.name,
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
    inboxCount: inbox.count,
    inboxUnread: inbox.unread,
    crashCount: row.crashCount,
    parkReason: row.parkReason === null ? null : { ...row.parkReason },
  };
}

export function claimedRunOf(state: MemoryState, row: RunRow): ClaimedRun {
  return {
    key: row.key,
    workflowId: row.workflowId,
    runId: row.runId,
    name: row.name,
    version: row.version,
    engineVersion: row.engineVersion,
    status: row.status === "parked" ? "parked" : "running",
    createdAt: row.createdAt,
    deadlineAt: row.deadlineAt,
    epoch: row.epoch,
    lastSeq: row.lastSeq,
    inboxCount: rowOf(state.inboxes, row.chain).count,
    crashCount: row.crashCount,
    parkCount: row.parkCount,
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
    queue: row.queue,
    attempt: row.attempt,
    input: copyPayload(row.input),
    options: row.options,
    dueAt,
    epoch: row.epoch,
    crashCount: row.crashCount,
  };
}
