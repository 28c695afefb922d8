/** Operations as the rows that `apply_1` reads. */
import type {
  ClaimFor,
  Effects,
  HistoryRecord,
  InboxItem,
  NextState,
  NewTask,
  Operation,
  StartOperation,
  TurnOperation,
} from "../../backend/index.js";
import { nextCodes, operationCodes } from "./apply-functions.js";
import { indexForm, longForms } from "./names.js";
import { kindNumber, payloadFields, statusNumber } from "./values.js";

/** The arguments of `apply_1`. */
export interface EncodedBatch {
  readonly operations: string;
  readonly lines: string;
  /** The names that most claims of the batch are for; a claim with others carries its own. */
  readonly claimNames: readonly string[] | null;
}

/** Operations with their index in the batch. */
export type Members = readonly (readonly [index: number, operation: Operation])[];

/** Columns are left out where they would be null: most are, most of the time. */
type Row = Record<string, unknown>;

export function encodeBatch(members: Members): EncodedBatch {
  const lines: Row[] = [];
  const claimNames = namesOfFirstClaim(members);
  const rows = members.map(([index, operation]) => encode(operation, index, lines, claimNames));
  return {
    operations: JSON.stringify(rows),
    lines: JSON.stringify(lines),
    claimNames: claimNames === null ? null : claimNames.map(indexForm),
  };
}

/** The arguments of `apply_simple_1`. */
export interface EncodedSimpleBatch {
  readonly turns: string | null;
  readonly turnCount: number;
  readonly starts: string | null;
  readonly startCount: number;
  readonly lines: string;
}

/** Undefined for a batch that `apply_1` has to take. */
export function encodeSimple(operations: readonly Operation[]): EncodedSimpleBatch | undefined {
  if (!isSimple(operations)) return undefined;
  const lines: Row[] = [];
  const turns: { readonly key: number; readonly row: Row }[] = [];
  const starts: Row[] = [];
  for (const [x, operation] of operations.entries()) {
    if (operation.type === "turn") turns.push({ key: operation.key, row: encodeTurn(operation, x, lines) });
    else if (operation.type === "start") starts.push(encodeStart(operation, x, lines));
  }
  // As everybody locks runs.
  turns.sort((a, b) => a.key - b.key);
  return {
    turns: turns.length === 0 ? null : JSON.stringify(turns.map(({ row }) => row)),
    turnCount: turns.length,
    starts: starts.length === 0 ? null : JSON.stringify(starts),
    startCount: starts.length,
    lines: JSON.stringify(lines),
  };
}

/** Turns of different runs and starts of different ids: none depends on another, whatever their order. */
function isSimple(operations: readonly Operation[]): boolean {
  const keys = new Set<number | string>();
  for (const operation of operations) {
    if (operation.type === "turn") keys.add(operation.key);
    else if (operation.type === "start") keys.add(operation.run.workflowId);
    else return false;
  }
  return keys.size === operations.length;
}

function encode(operation: Operation, x: number, lines: Row[], claimNames: readonly string[] | null): Row {
  switch (operation.type) {
    case "turn":
      return { o: operationCodes.turn, ...encodeTurn(operation, x, lines) };
    case "start":
      return { o: operationCodes.start, ...encodeStart(operation, x, lines) };
    case "send": {
      const { item, dedupeKey, claimFor } = operation;
      const row = {
        x,
        o: operationCodes.send,
        ...targetOf(operation.target),
        dk: indexForm(dedupeKey),
        ...itemOf(item),
        ...claimOf(claimFor, claimNames),
      };
      return row;
    }
    case "finish_task": {
      const { key, epoch, kind, payload, claimFor } = operation;
      return {
        x,
        o: operationCodes.finish,
        k: key,
        e: epoch,
        kd: kindNumber(kind),
        ...payloadFields(payload),
        ...claimOf(claimFor, claimNames),
      };
    }
    case "resume":
      return { x, o: operationCodes.resume, ...targetOf(operation.target) };
    default:
      return operation satisfies never;
  }
}

function encodeTurn({ key, epoch, lastSeq, effects }: TurnOperation, x: number, lines: Row[]): Row {
  const { events, consumed, inboxSeen, next } = effects;
  addLines(lines, x, events);
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
  return row;
}

function encodeStart({ run, input, messages, dueAt, eager }: StartOperation, x: number, lines: Row[]): Row {
  const { workflowId, runId, name } = run;
  const row: Row = {
    x,
    wf: indexForm(workflowId),
    ri: indexForm(runId),
    nm: indexForm(name),
    lf: longForms({ workflowId, runId, name }),
    ve: run.version,
    ev: run.engineVersion,
    ih: run.inputHash,
    dl: run.deadlineAt,
  };
  if (eager === null) {
    const items: InboxItem[] = [{ kind: "start", name: "", command: null, attempt: null, payload: input }, ...messages];
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
  addLines(lines, x, events);
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
  if (next.state !== "ended") addTasks(row, effects);
  return row;
}

function nextCode(next: NextState): number {
  return next.state === "ended" ? statusNumber(next.status) + 1 : nextCodes[next.state];
}

function addNext(row: Row, next: NextState): void {
  if (next.state === "idle" || next.state === "parked") row["d"] = next.dueAt;
  if (next.state === "parked") row["pr"] = JSON.stringify(next.reason);
}

function addLines(lines: Row[], x: number, events: readonly HistoryRecord[]): void {
  for (const { seq, at, event, payload } of events) {
    if (typeof payload === "string") lines.push({ x, s: seq, a: at, e: event, p: payload });
    else lines.push({ x, s: seq, a: at, e: event, ...payloadFields(payload) });
  }
}

/** The tasks that are queued and not withdrawn at once, the last of each command. */
function addTasks(row: Row, { tasks, withdrawnTasks }: Effects): void {
  if (tasks.length === 0) return;
  const last = new Map<number, NewTask>(tasks.map((task) => [task.command, task]));
  for (const command of withdrawnTasks) last.delete(command);
  // Queued in the order in which they were asked for: keys are given out in it.
  const left = tasks.filter((task) => last.get(task.command) === task);
  if (left.length === 0 && withdrawnTasks.length > 0) return;
  row["t"] = left.map(({ command, name, queue, attempt, input, options, dueAt }) => {
    const n = indexForm(name);
    return { c: command, n, ln: n === name ? null : name, q: queue, a: attempt, d: dueAt, o: options, ...payloadFields(input) };
  });
}

const itemOf = ({ kind, name, command, attempt, payload }: InboxItem): Row => ({
  kd: kindNumber(kind),
  nm: name,
  co: command,
  at: attempt,
  ...payloadFields(payload),
});

const placed = (item: InboxItem, position: number): Row & { readonly po: number } => ({ po: position, ...itemOf(item) });

const targetOf = (target: { readonly workflowId: string } | { readonly runId: string }): Row =>
  "runId" in target ? { ri: indexForm(target.runId) } : { wf: indexForm(target.workflowId) };

function namesOfFirstClaim(members: Members): readonly string[] | null {
  for (const [, operation] of members) {
    if ((operation.type === "send" || operation.type === "finish_task") && operation.claimFor !== null) return operation.claimFor.names;
  }
  return null;
}

function claimOf(claimFor: ClaimFor | null, shared: readonly string[] | null): Row {
  if (claimFor === null) return {};
  const { worker, names } = claimFor;
  const isShared =
    names === shared || (shared !== null && names.length === shared.length && names.every((name, index) => name === shared[index]));
  return isShared ? { cw: worker } : { cw: worker, cn: names.map(indexForm) };
}
