/** Starts, turns and ends: the operations that carry the outcome of workflow code. */
import type {
  Effects,
  EndedStatus,
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
  WorkerKey,
} from "../../backend/index.js";
import type { Batch, Leftovers } from "./batch.js";
import type { Changes } from "./changes.js";
import { mapOf } from "./locks.js";
import type { LaterFacts } from "./run-fact.js";
import { claimOf, isOpenRow, parkedStatus, recordOf, runningStatus, statusNumber, type RunRow } from "./run-row.js";
import { appendChunks, attributeList, writeAttributes, writeEntries } from "./shelf.js";
import { idKey } from "./sql.js";
import { keyOfTarget } from "./targets.js";

const inputItem = (payload: Payload): InboxItem => ({ kind: "start", name: "", command: null, attempt: null, payload, options: null });

export async function applyStart(batch: Batch, changes: Changes, operation: StartOperation, facts: LaterFacts): Promise<StartOutcome> {
  const { run, eager } = operation;
  const again = batch.runByRunId.get(idKey(run.runId));
  const existing = again ?? batch.runByWorkflow.get(idKey(run.workflowId));
  if (existing !== undefined && (again !== undefined || !makesRoom(batch, changes, existing, operation)))
    return { status: "exists", run: recordOfRun(batch, existing) };

  const made = existing === undefined ? await firstRun(batch, run, facts) : await laterRun(batch, existing, run, facts);
  const row = insertRun(batch, changes, run, { ...made, before: null });
  writeAttributes(batch, changes, row.chain, operation.attributes);
  if (eager === null) putItem(batch, changes, row, inputItem(operation.input));
  for (const message of operation.messages) putItem(batch, changes, row, message);
  if (eager === null) {
    row.dueAt = operation.dueAt ?? batch.now;
  } else {
    row.owner = eager.worker;
    row.epoch = 1;
    commitEffects(batch, changes, row, eager.effects);
  }
  return { status: "started", ...made, owned: row.owner !== null, inboxCount: row.inboxCount };
}

interface MadeRun {
  readonly key: RunKey;
  readonly createdAt: number;
}

/** Keys are in the order of the operations, as listings are in that of keys. */
async function firstRun({ newRuns, now, hasLaterRuns }: Batch, run: NewRun, facts: LaterFacts): Promise<MadeRun> {
  const made = newRuns.get(idKey(run.runId));
  if (made === undefined) throw new Error(`The run ${run.runId} is refused although neither of its ids is taken.`);
  const { key, createdAt } = made;
  return hasLaterRuns ? { key: await facts.renew(key, run, now), createdAt: now } : { key, createdAt };
}

async function laterRun(batch: Batch, before: RunKey, run: NewRun, facts: LaterFacts): Promise<MadeRun> {
  batch.hasLaterRuns = true;
  return { key: await facts.supersede(before, run, batch.now), createdAt: batch.now };
}

/** May another run of this id begin? An open one is ended for it, if the start says so. */
function makesRoom(batch: Batch, changes: Changes, existing: RunKey, { reuse, terminates }: StartOperation): boolean {
  const row = batch.runs.get(existing);
  if (row === undefined) throw new Error(`The run ${existing} was found, but not read.`);
  if (!isOpenRow(row)) return reuse === "always" || (reuse === "after_failure" && failedStatuses.has(row.status));
  if (terminates === null) return false;
  terminateRun(batch, changes, row, terminates);
  return true;
}

const failedStatuses: ReadonlySet<number> = new Set([statusNumber("failed"), statusNumber("cancelled"), statusNumber("terminated")]);

/** `before`: the run that it follows in its chain; null for the first of a chain. */
function insertRun(
  batch: Batch,
  changes: Changes,
  run: NewRun,
  { key, createdAt, before }: MadeRun & { readonly before: RunRow | null },
): RunRow {
  const { workflowId, runId, version, engineVersion, inputHash, deadlineAt, parentRunId, options } = run;
  const row: RunRow = {
    key,
    chain: before?.chain ?? key,
    route: batch.names.idOf(run.route),
    status: runningStatus,
    owner: null,
    epoch: 0,
    lastSeq: 0,
    inboxCount: before?.inboxCount ?? 0,
    inboxSeen: 0,
    dueAt: null,
    crashCount: 0,
    parkCount: 0,
    isSuspect: false,
    hasTasks: false,
    hasKeys: before?.hasKeys ?? false,
    endedAt: null,
    parkReason: null,
  };
  batch.runs.set(key, row);
  const name = batch.names.idOf(run.name);
  batch.facts.set(key, { workflowId, runId, name, version, engineVersion, inputHash, createdAt, deadlineAt, parentRunId, options });
  batch.runByWorkflow.set(idKey(workflowId), key);
  batch.runByRunId.set(idKey(runId), key);
  changes.newRuns.add(row);
  if (parentRunId !== null) changes.children.push({ parentRunId, run: key });
  if (before !== null) {
    batch.followers.set(before.key, key);
    changes.followers.push({ chain: row.chain, run: key });
  }
  return row;
}

