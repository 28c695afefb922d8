/** Starts, turns and ends: the operations that carry the outcome of workflow code. */
import type {
  Effects,
  EndedStatus,
  NewRun,
  NextState,
  StartOperation,
  StartOutcome,
  TerminateOperation,
  TerminateOutcome,
  Termination,
  TurnOperation,
  TurnOutcome,
} from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { claimedRunOf, copyLine, inboxCountOf, runRecordOf } from "./copies.js";
import { closeInbox, consumeItems, createInbox, dropCommandItems, putItem } from "./inbox.js";
import { findTarget } from "./messages.js";
import { releaseRun, setDue, takeRun } from "./ownership.js";
import { appendChunks, writeAttributes, writeEntries } from "./shelf.js";
import { addTo, removeFrom, rowOf, type ChainKey, type MemoryState, type RunRow } from "./state.js";
import { cancelTask, queueTask, withdrawAllTasks, withdrawTask } from "./tasks.js";

const inputItem = (payload: StartOperation["input"]) =>
  ({ kind: "start", name: "", command: null, attempt: null, payload, options: null }) as const;

export function applyStart(state: MemoryState, operation: StartOperation, now: number): StartOutcome {
  const { run, eager } = operation;
  const again = state.runByRunId.get(run.runId);
  const existing = again ?? state.newestRunByWorkflowId.get(run.workflowId);
  if (existing !== undefined && (again !== undefined || !makesRoom(state, existing, operation, now)))
    return { status: "exists", run: runRecordOf(state, existing) };

  const row = insertRun(state, run, null, now);
  const inbox = rowOf(state.inboxes, row.chain);
  writeAttributes(state, row.chain, operation.attributes);
  if (eager === null) putItem(inbox, inputItem(operation.input));
  for (const message of operation.messages) putItem(inbox, message);
  if (eager === null) {
    setDue(state, row, operation.dueAt ?? now);
  } else {
    takeRun(state, row, eager.worker);
    commitEffects(state, row, eager.effects, now);
  }
  return { status: "started", key: row.key, createdAt: row.createdAt, owned: row.owner !== null, inboxCount: inbox.count };
}

/** May another run of this id begin? An open one is ended for it, if the start says so. */
function makesRoom(state: MemoryState, existing: RunRow, { reuse, terminates }: StartOperation, now: number): boolean {
  if (!isOpen(existing.status)) {
    const hasFailed = existing.status === "failed" || existing.status === "cancelled" || existing.status === "terminated";
    return reuse === "always" || (reuse === "after_failure" && hasFailed);
  }
  if (terminates === null) return false;
  terminateRun(state, existing, terminates, now);
  return true;
}

/** `chain`: that of the run which this one follows; null for a new one. */
function insertRun(state: MemoryState, run: NewRun, chain: ChainKey | null, now: number): RunRow {
  state.lastKeys.run += 1;
  const key = state.lastKeys.run;
  // Spelled out: an object of this size that is spread from another one is slow, and large.
  const row: RunRow = {
    key,
    chain: chain ?? key,
    workflowId: run.workflowId,
    runId: run.runId,
    name: run.name,
    route: run.route,
    version: run.version,
    engineVersion: run.engineVersion,
    inputHash: run.inputHash,
    deadlineAt: run.deadlineAt,
    parentRunId: run.parentRunId,
    options: run.options,
    createdAt: now,
    status: "running",
    endedAt: null,
    dueAt: null,
    owner: null,
    epoch: 0,
    lastSeq: 0,
    inboxSeen: 0,
    inboxCountAtEnd: null,
    nextInChain: null,
    crashCount: 0,
    claimedAsSuspect: false,
    parkCount: 0,
    parkReason: null,
    heap: null,
    heapIndex: 0,
  };
  state.runs.set(key, row);
  state.histories.set(key, []);
  if (chain === null) state.inboxes.set(row.chain, createInbox());
  state.runByRunId.set(row.runId, row);
  state.newestRunByWorkflowId.set(row.workflowId, row);
  if (row.parentRunId !== null) addTo(state.runsByParent, row.parentRunId, row);
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
  const { nextInChain } = commitEffects(state, row, operation.effects, now);
  const continued = nextInChain === null || nextInChain.owner === null ? null : claimedRunOf(state, nextInChain);
  return { status: "committed", owned: row.owner !== null, inboxCount: inboxCountOf(state, row), continued };
}

