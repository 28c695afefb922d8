import type { WorkflowContext } from "perdure";
import { runMarked, type WorkflowMark } from "../../src/platform/code-mark.js";
import { systemRuntime } from "../../src/platform/runtime.js";
import { eventOf, envelopeOf, isTerminal, readEnvelope, writeEnvelope, type TurnEvent } from "../../src/core/events.js";
import { recordOf } from "../../src/core/commands.js";
import { replayHistory, type HistoryLine } from "../../src/core/replay.js";
import { RunMachine } from "../../src/core/run-machine.js";
import type { TurnResult, TurnState } from "../../src/core/turn-result.js";

export type Code = (ctx: WorkflowContext, input: any) => unknown;

export const drained = (): Promise<void> => new Promise((resolve) => systemRuntime().drain(resolve));

const mark: WorkflowMark = { onAmbientUse: () => true, onLateRejection: () => undefined };

export function newMachine(code: Code, onFrozen?: () => void): RunMachine {
  return new RunMachine({
    run: code,
    facts: { id: "w", runId: "run", name: "workflow", version: undefined, attempt: 1, deadlineAt: null },
    encode: (value) => JSON.stringify(value) ?? "null",
    encodeError: (error) => JSON.stringify(String(error)),
    enter: (call) => runMarked(mark, call),
    onFrozen,
  });
}

/** A run that is driven by hand: live turns are recorded as they would be stored, and can be replayed. */
export class Recording {
  readonly machine: RunMachine;
  readonly lines: HistoryLine[] = [];
  readonly values = new Map<number, unknown>();
  /** What each turn asked for and withdrew. */
  readonly turns: string[] = [];
  /** How each turn left the run. */
  readonly states: TurnState[] = [];
  at = 1000;

  constructor(code: Code) {
    this.machine = newMachine(code);
  }

  /** One turn with this event. */
  async turn(event: TurnEvent, more = false): Promise<TurnResult> {
    this.begin(event);
    await drained();
    return this.end(event, more);
  }

  begin(event: TurnEvent): void {
    this.at = event.at;
    this.machine.begin(event, this.lines.length + 1, undefined);
  }

  end(event: TurnEvent, more = false): TurnResult {
    const result = this.machine.end(more);
    const seq = this.lines.length + 1;
    const envelope = readEnvelope(
      writeEnvelope(
        envelopeOf(
          event,
          result.commands.map(recordOf),
          result.withdrawn.map(({ number }) => number),
        ),
      ),
    );
    this.lines.push({ seq, at: event.at, envelope, text: null });
    this.values.set(seq, dataOf(event));
    this.turns.push(describeTurn(result));
    this.states.push(result.outcome);
    return result;
  }

  start(input?: unknown): Promise<TurnResult> {
    return this.turn({ kind: "started", at: this.at, input });
  }
  complete(command: number, value?: unknown, more = false): Promise<TurnResult> {
    return this.turn({ kind: "operation_completed", at: ++this.at, command, value }, more);
  }
  fail(command: number, error: unknown): Promise<TurnResult> {
    return this.turn({ kind: "operation_failed", at: ++this.at, command, attempt: 1, error });
  }
  fire(command: number): Promise<TurnResult> {
    const dueAt = this.machine.pending.get(command)?.command.dueAt ?? this.at;
    return this.turn({ kind: "timer_fired", at: Math.max(this.at, dueAt), command });
  }
  message(command: number, name: string, value: unknown): Promise<TurnResult> {
    return this.turn({ kind: "message_received", at: ++this.at, command, name, position: this.lines.length, value });
  }
  cancel(reason?: string): Promise<TurnResult> {
    return this.turn({ kind: "cancel_requested", at: ++this.at, position: this.lines.length, reason });
  }
}

/** Replays the first `count` lines of a recording into a fresh machine, through the replay loop that workers use. */
export async function replay(
  recording: Recording,
  code: Code,
  options: { readonly count?: number; readonly drain?: (callback: () => void) => void } = {},
): Promise<{ readonly machine: RunMachine; readonly state: TurnState }> {
  const { count = recording.lines.length, drain = (callback) => systemRuntime().drain(callback) } = options;
  const machine = newMachine(code);
  const state = await replayHistory({
    machine,
    lines: recording.lines.slice(0, count),
    decode: ({ seq }) => recording.values.get(seq),
    drain,
    breathe: (callback) => systemRuntime().yieldToLoop(() => systemRuntime().drain(callback)),
  });
  return { machine, state };
}

/** The event of a recorded line, to be delivered as a new one. */
export function eventAt(recording: Recording, index: number): TurnEvent {
  const line = recording.lines[index];
  if (line === undefined || isTerminal(line.envelope)) throw new Error(`there is no event ${index}`);
  return eventOf(line.envelope, line.at, recording.values.get(line.seq));
}

export const describeTurn = ({ commands, withdrawn, outcome }: TurnResult): string =>
  JSON.stringify([
    commands.map((command) => [command.number, ...recordOf(command)]),
    withdrawn.map(({ number }) => number),
    describeState(outcome),
  ]);

export function describeState(state: TurnState): unknown {
  switch (state.state) {
    case "failed":
    case "cancelled":
      return [state.state, String(state.error)];
    case "diverged":
      return [state.state, state.divergence.message];
    default:
      return state;
  }
}

function dataOf(event: TurnEvent): unknown {
  switch (event.kind) {
    case "started":
      return event.input;
    case "operation_completed":
    case "message_received":
      return event.value;
    case "operation_failed":
      return event.error;
    case "cancel_requested":
      return event.reason;
    default:
      return undefined;
  }
}
