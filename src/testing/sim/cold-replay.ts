import type { ValueCodec } from "../../codec/codec.js";
import { readEnvelope, type EventEnvelope } from "../../core/events.js";
import { replayHistory, type HistoryLine } from "../../core/replay.js";
import { RunMachine } from "../../core/run-machine.js";
import type { TurnState } from "../../core/turn-result.js";
import type { HistoryRecord } from "../../backend/records.js";
import { runMarked, type WorkflowMark } from "../../platform/code-mark.js";
import type { RunRow } from "../../backends/memory/state.js";
import { createDefinitions } from "./interpreter.js";
import { textOf } from "./online-checker.js";

/** What a run's code does when its whole history is replayed by a process that never saw it. */
export interface Replayed {
  readonly state: TurnState;
  /** What the code still waits for. */
  readonly machine: RunMachine;
  /** What the code saw, by place in the program. */
  readonly observed: ReadonlyMap<string, string>;
  /** What it had seen when it issued a step, by place in the program. */
  readonly seenAtIssue: ReadonlyMap<string, number>;
}

/** Rejections that this code handles late, or never, are its own affair. */
const mark: WorkflowMark = { onAmbientUse: () => true, onLateRejection: () => undefined };

export async function replayCold(
  row: RunRow,
  history: readonly HistoryRecord[],
  codec: ValueCodec,
  settle: (callback: () => void) => void,
): Promise<Replayed> {
  const observed = new Map<string, string>();
  const seenAtIssue = new Map<string, number>();
  const [definition] = createDefinitions({
    body: () => {
      throw new Error("a replay executed a body");
    },
    issued: (_, path, seen) => void seenAtIssue.set(path, seen),
    observed: (_, path, value) => void observed.set(path, value),
  }).workflows;
  if (definition === undefined) throw new Error("there is no workflow");
  const machine = new RunMachine({
    run: (ctx, input) => definition.run(ctx, input),
    facts: { id: row.workflowId, runId: row.runId, name: row.name, version: undefined, attempt: 1, deadlineAt: row.deadlineAt },
    encode: (value, what) => codec.encode(value, what),
    encodeError: (error) => codec.encodeError(error),
    enter: (call) => runMarked(mark, call),
  });
  const lines = history.map((line): HistoryLine => ({
    seq: line.seq,
    at: line.at,
    envelope: readEnvelope(line.event),
    text: textOf(line.payload),
  }));
  const state = await replayHistory({
    machine,
    lines,
    decode: ({ envelope, text }) => decodeLine(codec, envelope, text),
    drain: settle,
    breathe: settle,
  });
  return { state, machine, observed, seenAtIssue };
}

function decodeLine(codec: ValueCodec, envelope: EventEnvelope, text: string | null): unknown {
  if (text === null) return undefined;
  return envelope.kind === "operation_failed" ? codec.decodeError(text) : codec.decode(text);
}
