/**
 * The history's vocabulary. A line of history is an event plus the commands that its turn issued: that is half the rows of one line each, and it lets
 * a replay check commands turn by turn. User data (inputs, results, errors, messages) is not in here: it is the line's payload.
 */
import { PerdureError } from "../errors.js";

/** Raised when the order of turns or the meaning of an event changes; kept with every run, so that old runs can be replayed by their own rules. */
export const engineVersion = 1;

/** What a turn asked for: kind, name and, if it waits for a time, that time. Its number is its place in the run. */
export type CommandRecord = readonly [kind: CommandKind, name: string, dueAt?: number];
export type CommandKind =
  | "step"
  | "activity"
  | "transaction"
  | "child"
  | "child_result"
  | "send"
  | "cancel_run"
  | "sleep"
  | "receive"
  | "scope_timeout"
  | "patch";

/** What an activity waited for in vain: a worker that takes it, or word of the one that has. */
export type Expiry = "queued" | "heartbeat";

/** What the turn of an event did: the operations that it asked for, and the numbers of those that it cancelled or no longer needs. */
interface TurnRecord {
  readonly commands: readonly CommandRecord[];
  /** Absent when there are none. A replay has no need of it; whoever asks what a run waits for does. */
  readonly withdrawn?: readonly number[];
}

export type EventEnvelope =
  | ({ readonly kind: "started" } & TurnRecord)
  /** An operation with a middle: the child is stored, or the at-most-once attempt begins. */
  | ({ readonly kind: "operation_started"; readonly command: number } & TurnRecord)
  | ({ readonly kind: "operation_completed"; readonly command: number } & TurnRecord)
  | ({ readonly kind: "operation_failed"; readonly command: number; readonly attempt: number; readonly expired?: Expiry } & TurnRecord)
  | ({
      readonly kind: "attempt_failed";
      readonly command: number;
      readonly attempt: number;
      readonly retryAt: number;
      readonly expired?: Expiry;
    } & TurnRecord)
  | ({ readonly kind: "timer_fired"; readonly command: number } & TurnRecord)
  | ({ readonly kind: "message_received"; readonly command: number; readonly name: string; readonly position: number } & TurnRecord)
  | ({ readonly kind: "update_accepted"; readonly name: string; readonly id: string; readonly position: number } & TurnRecord)
  | ({ readonly kind: "cancel_requested"; readonly position: number } & TurnRecord)
  | ({ readonly kind: "deadline_passed" } & TurnRecord)
  | TerminalEnvelope;

/** The last line of a run; its payload is the result or the error. */
export type TerminalEnvelope =
  | { readonly kind: "run_completed" | "run_failed" | "run_cancelled" | "run_terminated" }
  /** The chain goes on with this run. Its payload is the next input; with `retry`, the error that this run failed with. */
  | { readonly kind: "run_continued"; readonly runId: string; readonly retry?: true };

export type EventKind = EventEnvelope["kind"];
export const isTerminal = (envelope: EventEnvelope): envelope is TerminalEnvelope => terminal.has(envelope.kind);

const terminal: ReadonlySet<EventKind> = new Set<TerminalEnvelope["kind"]>([
  "run_completed",
  "run_failed",
  "run_cancelled",
  "run_terminated",
  "run_continued",
]);

const kinds: Readonly<Record<EventKind, true>> = {
  started: true,
  operation_started: true,
  operation_completed: true,
  operation_failed: true,
  attempt_failed: true,
  timer_fired: true,
  message_received: true,
  update_accepted: true,
  cancel_requested: true,
  deadline_passed: true,
  run_completed: true,
  run_failed: true,
  run_cancelled: true,
  run_terminated: true,
  run_continued: true,
};

/** As text for the store. The property order is fixed, `commands` and `withdrawn` last and left out when empty: it is what people read in the database. */
export function writeEnvelope(envelope: EventEnvelope): string {
  if (!("commands" in envelope)) return JSON.stringify(envelope);
  const { commands } = envelope;
  // The commonest lines by far, those of one step after the other, are put together by hand: it takes a third of the time.
  if ((envelope.kind === "operation_completed" || envelope.kind === "timer_fired") && envelope.withdrawn === undefined) {
    const start = `{"kind":"${envelope.kind}","command":${envelope.command}`;
    const [first] = commands;
    if (first === undefined) return `${start}}`;
    if (commands.length === 1 && first.length === 2) return `${start},"commands":[["${first[0]}",${JSON.stringify(first[1])}]]}`;
  }
  return JSON.stringify(commands.length > 0 ? envelope : { ...envelope, commands: undefined });
}

const noCommands: readonly CommandRecord[] = [];

