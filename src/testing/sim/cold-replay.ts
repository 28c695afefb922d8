import { codecChain } from "../../codec/codec-chain.js";
import type { ValueCodec } from "../../codec/codec.js";
import { readEnvelope } from "../../core/events.js";
import { replayHistory, type HistoryLine } from "../../core/replay.js";
import { RunMachine } from "../../core/run-machine.js";
import type { TurnState } from "../../core/turn-result.js";
import type { HistoryRecord } from "../../backend/records.js";
import { runMarked, type WorkflowMark } from "../../platform/code-mark.js";
import type { RunRow } from "../../backends/memory/state.js";
import { decodeLine, factsOf } from "../../worker/run-loader.js";
import { createDefinitions, type Said } from "./interpreter.js";
import { textOf } from "./record-texts.js";

/** What a run's code does when its whole history is replayed by a process that never saw it. */
export interface Replayed {
  readonly state: TurnState;
  /** What the code still waits for. */
  readonly machine: RunMachine;
  /** What the code saw, by place in the program. */
  readonly observed: ReadonlyMap<string, string>;
  /** What it had seen when it issued a step, by place in the program. */
  readonly seenAtIssue: ReadonlyMap<string, number>;
  /** What it showed to the outside, in order. */
  readonly said: readonly { readonly kind: Said; readonly name: string; readonly value: string }[];
  /** Compensations in the order of their registration, and how many there were when the code threw; null if it did not. */
  readonly registered: readonly string[];
  readonly registeredAtEnd: number | null;
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
  const said: Replayed["said"][number][] = [];
  const registered: string[] = [];
  let registeredAtEnd: number | null = null;
  const [definition] = createDefinitions({
    body: () => {
      throw new Error("a replay executed a body");
    },
    issued: (_, path, seen) => void seenAtIssue.set(path, seen),
    observed: (_, path, value) => void observed.set(path, value),
    said: (_, kind, name, value) => void said.push({ kind, name, value }),
    registered: (_, path) => void registered.push(path),
    gaveUp: () => (registeredAtEnd = registered.length),
  }).workflows;
  if (definition === undefined) throw new Error("there is no workflow");
  const machine = new RunMachine({
    run: (ctx, input) => definition.run(ctx, input),
    facts: factsOf(row),
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
  const chain = codecChain(codec);
  const decode = (line: HistoryLine): unknown => decodeLine(chain, line);
  const state = await replayHistory({ machine, lines, decode, drain: settle, breathe: settle });
  return { state, machine, observed, seenAtIssue, said, registered, registeredAtEnd };
}
