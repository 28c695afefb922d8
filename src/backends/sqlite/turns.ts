/** Starts and turns: the operations that carry the outcome of workflow code. */
import type { Effects, NextState, RunKey, StartOperation, StartOutcome, TurnOperation, TurnOutcome } from "../../backend/index.js";
import { isOpenRow, parkedStatus, runningStatus, statusNumber } from "./run-row.js";
import type { RunRow } from "./run-row.js";
import type { Step } from "./run-table.js";
import type { Work } from "./tables.js";

export function applyStart(work: Work, operation: StartOperation): StartOutcome {
  const { run, eager, messages } = operation;
  const key = work.keys.next("run");
  if (!work.runs.insertFact(key, run, work.now)) {
    const found = work.records.find({ workflowId: run.workflowId }) ?? work.records.find({ runId: run.runId });
    if (found === undefined) throw new Error(`The run ${run.runId} is refused although neither of its ids is taken.`);
    return { status: "exists", run: found };
  }

  const row = newRow(work, operation, key);
  if (eager !== null) foresee(row, eager.effects, work.now);
  work.runs.insert(row);
  let position = 0;
  if (eager === null) {
    work.inbox.put(row.chain, ++position, { kind: "start", name: "", command: null, attempt: null, payload: operation.input });
  }
  for (const message of messages) work.inbox.put(row.chain, ++position, message);
  if (eager !== null) writeEffects(work, key, eager.effects, { isNew: true });
  return { status: "started", key, createdAt: work.now, owned: row.owner !== null, inboxCount: row.inboxCount };
}

function newRow(work: Work, { run, eager, messages, dueAt }: StartOperation, key: RunKey): RunRow {
  return {
    key,
    chain: key,
    name: work.names.ensure(run.name),
    status: runningStatus,
    owner: eager?.worker ?? null,
    epoch: eager === null ? 0 : 1,
    lastSeq: 0,
    inboxCount: messages.length + (eager === null ? 1 : 0),
    inboxSeen: 0,
    dueAt: eager === null ? (dueAt ?? work.now) : null,
    crashCount: 0,
    parkCount: 0,
    isSuspect: 0,
    endedAt: null,
    parkReason: null,
  };
}

export function applyTurn(work: Work, operation: TurnOperation): TurnOutcome {
  const { key, effects } = operation;
  if (isUsual(work, operation)) {
    writeEffects(work, key, effects, { isNew: false });
    return { status: "committed", owned: effects.next.state === "driving", inboxCount: effects.inboxSeen };
  }
  const row = work.runs.byKey(key);
  // A run that was given up keeps its epoch: only having an owner makes the epoch a right.
  if (row === undefined || !isOpenRow(row) || row.owner === null || row.epoch !== operation.epoch || row.lastSeq !== operation.lastSeq) {
    return { status: "fenced" };
  }
  if (effects.next.state === "ended" && row.inboxCount > effects.inboxSeen) return { status: "unseen_inbox", inboxCount: row.inboxCount };
  foresee(row, effects, work.now);
  work.runs.save(row);
  writeEffects(work, key, effects, { isNew: false });
  return { status: "committed", owned: row.owner !== null, inboxCount: row.inboxCount };
}

/** Checks and writes the run's row in one statement, if the turn is one of the usual ones. */
function isUsual(work: Work, { key, epoch, lastSeq, effects }: TurnOperation): boolean {
  const { next, inboxSeen } = effects;
  const step: Step = { key, epoch, lastSeq, newLastSeq: lastSeq + effects.events.length, inboxSeen };
  switch (next.state) {
    case "driving":
      return work.runs.advance(step);
    case "idle":
      return work.runs.rest(step, next.dueAt);
    case "ended":
      return work.runs.end(step, statusNumber(next.status), work.now);
    case "parked":
      return false;
    default:
      return next satisfies never;
  }
}

/** Changes the row to what it is after the turn. All conditions have been checked. */
function foresee(row: RunRow, effects: Effects, now: number): void {
  if (effects.events.length > 0) {
    row.lastSeq += effects.events.length;
    row.crashCount = 0;
    row.parkCount = 0;
  }
  row.inboxSeen = effects.inboxSeen;
  row.status = runningStatus;
  row.parkReason = null;
  enterNextState(row, effects.next, now);
}

function enterNextState(row: RunRow, next: NextState, now: number): void {
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
      row.endedAt = now;
      row.owner = null;
      row.dueAt = null;
      return;
    default:
      next satisfies never;
  }
}

/** Writes what a turn leaves behind beside the run's row. */
function writeEffects(work: Work, key: RunKey, effects: Effects, { isNew }: { readonly isNew: boolean }): void {
  const { events, consumed, tasks, withdrawnTasks, next } = effects;
  work.history.append(key, events);
  work.inbox.take(key, consumed);
  // Queued before withdrawn: where several turns commit together, a command can only be withdrawn after it was queued.
  for (const task of tasks) {
    if (!isNew) work.tasks.removeCommand(key, task.command);
    work.tasks.insert(work.keys.next("task"), key, task);
  }
  for (const command of withdrawnTasks) work.tasks.removeCommand(key, command);
  if (next.state !== "ended") return;
  if (!isNew || tasks.length > 0) work.tasks.removeOfRun(key);
  // What was accepted and never taken stays; what only served to know duplicates goes. An end has seen all there is.
  if (effects.inboxSeen > 0) work.inbox.forgetKeys(key);
}