/** Reads what `writeEnvelope` wrote; throws `undecodable` for anything else, so that a damaged or newer line parks its run. */
export function readEnvelope(text: string): EventEnvelope {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PerdureError("undecodable", "A line of history is not JSON: the database was changed or damaged by something else.", {
      cause,
    });
  }
  if (
    typeof value !== "object" ||
    value === null ||
    !("kind" in value) ||
    typeof value.kind !== "string" ||
    !Object.hasOwn(kinds, value.kind)
  ) {
    throw new PerdureError(
      "undecodable",
      `A line of history has an unknown kind: it was written by a newer version of perdure, so upgrade this worker. ${text.slice(0, 100)}`,
    );
  }
  const envelope = value as EventEnvelope;
  if (!isTerminal(envelope) && envelope.commands === undefined) (envelope as { commands: readonly CommandRecord[] }).commands = noCommands;
  return envelope;
}

/** An event on its way into a turn, its user data decoded. */
export type TurnEvent =
  | { readonly kind: "started"; readonly at: number; readonly input: unknown }
  | { readonly kind: "operation_started"; readonly at: number; readonly command: number }
  | { readonly kind: "operation_completed"; readonly at: number; readonly command: number; readonly value: unknown }
  | {
      readonly kind: "operation_failed";
      readonly at: number;
      readonly command: number;
      readonly attempt: number;
      readonly error: unknown;
      readonly expired?: Expiry | undefined;
    }
  | {
      readonly kind: "attempt_failed";
      readonly at: number;
      readonly command: number;
      readonly attempt: number;
      readonly retryAt: number;
      readonly expired?: Expiry | undefined;
    }
  | { readonly kind: "timer_fired"; readonly at: number; readonly command: number }
  | {
      readonly kind: "message_received";
      readonly at: number;
      readonly command: number;
      readonly name: string;
      readonly position: number;
      readonly value: unknown;
    }
  | {
      readonly kind: "update_accepted";
      readonly at: number;
      readonly name: string;
      readonly id: string;
      readonly position: number;
      readonly value: unknown;
    }
  | { readonly kind: "cancel_requested"; readonly at: number; readonly position: number; readonly reason: string | undefined }
  | { readonly kind: "deadline_passed"; readonly at: number };

/** The line for an event whose turn issued `commands` and gave up the operations `withdrawn`. */
export function envelopeOf(event: TurnEvent, commands: readonly CommandRecord[], withdrawn: readonly number[]): EventEnvelope {
  const envelope = lineOf(event, commands);
  return withdrawn.length === 0 || isTerminal(envelope) ? envelope : { ...envelope, withdrawn };
}

function lineOf(event: TurnEvent, commands: readonly CommandRecord[]): EventEnvelope {
  switch (event.kind) {
    case "started":
    case "deadline_passed":
      return { kind: event.kind, commands };
    case "operation_started":
    case "operation_completed":
    case "timer_fired":
      return { kind: event.kind, command: event.command, commands };
    case "operation_failed":
      return { kind: event.kind, command: event.command, attempt: event.attempt, ...expiryOf(event.expired), commands };
    case "attempt_failed":
      return {
        kind: event.kind,
        command: event.command,
        attempt: event.attempt,
        retryAt: event.retryAt,
        ...expiryOf(event.expired),
        commands,
      };
    case "update_accepted":
      return { kind: event.kind, name: event.name, id: event.id, position: event.position, commands };
    case "message_received":
      return { kind: event.kind, command: event.command, name: event.name, position: event.position, commands };
    case "cancel_requested":
      return { kind: event.kind, position: event.position, commands };
    default:
      return event satisfies never;
  }
}

const expiryOf = (expired: Expiry | undefined): { readonly expired?: Expiry } => (expired === undefined ? {} : { expired });

/** The event of a line, its payload decoded by the caller: `data` is the input, value, error or reason. */
export function eventOf(envelope: Exclude<EventEnvelope, TerminalEnvelope>, at: number, data: unknown): TurnEvent {
  switch (envelope.kind) {
    case "started":
      return { kind: "started", at, input: data };
    case "operation_started":
      return { kind: "operation_started", at, command: envelope.command };
    case "operation_completed":
      return { kind: "operation_completed", at, command: envelope.command, value: data };
    case "operation_failed":
      return { kind: "operation_failed", at, command: envelope.command, attempt: envelope.attempt, error: data, expired: envelope.expired };
    case "attempt_failed":
      return {
        kind: "attempt_failed",
        at,
        command: envelope.command,
        attempt: envelope.attempt,
        retryAt: envelope.retryAt,
        expired: envelope.expired,
      };
    case "update_accepted":
      return { kind: "update_accepted", at, name: envelope.name, id: envelope.id, position: envelope.position, value: data };
    case "timer_fired":
      return { kind: "timer_fired", at, command: envelope.command };
    case "message_received":
      return { kind: "message_received", at, command: envelope.command, name: envelope.name, position: envelope.position, value: data };
    case "cancel_requested":
      return { kind: "cancel_requested", at, position: envelope.position, reason: data as string | undefined };
    case "deadline_passed":
      return { kind: "deadline_passed", at };
    default:
      return envelope satisfies never;
  }
}
