/** Operations as the rows that `apply_1` reads. */
import type {
  ClaimFor,
  Effects,
  HistoryRecord,
  InboxItem,
  NewRun,
  NewTask,
  NextState,
  Operation,
  RunTarget,
  StartOperation,
  Termination,
  TurnOperation,
} from "../../backend/index.js";
import { noEffects } from "../../backend/no-effects.js";
import { nextCodes, operationCodes, reuseCodes } from "./codes.js";
import { indexForm, longForms } from "./names.js";
import { encodeAttributes, encodeChunks, encodeEntries } from "./encode-shelf.js";
import { kindNumber, payloadFields, statusNumber } from "./values.js";

/** The arguments of `apply_1`. */
export interface EncodedBatch {
  readonly operations: string;
  readonly lines: string;
  /** The routes that most claims of the batch are for; a claim with others carries its own. */
  readonly claimRoutes: readonly string[] | null;
}

/** Operations with their index in the batch. */
export type Members = readonly (readonly [index: number, operation: Operation])[];

/** Columns are left out where they would be null: most are, most of the time. */
export type Row = Record<string, unknown>;

/** Takes the lines that the operation at this index writes. */
export type LineSink = (x: number, events: readonly HistoryRecord[]) => void;

export function encodeBatch(members: Members): EncodedBatch {
  const lines: Row[] = [];
  const claimRoutes = routesOfFirstClaim(members);
  const addLines: LineSink = (x, events) => {
    for (const { seq, at, event, payload } of events) lines.push({ x, s: seq, a: at, e: event, ...payloadFields(payload) });
  };
  const rows = members.map(([index, operation]) => encode(operation, index, addLines, claimRoutes));
  return {
    operations: JSON.stringify(rows),
    lines: JSON.stringify(lines),
    claimRoutes: claimRoutes === null ? null : claimRoutes.map(indexForm),
  };
}

/** A turn without rare effects. */
export const isPlain = ({ tasks, cancelledTasks, entries, chunks, attributes, next }: Effects): boolean =>
  entries.length + chunks.length + attributes.length + cancelledTasks.length === 0 &&
  (next.state !== "ended" || tasks.length === 0) &&
  next.state !== "continued";

function encode(operation: Operation, x: number, addLines: LineSink, claimRoutes: readonly string[] | null): Row {
  switch (operation.type) {
    case "turn":
      return { o: operationCodes.turn, ...encodeTurn(operation, x, addLines) };
    case "start":
      return { o: operationCodes.start, ...encodeStart(operation, x, addLines) };
    case "send": {
      const { item, dedupeKey, claimFor } = operation;
      const row = {
        x,
        o: operationCodes.send,
        ...targetOf(operation.target),
        dk: indexForm(dedupeKey),
        ...itemOf(item),
        ...claimOf(claimFor, claimRoutes),
      };
      return row;
    }
    case "finish_task": {
      const { task, kind, payload, claimFor } = operation;
      const which = "key" in task ? { k: task.key, e: task.epoch } : { ri: indexForm(task.runId), co: task.command, at: task.attempt };
      const what = kind === "done" ? {} : { kd: kindNumber(kind), ...payloadFields(payload) };
      return { x, o: operationCodes.finish, ...which, ...what, ...claimOf(claimFor, claimRoutes) };
    }
    case "touch_task": {
      const { key, epoch, details, detach } = operation;
      return { x, o: operationCodes.touch, k: key, e: epoch, st: detach ? 1 : 0, ...payloadFields(details) };
    }
    case "append": {
      const { on, chunks } = operation;
      const which = "task" in on ? { k: on.task, st: 1 } : { k: on.run, st: 0 };
      return { x, o: operationCodes.append, ...which, e: on.epoch, ex: encodeChunks(chunks) };
    }
    case "terminate":
      return { x, o: operationCodes.terminate, ...targetOf(operation.target), ex: encodeTermination(operation.termination) };
    case "resume":
      return { x, o: operationCodes.resume, ...targetOf(operation.target) };
    default:
      return operation satisfies never;
  }
}

function encodeTurn({ key, epoch, lastSeq, effects }: TurnOperation, x: number, addLines: LineSink): Row {
  const { events, consumed, inboxSeen, next } = effects;
  addLines(x, events);
  const row: Row = {
    x,
    o: operationCodes.turn,
    k: key,
    e: epoch,
    s: lastSeq,
    n: lastSeq + events.length,
    i: inboxSeen,
    st: nextCode(next),
  };
  addNext(row, next);
  if (consumed.length > 0) row["c"] = consumed;
  addTasks(row, effects);
  if (effects.withdrawnTasks.length > 0) row["w"] = effects.withdrawnTasks;
  if (!isPlain(effects)) addRare(row, effects);
  return row;
}

/** What few turns have. */
function addRare(row: Row, { cancelledTasks, entries, chunks, attributes, next }: Omit<Effects, "inboxSeen">): void {
  const rare: Row = {};
  if (cancelledTasks.length > 0) rare["ca"] = cancelledTasks;
  if (entries.length > 0) rare["en"] = encodeEntries(entries);
  if (chunks.length > 0) rare["cu"] = encodeChunks(chunks);
  if (attributes.length > 0) rare["ab"] = encodeAttributes(attributes);
  if (next.state === "continued") {
    rare["nr"] = { ...encodeRun(next.run), ...(next.dueAt !== null && { d: next.dueAt }), ...payloadFields(next.input) };
  }
  if (Object.keys(rare).length > 0) row["ex"] = { ...(row["ex"] as Row | undefined), ...rare };
}

