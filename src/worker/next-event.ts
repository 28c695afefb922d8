/**
 * Which event a run takes next: a pure choice over what has arrived. The order among sources is free, since it is recorded; this one delivers what others
 * sent first (so that a run which is about to end sees it), then what its own steps gave, then what time brings.
 */
import type { InboxRecord, Payload } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { TurnEvent } from "../core/events.js";
import type { Pending, RunMachine } from "../core/run-machine.js";
import { nextRetry } from "../core/retry.js";
import type { EncodedOutcome } from "./encode-outcome.js";
import type { ActivityCommand, StepCommand } from "../core/commands.js";

/** An inbox item whose payload has been opened. */
export interface Mail {
  readonly record: InboxRecord;
  readonly text: string | null;
}

/** What a step body gave. */
export interface Arrival extends EncodedOutcome {
  readonly command: number;
  readonly attempt: number;
}

export interface ChosenEvent {
  readonly event: TurnEvent;
  readonly payload: Payload | null;
  /** The inbox position that it came from. */
  readonly position: number | undefined;
  readonly arrival: Arrival | undefined;
  /** An activity's attempt failed and this is the next one. */
  readonly retried: Pending | undefined;
}

export interface Sources {
  readonly machine: RunMachine;
  readonly codec: Codec;
  /** Unread mail in order; items are removed as they are taken. */
  readonly mail: Mail[];
  readonly arrivals: Arrival[];
  readonly deadlineAt: number | null;
  /** The store's clock, in ms. */
  now: number;
  /** No event may be earlier than the one before. */
  lastAt: number;
  readonly random: () => number;
  /** Positions of mail that nobody can want any more. */
  readonly onDropped: (position: number) => void;
}

export function chooseEvent(sources: Sources): ChosenEvent | undefined {
  return fromMail(sources) ?? fromArrivals(sources) ?? fromTime(sources);
}

/** When time alone brings the next event or attempt, in ms; null for never. */
export function nextTime(
  machine: RunMachine,
  deadlineAt: number | null,
  retryAt: number | undefined,
  laterRetries: Iterable<number>,
): number | null {
  const endsAt = machine.cancelRequested ? Infinity : (deadlineAt ?? Infinity);
  let next = Math.min(endsAt, machine.timed.first()?.dueAt ?? Infinity, retryAt ?? Infinity);
  for (const time of laterRetries) next = Math.min(next, time);
  return next === Infinity ? null : next;
}

function fromMail(sources: Sources): ChosenEvent | undefined {
  const { mail } = sources;
  for (let index = 0; index < mail.length; index++) {
    const item = mail[index];
    if (item === undefined) break;
    const taken = takeMail(sources, item);
    if (taken === "leave") continue;
    mail.splice(index, 1);
    if (taken !== "drop") return taken;
    sources.onDropped(item.record.position);
    index--;
  }
  return undefined;
}

function takeMail(sources: Sources, item: Mail): ChosenEvent | "leave" | "drop" {
  const { machine, codec } = sources;
  const { record } = item;
  const at = Math.max(sources.now, sources.lastAt);
  // Position 0 is the input of an eager start, which never was in the inbox.
  const chosen = (event: TurnEvent): ChosenEvent => ({
    event,
    payload: record.payload,
    position: record.position || undefined,
    arrival: undefined,
    retried: undefined,
  });
  switch (record.kind) {
    case "start":
      return chosen({ kind: "started", at, input: decode(codec, item.text) });
    case "message": {
      const command = receiverOf(machine, record.name);
      if (command === undefined) return "leave";
      return chosen({
        kind: "message_received",
        at,
        command,
        name: record.name,
        position: record.position,
        value: decode(codec, item.text),
      });
    }
    case "cancel":
      if (machine.cancelRequested) return "drop";
      return chosen({ kind: "cancel_requested", at, position: record.position, reason: decode(codec, item.text) as string | undefined });
    case "activity_completed":
    case "activity_failed":
      return takeOutcome(sources, item, at);
    case "activity_expired":
    case "update":
      return "leave";
    default:
      return record.kind satisfies never;
  }
}

