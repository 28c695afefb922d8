/** Turns and starts as the columns that `apply_simple_1` reads. */
import type { HistoryRecord, Operation, StartOperation, TurnOperation } from "../../backend/index.js";
import { bigintArray, bytesArray, floatArray, integerArray, textArray } from "./binary-arrays.js";
import { addTasks, encodeStart, isPlain, nextCode, type Row } from "./encode.js";

/** The arguments of `apply_simple_1`; undefined for a batch that `apply_1` has to take. */
export function encodeSimple(operations: readonly Operation[]): readonly unknown[] | undefined {
  if (!isSimple(operations)) return undefined;
  const lines: Line[] = [];
  const turns: Turn[] = [];
  const starts: Row[] = [];
  const addLines = (x: number, events: readonly HistoryRecord[]): void => {
    for (const event of events) lines.push({ x, event });
  };
  for (const [x, operation] of operations.entries()) {
    if (operation.type === "turn") {
      turns.push({ x, turn: operation });
      addLines(x, operation.effects.events);
    } else if (operation.type === "start") starts.push(encodeStart(operation, x, addLines));
  }
  // As everybody locks runs.
  turns.sort((a, b) => a.turn.key - b.turn.key);
  return [...turnColumns(turns), starts.length, starts.length === 0 ? null : JSON.stringify(starts), ...lineColumns(lines)];
}

/** Turns of different runs and starts of different ids, without rare effects: none depends on another, whatever their order. */
export function isSimple(operations: readonly Operation[]): boolean {
  const keys = new Set<number | string>();
  for (const operation of operations) {
    if (operation.type === "turn" && isPlain(operation.effects)) keys.add(operation.key);
    else if (operation.type === "start" && isPlainStart(operation)) keys.add(operation.run.workflowId);
    else return false;
  }
  return keys.size === operations.length;
}

const isPlainStart = ({ reuse, terminates, attributes, eager }: StartOperation): boolean =>
  reuse === "never" && terminates === null && attributes.length === 0 && (eager === null || isPlain(eager.effects));

/** An operation with its index in the batch. */
interface Turn {
  readonly x: number;
  readonly turn: TurnOperation;
}

interface Line {
  readonly x: number;
  readonly event: HistoryRecord;
}

function turnColumns(turns: readonly Turn[]): readonly unknown[] {
  const due = turns.map(({ turn }) => dueAtOf(turn));
  const reasons = turns.map(({ turn }) => parkReasonOf(turn));
  const rare = turns.flatMap(rareEffects);
  return [
    turns.length,
    integerArray(turns.map(({ x }) => x)),
    bigintArray(turns.map(({ turn }) => turn.key)),
    integerArray(turns.map(({ turn }) => turn.epoch)),
    integerArray(turns.map(({ turn }) => turn.lastSeq)),
    integerArray(turns.map(({ turn }) => turn.lastSeq + turn.effects.events.length)),
    integerArray(turns.map(({ turn }) => turn.effects.inboxSeen)),
    integerArray(turns.map(({ turn }) => nextCode(turn.effects.next))),
    hasAny(due) ? floatArray(due) : null,
    hasAny(reasons) ? textArray(reasons) : null,
    rare.length === 0 ? null : JSON.stringify(rare),
  ];
}

const dueAtOf = ({ effects: { next } }: TurnOperation): number | null =>
  next.state === "idle" || next.state === "parked" ? next.dueAt : null;

const parkReasonOf = ({ effects: { next } }: TurnOperation): string | null =>
  next.state === "parked" ? JSON.stringify(next.reason) : null;

const hasAny = (values: readonly unknown[]): boolean => values.some((value) => value !== null);

function rareEffects({ x, turn: { effects } }: Turn): readonly Row[] {
  const { consumed, tasks, withdrawnTasks } = effects;
  if (consumed.length + tasks.length + withdrawnTasks.length === 0) return none;
  const row: Row = { x };
  if (consumed.length > 0) row["c"] = consumed;
  if (withdrawnTasks.length > 0) row["w"] = withdrawnTasks;
  addTasks(row, effects);
  return [row];
}

const none: readonly never[] = [];

function lineColumns(lines: readonly Line[]): readonly unknown[] {
  const texts = lines.map(({ event: { payload } }) => (typeof payload === "string" ? payload : null));
  const bytes = lines.map(({ event: { payload } }) => (typeof payload === "string" ? null : payload));
  return [
    integerArray(lines.map(({ x }) => x)),
    integerArray(lines.map(({ event }) => event.seq)),
    floatArray(lines.map(({ event }) => event.at)),
    textArray(lines.map(({ event }) => event.event)),
    hasAny(texts) ? textArray(texts) : null,
    hasAny(bytes) ? bytesArray(bytes) : null,
  ];
}