function encodeRun(run: NewRun): Row {
  const { workflowId, runId, route, parentRunId, options } = run;
  const row: Row = {
    wf: indexForm(workflowId),
    ri: indexForm(runId),
    nm: run.name,
    rt: indexForm(route),
    lf: longForms({ workflowId, runId, route, ...(parentRunId !== null && { parentRunId }) }),
    ve: run.version,
    ev: run.engineVersion,
    ih: run.inputHash,
    dl: run.deadlineAt,
  };
  if (parentRunId !== null) row["pa"] = indexForm(parentRunId);
  if (options !== null) row["os"] = options;
  return row;
}

const encodeTermination = ({ event, payload, tasks }: Termination): Row => ({
  e: event,
  ...payloadFields(payload),
  ...(tasks.length > 0 && { t: encodeTasks(tasks) }),
});

export function encodeStart(operation: StartOperation, x: number, addLines: LineSink): Row {
  const { run, input, messages, dueAt, reuse, terminates, attributes, eager } = operation;
  const row: Row = { x, ...encodeRun(run) };
  if (reuse !== "never" || terminates !== null) {
    row["ex"] = { ru: reuseCodes[reuse], ...(terminates !== null && { te: encodeTermination(terminates) }) };
  }
  if (eager === null) {
    const items: InboxItem[] = [{ kind: "start", name: "", command: null, attempt: null, payload: input, options: null }, ...messages];
    if (attributes.length > 0) addRare(row, { ...noEffects, attributes, next: { state: "idle", dueAt } });
    return Object.assign(row, {
      e: 0,
      n: 0,
      i: 0,
      ic: items.length,
      st: nextCodes.idle,
      d: dueAt,
      m: items.map((item, index) => placed(item, index + 1)),
    });
  }

  const { worker, effects } = eager;
  const { events, consumed, inboxSeen, next } = effects;
  addLines(x, events);
  // Something arrived with the start that its first turn has not seen: its worker keeps it.
  const isKept = next.state === "idle" && messages.length > inboxSeen;
  Object.assign(row, {
    ow: worker,
    e: 1,
    n: events.length,
    i: inboxSeen,
    ic: messages.length,
    st: isKept ? nextCodes.driving : nextCode(next),
  });
  if (!isKept) addNext(row, next);
  const taken = new Set(consumed);
  const items = messages.map((item, index) => placed(item, index + 1)).filter(({ po }) => !taken.has(po));
  if (items.length > 0) row["m"] = items;
  addTasks(row, effects);
  if (attributes.length > 0 || !isPlain(effects)) addRare(row, { ...effects, attributes: [...attributes, ...effects.attributes] });
  return row;
}

export function nextCode(next: NextState): number {
  return next.state === "ended" ? statusNumber(next.status) + 1 : nextCodes[next.state];
}

function addNext(row: Row, next: NextState): void {
  if (next.state === "idle" || next.state === "parked") row["d"] = next.dueAt;
  if (next.state === "parked") row["pr"] = JSON.stringify(next.reason);
}

/** The tasks that are queued and not withdrawn at once. */
export function addTasks(row: Row, { tasks, withdrawnTasks }: Effects): void {
  if (tasks.length === 0) return;
  const left = withdrawnTasks.length === 0 ? tasks : tasks.filter(({ command }) => !withdrawnTasks.includes(command));
  if (left.length > 0) row["t"] = encodeTasks(left);
}

/** The last task of each command, in the order in which they were asked for: keys are given out in it. */
function encodeTasks(tasks: readonly NewTask[]): readonly Row[] {
  const last = new Map<number, NewTask>(tasks.map((task) => [task.command, task]));
  return tasks.filter((task) => last.get(task.command) === task).map(encodeTask);
}

function encodeTask({ command, name, route, attempt, input, options, dueAt, expiresAt, heartbeatMs, details }: NewTask): Row {
  const r = indexForm(route);
  const row: Row = { c: command, n: name, r, a: attempt, d: dueAt, o: options, ...payloadFields(input) };
  if (r !== route || expiresAt !== null || heartbeatMs !== null || details !== null) {
    row["z"] = { lr: r === route ? null : route, x: expiresAt, h: heartbeatMs, ...payloadFields(details) };
  }
  return row;
}

const itemOf = ({ kind, name, command, attempt, payload, options }: InboxItem): Row => ({
  kd: kindNumber(kind),
  nm: name,
  co: command,
  at: attempt,
  ...payloadFields(payload),
  ...(options !== null && { os: options }),
});

const placed = (item: InboxItem, position: number): Row & { readonly po: number } => ({ po: position, ...itemOf(item) });

function targetOf(target: RunTarget): Row {
  if ("workflowId" in target) return { wf: indexForm(target.workflowId) };
  return "runId" in target ? { ri: indexForm(target.runId) } : { ch: indexForm(target.chainOf) };
}

function routesOfFirstClaim(members: Members): readonly string[] | null {
  for (const [, operation] of members) {
    if ((operation.type === "send" || operation.type === "finish_task") && operation.claimFor !== null) return operation.claimFor.routes;
  }
  return null;
}

function claimOf(claimFor: ClaimFor | null, shared: readonly string[] | null): Row {
  if (claimFor === null) return {};
  const { worker, routes } = claimFor;
  const isShared =
    routes === shared || (shared !== null && routes.length === shared.length && routes.every((route, index) => route === shared[index]));
  return isShared ? { cw: worker } : { cw: worker, cn: routes.map(indexForm) };
}
