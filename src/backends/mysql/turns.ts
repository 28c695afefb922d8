/** Starts and turns: the operations that carry the outcome of workflow code. */
import type {
  Effects,
  InboxItem,
  NewTask,
  NextState,
  RunRecord,
  StartOperation,
  StartOutcome,
  TurnOperation,
  TurnOutcome,
} from "../../backend/index.js";
import type { Batch } from "./batch.js";
import type { Changes } from "./changes.js";
import { isOpenRow, parkedStatus, recordOf, runningStatus, statusNumber, type RunRow } from "./run-row.js";
import { idKey } from "./sql.js";

export function applyStart(batch: Batch, changes: Changes, operation: StartOperation): StartOutcome {
  const { run, eager } = operation;
  const existing = batch.runByWorkflow.get(idKey(run.workflowId)) ?? batch.runByRunId.get(idKey(run.runId));
  if (existing !== undefined) return { status: "exists", run: recordOfRun(batch, existing) };

  const row = insertRun(batch, changes, operation);
  if (eager === null) {
    putItem(batch, changes, row, { kind: "start", name: "", command: null, attempt: null, payload: operation.input });
  }
  for (const message of operation.messages) putItem(batch, changes, row, message);
  if (eager === null) row.dueAt = operation.dueAt ?? batch.now;
  else commitEffects(batch, changes, row, eager.effects);
  const { createdAt } = batch.facts.get(row.key) ?? { createdAt: batch.now };
  return { status: "started", key: row.key, createdAt, owned: row.owner !== null, inboxCount: row.inboxCount };
}

function insertRun(batch: Batch, changes: Changes, { run, eager }: StartOperation): RunRow {
  const { workflowId, runId, version, engineVersion, inputHash, deadlineAt } = run;
  const made = batch.newRuns.get(idKey(runId));
  if (made === undefined) throw new Error(`The run ${runId} is refused although neither of its ids is taken.`);
  const { key, createdAt } = made;
  const row: RunRow = {
    key,
    chain: key,
    name: batch.names.idOf(run.name),
    status: runningStatus,
    owner: eager?.worker ?? null,
    epoch: eager === null ? 0 : 1,
    lastSeq: 0,
    inboxCount: 0,
    inboxSeen: 0,
    dueAt: null,
    crashCount: 0,
    parkCount: 0,
    isSuspect: false,
    hasTasks: false,
    hasKeys: false,
    endedAt: null,
    parkReason: null,
  };
  batch.runs.set(key, row);
  batch.facts.set(key, { workflowId, runId, version, engineVersion, inputHash, createdAt, deadlineAt });
  batch.runByWorkflow.set(idKey(workflowId), key);
  batch.runByRunId.set(idKey(runId), key);
  batch.unread.set(key, new Set());
  changes.newRuns.add(row);
  return row;
}

function recordOfRun(batch: Batch, key: number): RunRecord {
  const row = batch.runs.get(key);
  const fact = batch.facts.get(key);
  if (row === undefined || fact === undefined) throw new Error(`The run ${key} was found, but not read.`);
  const ownerId = row.owner === null ? null : (batch.workers.get(row.owner)?.workerId ?? null);
  return recordOf(row, fact, { name: batch.names.nameOf(row.name), ownerId, inboxUnread: batch.unread.get(key)?.size ?? 0 });
}

/** Puts an item into the inbox of a run, at the next position. */
export function putItem(batch: Batch, changes: Changes, row: RunRow, item: InboxItem): void {
  row.inboxCount += 1;
  changes.items.set(`${row.chain}:${row.inboxCount}`, { chain: row.chain, position: row.inboxCount, item });
  changes.changedRuns.add(row);
  batch.unread.get(row.key)?.add(row.inboxCount);
}