function recordOfRun(batch: Batch, key: RunKey): RunRecord {
  const row = batch.runs.get(key);
  const fact = batch.facts.get(key);
  if (row === undefined || fact === undefined) throw new Error(`The run ${key} was found, but not read.`);
  return recordOf(row, fact, batch.names, {
    ownerId: row.owner === null ? null : (batch.workers.get(row.owner)?.workerId ?? null),
    inboxUnread: batch.unread.get(row.chain)?.size ?? 0,
    attributes: attributeList(batch.attributes.get(row.chain)),
  });
}

/** Puts an item into the inbox of a run, at the next position. */
export function putItem(batch: Batch, changes: Changes, row: RunRow, item: InboxItem): void {
  row.inboxCount += 1;
  changes.items.set(`${row.chain}:${row.inboxCount}`, { chain: row.chain, position: row.inboxCount, item });
  changes.changedRuns.add(row);
  mapOf(batch.unread, row.chain).set(row.inboxCount, item.command !== null);
}

/** At once, but for the turn with which a chain goes on: there are many of them. */
export function applyTurn(batch: Batch, changes: Changes, operation: TurnOperation, facts: LaterFacts): TurnOutcome | Promise<TurnOutcome> {
  const { key, effects } = operation;
  const { next } = effects;
  const row = batch.runs.get(key);
  if (row === undefined) {
    const locked = batch.lockedRuns.get(key);
    if (locked === undefined || !mayGoOn(locked, operation)) return { status: "fenced" };
    // What follows it in this batch is no more fenced than it is.
    locked.lastSeq += effects.events.length;
    return { status: "locked" };
  }
  if (!mayGoOn(row, operation)) return { status: "fenced" };
  if (next.state === "ended" && row.inboxCount > effects.inboxSeen) return { status: "unseen_inbox", inboxCount: row.inboxCount };
  const { owner } = row;
  commitEffects(batch, changes, row, effects);
  if (next.state === "continued") return continueChain(batch, changes, row, { next, owner, facts });
  return { status: "committed", owned: row.owner !== null, inboxCount: row.inboxCount, continued: null };
}

/** A run that was given up keeps its epoch: only having an owner makes the epoch a right. */
const mayGoOn = (row: RunRow, { epoch, lastSeq }: TurnOperation): boolean =>
  isOpenRow(row) && row.owner !== null && row.epoch === epoch && row.lastSeq === lastSeq;

/** Notes what a turn leaves behind. All conditions have been checked. */
function commitEffects(batch: Batch, changes: Changes, row: RunRow, effects: Effects): void {
  const { events, next } = effects;
  changes.changedRuns.add(row);
  for (const line of events) {
    changes.lines.push({ run: row.key, line });
    batch.lastAt.set(row.key, line.at);
  }
  if (events.length > 0) {
    row.lastSeq += events.length;
    row.crashCount = 0;
    row.parkCount = 0;
  }
  for (const position of effects.consumed) takeItem(batch, changes, row, position);
  row.inboxSeen = effects.inboxSeen;
  if (next.state === "ended" || next.state === "continued") withdrawAllTasks(batch, changes, row);
  changeTasks(batch, changes, row, effects);
  writeEntries(changes, row.chain, effects.entries);
  appendChunks(batch, changes, row.chain, effects.chunks);
  writeAttributes(batch, changes, row.chain, effects.attributes);
  enterNextState(batch, changes, row, next);
}

function changeTasks(
  batch: Batch,
  changes: Changes,
  row: RunRow,
  { tasks, withdrawnTasks, cancelledTasks }: Pick<Effects, "tasks" | "withdrawnTasks" | "cancelledTasks">,
): void {
  if (tasks.length + withdrawnTasks.length > 0) {
    const commands = mapOf<RunKey, number, NewTask | null>(changes.tasks, row.key);
    for (const { command } of tasks) {
      commands.delete(command);
      changes.cancelledTasks.get(row.key)?.delete(command);
    }
    for (const task of tasks) commands.set(task.command, task);
    // Queued before withdrawn: where several turns commit together, a command can only be withdrawn after it was queued.
    for (const command of withdrawnTasks) commands.set(command, null);
    forgetTasks(batch, row, new Set([...tasks.map(({ command }) => command), ...withdrawnTasks]));
    if (tasks.length > 0) row.hasTasks = true;
  }
  if (cancelledTasks.length === 0) return;
  changes.cancelledTasks.set(row.key, new Set([...(changes.cancelledTasks.get(row.key) ?? []), ...cancelledTasks]));
  for (const task of batch.tasks.values()) if (task.run === row.key && cancelledTasks.includes(task.command)) task.cancelRequested = true;
}

