/** Starts and turns: the operations that carry the outcome of workflow code. */
import type { Effects, NextState, StartOperation, StartOutcome, TurnOperation, TurnOutcome } from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { copyLine, runRecordOf } from "./copies.js";
import { closeInbox, consumeItems, createInbox, putItem } from "./inbox.js";
import { releaseRun, setDue, takeRun } from "./ownership.js";
import { addTo, removeFrom, rowOf, type MemoryState, type RunRow } from "./state.js";
import { queueTask, withdrawAllTasks, withdrawTask } from "./tasks.js";

export function applyStart(state: MemoryState, operation: StartOperation, now: number): StartOutcome {
  const { run, eager } = operation;
  const existing = state.newestRunByWorkflowId.get(run.workflowId) ?? state.runByRunId.get(run.runId);
  if (existing !== undefined) return { status: "exists", run: runRecordOf(state, existing) };

  const row = insertRun(state, operation, now);
  const inbox = rowOf(state.inboxes, row.chain);
  if (eager === null) putItem(inbox, { kind: "start", name: "", command: null, attempt: null, payload: operation.input });
  for (const message of operation.messages) putItem(inbox, message);
  if (eager === null) {
    setDue(state, row, operation.dueAt ?? now);
  } else {
    takeRun(state, row, eager.worker);
    commitEffects(state, row, eager.effects, now);
  }
  return { status: "started", key: row.key, createdAt: row.createdAt, owned: row.owner !== null, inboxCount: inbox.count };
}

function insertRun(state: MemoryState, { run }: StartOperation, now: number): RunRow {
  state.lastKeys.run += 1;
  const key = state.lastKeys.run;
  const row: RunRow = {
    key,
    chain: key,
    workflowId: run.workflowId,
    runId: run.runId,
    name: run.name,
    version: run.version,
    engineVersion: run.engineVersion,
    inputHash: run.inputHash,
    createdAt: now,
    deadlineAt: run.deadlineAt,
    status: "running",
    endedAt: null,
    dueAt: null,
    owner: null,
    epoch: 0,
    lastSeq: 0,
    inboxSeen: 0,
    crashCount: 0,
    claimedAsSuspect: false,
    parkCount: 0,
    parkReason: null,
    heap: null,
    heapIndex: 0,
  };
  state.runs.set(key, row);
  state.histories.set(key, []);
  state.inboxes.set(row.chain, createInbox());
  state.runByRunId.set(row.runId, row);
  state.newestRunByWorkflowId.set(row.workflowId, row);
  return row;
}

export function applyTurn(state: MemoryState, operation: TurnOperation, now: number): TurnOutcome {
  const row = state.runs.get(operation.key);
  // A run that was given up keeps its epoch: only having an owner makes the epoch a right.
  if (
    row === undefined ||
    !isOpen(row.status) ||
    row.owner === null ||
    row.epoch !== operation.epoch ||
    row.lastSeq !== operation.lastSeq
  ) {
    return { status: "fenced" };
  }
  const inbox = rowOf(state.inboxes, row.chain);
  if (operation.effects.next.state === "ended" && inbox.count > operation.effects.inboxSeen)
    return { status: "unseen_inbox", inboxCount: inbox.count };
  commitEffects(state, row, operation.effects, now);
  return { status: "committed", owned: row.owner !== null, inboxCount: inbox.count };
}

/** Writes what a turn leaves behind. All conditions have been checked. */
function commitEffects(state: MemoryState, row: RunRow, effects: Effects, now: number): void {
  if (effects.events.length > 0) {
    const history = rowOf(state.histories, row.key);
    for (const line of effects.events) history.push(copyLine(line));
    row.lastSeq += effects.events.length;
    row.crashCount = 0;
    row.parkCount = 0;
  }
  const inbox = rowOf(state.inboxes, row.chain);
  consumeItems(inbox, effects.consumed);
  row.inboxSeen = effects.inboxSeen;
  // Queued before withdrawn: where several turns commit together, a command can only be withdrawn after it was queued.
  for (const task of effects.tasks) queueTask(state, row, task);
  for (const command of effects.withdrawnTasks) withdrawTask(state, row, command);
  enterNextState(state, row, effects.next, { now, inboxCount: inbox.count });
}

function enterNextState(
  state: MemoryState,
  row: RunRow,
  next: NextState,
  { now, inboxCount }: { readonly now: number; readonly inboxCount: number },
): void {
  if (row.status === "parked") removeFrom(state.parkedByName, row.name, row);
  row.status = "running";
  row.parkReason = null;
  switch (next.state) {
    case "driving":
      return;
    case "idle":
      // Something arrived that the driver has not seen: it goes on rather than give the run up and be told about it.
      if (inboxCount <= row.inboxSeen) releaseRun(state, row, next.dueAt);
      return;
    case "parked":
      row.status = "parked";
      row.parkReason = { ...next.reason };
      row.parkCount += 1;
      addTo(state.parkedByName, row.name, row);
      releaseRun(state, row, next.dueAt);
      return;
    case "ended":
      row.status = next.status;
      row.endedAt = now;
      releaseRun(state, row, null);
      withdrawAllTasks(state, row);
      closeInbox(rowOf(state.inboxes, row.chain));
      return;
    default:
      next satisfies never;
  }
}
