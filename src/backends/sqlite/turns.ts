/** Starts, turns and ends: the operations that carry the outcome of workflow code. */
import type {
  ClaimedRun,
  Effects,
  InboxItem,
  NewRun,
  NewTask,
  NextState,
  Payload,
  RunKey,
  RunRecord,
  StartOperation,
  StartOutcome,
  TerminateOperation,
  TerminateOutcome,
  Termination,
  TurnOperation,
  TurnOutcome,
} from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { continuedStatus, isOpenRow, parkedStatus, runningStatus, statusNumber, terminatedStatus } from "./run-row.js";
import type { RunRow } from "./run-row.js";
import type { Step } from "./run-table.js";
import { putOnShelf, writeAttributes } from "./shelf.js";
import type { Work } from "./tables.js";

type Continued = Extract<NextState, { readonly state: "continued" }>;

const inputItem = (payload: Payload): InboxItem => ({ kind: "start", name: "", command: null, attempt: null, payload, options: null });

export function applyStart(work: Work, operation: StartOperation): StartOutcome {
  const { run, eager, messages } = operation;
  const key = work.keys.peek("run");
  if (!work.facts.insert(key, run, 1, work.now)) {
    const obstacle = clearAway(work, operation);
    if ("run" in obstacle) return { status: "exists", run: obstacle.run };
    if (!work.facts.insert(key, run, obstacle.generation, work.now)) throw refused(run);
  }

  work.keys.next("run");
  const row = firstRow(work, operation, key);
  if (eager !== null) foresee(row, eager.effects, work.now);
  work.runs.insert(row);
  writeAttributes(work, row.chain, operation.attributes);
  let position = 0;
  if (eager === null) work.inbox.put(row.chain, ++position, inputItem(operation.input));
  for (const message of messages) work.inbox.put(row.chain, ++position, message);
  if (eager !== null) writeEffects(work, key, eager.effects, { isNew: true });
  return { status: "started", key, createdAt: work.now, owned: row.owner !== null, inboxCount: row.inboxCount };
}

/** What stands in the way of a start: the run to answer with, or, where another may follow it, the generation of that. An open one is ended for it. */
function clearAway(work: Work, { run, reuse, terminates }: StartOperation): { readonly run: RunRecord } | { readonly generation: number } {
  const again = work.records.find({ runId: run.runId });
  if (again !== undefined) return { run: again };
  const newest = work.records.find({ workflowId: run.workflowId });
  if (newest === undefined) throw refused(run);
  if (isOpen(newest.status)) {
    const row = terminates === null ? undefined : work.runs.byKey(newest.key);
    if (row === undefined || terminates === null) return { run: newest };
    terminateRun(work, row, terminates);
  } else {
    const hasFailed = newest.status === "failed" || newest.status === "cancelled" || newest.status === "terminated";
    if (reuse !== "always" && !(reuse === "after_failure" && hasFailed)) return { run: newest };
  }
  return { generation: work.facts.generationOf(newest.key) + 1 };
}

const refused = ({ runId }: NewRun): Error => new Error(`The run ${runId} is refused although nothing is in its way.`);

function firstRow(work: Work, { run, eager, messages, dueAt }: StartOperation, key: RunKey): RunRow {
  const inboxCount = messages.length + (eager === null ? 1 : 0);
  const owner = eager?.worker ?? null;
  return newRow({ key, chain: key, route: work.names.ensure(run.route), owner, inboxCount, dueAt: dueAt ?? work.now });
}