/** All tasks that the run has so far; what its end leaves behind is queued after it. */
function withdrawAllTasks(batch: Batch, changes: Changes, row: RunRow, left?: Leftovers): void {
  if (left !== undefined) changes.finishedTasks.push(...left.tasks);
  else if (row.hasTasks) changes.tasksOf.add(row.key);
  changes.tasks.delete(row.key);
  changes.cancelledTasks.delete(row.key);
  forgetTasks(batch, row, null);
}

/** What was accepted and never taken stays; what only served to know duplicates goes. */
function forgetKeys(changes: Changes, row: RunRow, left?: Leftovers): void {
  if (row.hasKeys) changes.keysOf.set(row.chain, left === undefined ? null : [...left.keys]);
}

/** Tasks that a later operation of this batch would finish, and that are gone now. */
function forgetTasks({ tasks }: Batch, row: RunRow, commands: ReadonlySet<number> | null): void {
  for (const [key, task] of tasks) if (task.run === row.key && (commands === null || commands.has(task.command))) tasks.delete(key);
}

function takeItem(batch: Batch, changes: Changes, row: RunRow, position: number): void {
  batch.unread.get(row.chain)?.delete(position);
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
      close(batch, row, next.status);
      forgetKeys(changes, row);
      return;
    case "continued":
      close(batch, row, "continued");
      return;
    default:
      next satisfies never;
  }
}

function close(batch: Batch, row: RunRow, status: EndedStatus): void {
  row.status = statusNumber(status);
  row.endedAt = batch.now;
  row.owner = null;
  row.dueAt = null;
}

interface Continuation {
  readonly next: Extract<NextState, { readonly state: "continued" }>;
  /** Who drove the run. */
  readonly owner: WorkerKey | null;
  readonly facts: LaterFacts;
}

async function continueChain(batch: Batch, changes: Changes, row: RunRow, { next, owner, facts }: Continuation): Promise<TurnOutcome> {
  changes.commandItemsOf.add(row.chain);
  for (const [place, { chain, item }] of changes.items) if (chain === row.chain && item.command !== null) changes.items.delete(place);
  const unread = batch.unread.get(row.chain);
  for (const [position, isForCommand] of unread ?? []) if (isForCommand) unread?.delete(position);

  const made = await laterRun(batch, row.key, next.run, facts);
  const follower = insertRun(batch, changes, next.run, { ...made, before: row });
  putItem(batch, changes, follower, inputItem(next.input));
  if (next.dueAt === null && owner !== null) {
    follower.owner = owner;
    follower.epoch = 1;
  } else {
    follower.dueAt = next.dueAt ?? batch.now;
  }
  const fact = follower.owner === null ? undefined : batch.facts.get(follower.key);
  const continued = fact === undefined ? null : claimOf(follower, fact, batch.names);
  return { status: "committed", owned: false, inboxCount: row.inboxCount, continued };
}

export function applyTerminate(batch: Batch, changes: Changes, { target, termination }: TerminateOperation): TerminateOutcome {
  const key = keyOfTarget(batch, target);
  const row = key === undefined ? undefined : batch.runs.get(key);
  const fact = key === undefined ? undefined : batch.facts.get(key);
  if (row === undefined || fact === undefined) return { status: "not_found" };
  if (!isOpenRow(row)) return { status: "not_running" };
  terminateRun(batch, changes, row, termination);
  return { status: "terminated", key: row.key, runId: fact.runId };
}

/** Ends an open run whoever drives it: without owner, and with another last line, its driver is fenced. */
function terminateRun(batch: Batch, changes: Changes, row: RunRow, { event, payload, tasks }: Termination): void {
  changes.changedRuns.add(row);
  row.parkReason = null;
  row.lastSeq += 1;
  const at = Math.max(batch.now, batch.lastAt.get(row.key) ?? 0);
  batch.lastAt.set(row.key, at);
  changes.lines.push({ run: row.key, line: { seq: row.lastSeq, at, event, payload } });
  const left = batch.leftovers.get(row.key);
  withdrawAllTasks(batch, changes, row, left);
  changeTasks(batch, changes, row, { tasks, withdrawnTasks: [], cancelledTasks: [] });
  close(batch, row, "terminated");
  forgetKeys(changes, row, left);
}