/** Writes what a turn leaves behind. All conditions have been checked. */
function commitEffects(state: MemoryState, row: RunRow, effects: Effects, now: number): RunRow {
  if (effects.events.length > 0) {
    const history = rowOf(state.histories, row.key);
    for (const line of effects.events) history.push(copyLine(line));
    row.lastSeq += effects.events.length;
    row.crashCount = 0;
    row.parkCount = 0;
  }
  consumeItems(rowOf(state.inboxes, row.chain), effects.consumed);
  row.inboxSeen = effects.inboxSeen;
  const ends = effects.next.state === "ended" || effects.next.state === "continued";
  if (ends) withdrawAllTasks(state, row);
  // Queued before withdrawn: where several turns commit together, a command can only be withdrawn after it was queued.
  for (const task of effects.tasks) queueTask(state, row, task);
  for (const command of effects.withdrawnTasks) withdrawTask(state, row, command);
  for (const command of effects.cancelledTasks) cancelTask(state, row, command);
  writeEntries(state, row.chain, effects.entries);
  appendChunks(state, row.chain, effects.chunks);
  writeAttributes(state, row.chain, effects.attributes);
  enterNextState(state, row, effects.next, now);
  return row;
}

function enterNextState(state: MemoryState, row: RunRow, next: NextState, now: number): void {
  if (row.status === "parked") removeFrom(state.parkedByRoute, row.route, row);
  row.status = "running";
  row.parkReason = null;
  switch (next.state) {
    case "driving":
      return;
    case "idle":
      // Something arrived that the driver has not seen: it goes on rather than give the run up and be told about it.
      if (rowOf(state.inboxes, row.chain).count <= row.inboxSeen) releaseRun(state, row, next.dueAt);
      return;
    case "parked":
      row.status = "parked";
      row.parkReason = { ...next.reason };
      row.parkCount += 1;
      addTo(state.parkedByRoute, row.route, row);
      releaseRun(state, row, next.dueAt);
      return;
    case "ended":
      close(state, row, next.status, now);
      closeInbox(rowOf(state.inboxes, row.chain));
      return;
    case "continued":
      continueChain(state, row, next, now);
      return;
    default:
      next satisfies never;
  }
}

function close(state: MemoryState, row: RunRow, status: EndedStatus, now: number): void {
  row.status = status;
  row.endedAt = now;
  releaseRun(state, row, null);
}

function continueChain(state: MemoryState, row: RunRow, next: Extract<NextState, { readonly state: "continued" }>, now: number): void {
  const { owner } = row;
  const inbox = rowOf(state.inboxes, row.chain);
  close(state, row, "continued", now);
  dropCommandItems(inbox);
  row.inboxCountAtEnd = inbox.count;
  const follower = insertRun(state, next.run, row.chain, now);
  row.nextInChain = follower;
  putItem(inbox, inputItem(next.input));
  if (next.dueAt === null && owner !== null) takeRun(state, follower, owner);
  else setDue(state, follower, next.dueAt ?? now);
}

export function applyTerminate(state: MemoryState, { target, termination }: TerminateOperation, now: number): TerminateOutcome {
  const row = findTarget(state, target);
  if (row === undefined) return { status: "not_found" };
  if (!isOpen(row.status)) return { status: "not_running" };
  terminateRun(state, row, termination, now);
  return { status: "terminated", key: row.key, runId: row.runId };
}

/** Ends an open run whoever drives it: without owner, and with another last line, its driver is fenced. */
function terminateRun(state: MemoryState, row: RunRow, { event, payload, tasks }: Termination, now: number): void {
  const history = rowOf(state.histories, row.key);
  if (row.status === "parked") removeFrom(state.parkedByRoute, row.route, row);
  row.parkReason = null;
  row.lastSeq += 1;
  history.push(copyLine({ seq: row.lastSeq, at: Math.max(now, history.at(-1)?.at ?? 0), event, payload }));
  withdrawAllTasks(state, row);
  for (const task of tasks) queueTask(state, row, task);
  close(state, row, "terminated", now);
  closeInbox(rowOf(state.inboxes, row.chain));
}