function takeOutcome(sources: Sources, item: Mail, at: number): ChosenEvent | "drop" {
  const { record, text } = item;
  const command = record.command ?? 0;
  const pending = sources.machine.pending.get(command);
  // A late outcome of something that was cancelled or tried again: its command has moved on.
  if (pending === undefined || pending.attempt !== record.attempt) return "drop";
  const common = { payload: record.payload, position: record.position, arrival: undefined };
  if (record.kind === "activity_completed") {
    return { ...common, event: { kind: "operation_completed", at, command, value: decode(sources.codec, text) }, retried: undefined };
  }
  const error = sources.codec.decodeError(text ?? "");
  return { ...common, ...failed(sources, pending, at, error, error) };
}

function fromArrivals(sources: Sources): ChosenEvent | undefined {
  for (let arrival = sources.arrivals.shift(); arrival !== undefined; arrival = sources.arrivals.shift()) {
    const { command, text, payload, failure, unsealed } = arrival;
    const pending = sources.machine.pending.get(command);
    if (pending === undefined || pending.attempt !== arrival.attempt) continue;
    if (unsealed !== undefined) throw unsealed.error;
    const at = Math.max(sources.now, sources.lastAt);
    if (failure === undefined) {
      // Spelled out: this is made for every step, and copying objects into one another takes several times as long.
      const event = { kind: "operation_completed", at, command, value: decode(sources.codec, text) } as const;
      return { event, payload, position: undefined, arrival, retried: undefined };
    }
    // The code is given the stored form of the error, which is what a replay will give it.
    const { event, retried } = failed(sources, pending, at, failure.error, sources.codec.decodeError(text));
    return { event, payload, position: undefined, arrival, retried };
  }
  return undefined;
}

/** The event for a failed attempt: another attempt at a recorded time, or the end of the operation. */
function failed(sources: Sources, pending: Pending, at: number, thrown: unknown, error: unknown): Pick<ChosenEvent, "event" | "retried"> {
  const { number, retry } = pending.command as StepCommand | ActivityCommand;
  const { attempt } = pending;
  const next = nextRetry(retry, attempt, thrown, sources.random());
  if (next === "stop") return { event: { kind: "operation_failed", at, command: number, attempt, error }, retried: undefined };
  return { event: { kind: "attempt_failed", at, command: number, attempt, retryAt: at + next.delayMs }, retried: pending };
}

function fromTime(sources: Sources): ChosenEvent | undefined {
  const { machine, now, lastAt, deadlineAt } = sources;
  let due: { readonly at: number; readonly command: number | undefined } | undefined;
  if (deadlineAt !== null && deadlineAt <= now && !machine.cancelRequested) due = { at: deadlineAt, command: undefined };
  const first = machine.timed.first();
  if (first !== undefined && first.dueAt <= now && (due === undefined || first.dueAt < due.at))
    due = { at: first.dueAt, command: first.number };
  if (due === undefined) return undefined;
  // Never early: the event's time is at least the due time, whatever this process's clock says.
  const at = Math.max(now, lastAt, due.at);
  const event: TurnEvent = due.command === undefined ? { kind: "deadline_passed", at } : { kind: "timer_fired", at, command: due.command };
  return { event, payload: null, position: undefined, arrival: undefined, retried: undefined };
}

/** The first receiver in command order that takes messages of this name. */
function receiverOf(machine: RunMachine, name: string): number | undefined {
  for (const number of machine.receivers) {
    const command = machine.pending.get(number)?.command;
    if (command?.kind === "receive" && command.messages.includes(name)) return number;
  }
  return undefined;
}

const decode = (codec: Codec, text: string | null): unknown => (text === null ? undefined : codec.decode(text));