export function applyTurn(batch: Batch, changes: Changes, operation: TurnOperation): TurnOutcome {
  const { key, effects } = operation;
  const row = batch.runs.get(key);
  if (row === undefined) {
    const locked = batch.lockedRuns.get(key);
    if (locked === undefined || !mayGoOn(locked, operation)) return { status: "fenced" };
    // What follows it in this batch is no more fenced than it is.
    locked.lastSeq += effects.events.length;
    return { status: "locked" };
  }
  if (!mayGoOn(row, operation)) return { status: "fenced" };
  if (effects.next.state === "ended" && row.inboxCount > effects.inboxSeen) return { status: "unseen_inbox", inboxCount: row.inboxCount };
  commitEffects(batch, changes, row, effects);
  return { status: "committed", owned: row.owner !== null, inboxCount: row.inboxCount };
}

/** A run that was given up keeps its epoch: only having an owner makes the epoch a right. */
const mayGoOn = (row: RunRow, { epoch, lastSeq }: TurnOperation): boolean =>
  isOpenRow(row) && row.owner !== null && row.epoch === epoch && row.lastSeq === lastSeq;

/** Notes what a turn leaves behind. All conditions have been checked. */
function commitEffects(batch: Batch, changes: Changes, row: RunRow, effects: Effects): void {
  const { events, consumed, tasks, withdrawnTasks } = effects;
  changes.changedRuns.add(row);
  if (events.length > 0) {
    for (const line of events) changes.lines.push({ run: row.key, line });
    row.lastSeq += events.length;
    row.crashCount = 0;
    row.parkCount = 0;
  }
  for (const position of consumed) takeItem(batch, changes, row, position);
  row.inboxSeen = effects.inboxSeen;
  if (tasks.length + withdrawnTasks.length > 0) {
    const commands = changes.tasks.get(row.key) ?? new Map<number, NewTask | null>();
    changes.tasks.set(row.key, commands);
    for (const task of tasks) commands.delete(task.command);
    for (const task of tasks) commands.set(task.command, task);
    // Queued before withdrawn: where several turns commit together, a command can only be withdrawn after it was queued.
    for (const command of withdrawnTasks) commands.set(command, null);
    withdrawKnown(batch, row, new Set([...tasks.map(({ command }) => command), ...withdrawnTasks]));
    if (tasks.length > 0) row.hasTasks = true;
  }
  enterNextState(batch, changes, row, effects.next);
}

/** Tasks that a later operation of this batch would finish, and that are gone now. */
function withdrawKnown({ tasks }: Batch, row: RunRow, commands: ReadonlySet<number> | null): void {
  for (const [key, task] of tasks) if (task.run === row.key && (commands === null || commands.has(task.command))) tasks.delete(key);
}

function takeItem(batch: Batch, changes: Changes, row: RunRow, position: number): void {
  batch.unread.get(row.key)?.delete(position);
  // What came in with this batch is never written.
  if (!changes.items.delete(`${row.chain}:${position}`)) changes.taken.push({ chain: row.chain, position });
}

function enterNextState(batch: Batch, changes: Changes, row: RunRow, next: NextState): void {
  row.status = runningStatus;
  row.parkReason = null;
  switch (next.state) {
    case "driving":
      return;
    case "idle":
      // Something arrived that the driver has not seen: it goes on rather than give the run up and be told about it.
      if (row.inboxCount > row.inboxSeen) return;
      row.owner = null;
      row.dueAt = next.dueAt;
      return;
    case "parked":
      row.status = parkedStatus;
      row.parkReason = JSON.stringify(next.reason);
      row.parkCount += 1;
      row.owner = null;
      row.dueAt = next.dueAt;
      return;
    case "ended":
      row.status = statusNumber(next.status);
      row.endedAt = batch.now;
      row.owner = null;
      row.dueAt = null;
      // What was accepted and never taken stays; what only served to know duplicates goes, and so do tasks.
      if (row.hasTasks) changes.tasksOf.add(row.key);
      if (row.hasKeys) changes.keysOf.add(row.chain);
      withdrawKnown(batch, row, null);
      return;
    default:
      next satisfies never;
  }
}