/** A run that nobody has driven yet. Where it has an owner from the beginning it is due for nobody. */
function newRow(row: Pick<RunRow, "key" | "chain" | "route" | "owner" | "inboxCount" | "dueAt">): RunRow {
  const { key, chain, route, owner, inboxCount, dueAt } = row;
  return {
    key,
    chain,
    route,
    status: runningStatus,
    owner,
    epoch: owner === null ? 0 : 1,
    lastSeq: 0,
    inboxCount,
    inboxSeen: 0,
    dueAt: owner === null ? dueAt : null,
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
    return { status: "committed", owned: effects.next.state === "driving", inboxCount: effects.inboxSeen, continued: null };
  }
  const row = work.runs.byKey(key);
  // A run that was given up keeps its epoch: only having an owner makes the epoch a right.
  if (row === undefined || !isOpenRow(row) || row.owner === null || row.epoch !== operation.epoch || row.lastSeq !== operation.lastSeq) {
    return { status: "fenced" };
  }
  if (effects.next.state === "ended" && row.inboxCount > effects.inboxSeen) return { status: "unseen_inbox", inboxCount: row.inboxCount };
  const { owner } = row;
  foresee(row, effects, work.now);
  work.runs.save(row);
  writeEffects(work, key, effects, { isNew: false });
  const continued = effects.next.state === "continued" ? continueChain(work, row, effects.next, owner) : null;
  return { status: "committed", owned: row.owner !== null, inboxCount: row.inboxCount, continued };
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
    case "continued":
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
      close(row, statusNumber(next.status), now);
      return;
    case "continued":
      close(row, continuedStatus, now);
      return;
    default:
      next satisfies never;
  }
}

function close(row: RunRow, status: number, now: number): void {
  row.status = status;
  row.endedAt = now;
  row.owner = null;
  row.dueAt = null;
}

/** Writes what a turn leaves behind beside the run's row. */
function writeEffects(work: Work, key: RunKey, effects: Effects, { isNew }: { readonly isNew: boolean }): void {
  const { events, consumed, tasks, withdrawnTasks, cancelledTasks, next } = effects;
  work.history.append(key, events);
  work.inbox.take(key, consumed);
  if (!isNew && (next.state === "ended" || next.state === "continued")) work.tasks.removeOfRun(key);
  // Queued before withdrawn: where several turns commit together, a command can only be withdrawn after it was queued.
  queueTasks(work, key, tasks, { isNew });
  for (const command of withdrawnTasks) work.tasks.removeCommand(key, command);
  for (const command of cancelledTasks) work.tasks.cancelCommand(key, command);
  putOnShelf(work, key, effects);
  // What was accepted and never taken stays; what only served to know duplicates goes. An end has seen all there is.
  if (next.state === "ended" && effects.inboxSeen > 0) work.inbox.forgetKeys(key);
}

function queueTasks(work: Work, run: RunKey, tasks: readonly NewTask[], { isNew }: { readonly isNew: boolean }): void {
  for (const task of tasks) {
    if (!isNew) work.tasks.removeCommand(run, task.command);
    work.tasks.insert(work.keys.next("task"), run, task);
  }
}

/** Lets another run go on in the place of one that has just been closed; returns it if it belongs to its owner at once. */
function continueChain(work: Work, row: RunRow, next: Continued, owner: RunRow["owner"]): ClaimedRun | null {
  const key = work.keys.next("run");
  if (!work.facts.insert(key, next.run, work.facts.generationOf(row.key) + 1, work.now)) throw refused(next.run);
  const follower = newRow({
    key,
    chain: row.chain,
    route: work.names.ensure(next.run.route),
    owner: next.dueAt === null ? owner : null,
    inboxCount: row.inboxCount + 1,
    dueAt: next.dueAt,
  });
  work.runs.insert(follower);
  work.inbox.dropCommandItems(row.chain);
  work.inbox.put(row.chain, follower.inboxCount, inputItem(next.input));
  return follower.owner === null ? null : (work.records.claimed(key) ?? null);
}

export function applyTerminate(work: Work, { target, termination }: TerminateOperation): TerminateOutcome {
  const row = work.runs.find(target);
  if (row === undefined) return { status: "not_found" };
  if (!isOpenRow(row)) return { status: "not_running" };
  terminateRun(work, row, termination);
  return { status: "terminated", key: row.key, runId: work.facts.runIdOf(row.key) };
}

/** Ends an open run whoever drives it: without owner, and with another last line, its driver is fenced. */
function terminateRun(work: Work, row: RunRow, { event, payload, tasks }: Termination): void {
  const last = work.history.read(row.key, row.lastSeq, 1)[0];
  row.lastSeq += 1;
  row.parkReason = null;
  close(row, terminatedStatus, work.now);
  work.runs.save(row);
  work.history.append(row.key, [{ seq: row.lastSeq, at: Math.max(work.now, last?.at ?? 0), event, payload }]);
  work.tasks.removeOfRun(row.key);
  queueTasks(work, row.key, tasks, { isNew: false });
  work.inbox.forgetKeys(row.key);
}
