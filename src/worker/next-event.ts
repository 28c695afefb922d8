/**
 * Which event a run takes next: a pure choice over what has arrived. The order among sources is free, since it is recorded; this one delivers what others
 * sent first (so that a run which is about to end sees it), then what its own steps gave, then what time brings.
 */
import type { InboxRecord, Payload } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { TurnEvent } from "../core/events.js";
import type { Pending } from "../core/pending.js";
import type { RunMachine } from "../core/run-machine.js";
import { nextRetry } from "../core/retry.js";
import type { EncodedOutcome } from "./encode-outcome.js";
import { isAttempted } from "../core/commands.js";
import { expiredError } from "../core/timeouts.js";
import type { UpdateAnswer } from "../core/turn-result.js";
import { readFailure } from "./attempt-failure.js";

/** An inbox item whose payload has been opened. */
export interface Mail {
  readonly record: InboxRecord;
  readonly text: string | null;
}

/** What a body of this process gave, or what is known of it. */
export type Arrival =
  | ({ readonly kind: "settled"; readonly command: number; readonly attempt: number; readonly isLast: boolean } & EncodedOutcome)
  /** It begins, or what it starts is stored. */
  | { readonly kind: "started"; readonly command: number; readonly attempt: number }
  /** Its outcome comes by the inbox. */
  | { readonly kind: "delivered"; readonly command: number; readonly attempt: number };

export interface ChosenEvent {
  readonly event: TurnEvent;
  readonly payload: Payload | null;
  /** The inbox position that it came from. */
  readonly position: number | undefined;
  readonly arrival: Arrival | undefined;
  /** An activity's attempt failed and this is the next one. */
  readonly retried: Retried | undefined;
}

interface Retried {
  readonly pending: Pending;
  /** What the failed attempt told with its heartbeats: as text, or as it is stored. */
  readonly details: { readonly text: string } | { readonly payload: Payload } | null;
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
  /** An update that its validator did not let in. */
  readonly onRefused: (answer: UpdateAnswer) => void;
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
      if (machine.wasToldToStop) return "drop";
      return chosen({ kind: "cancel_requested", at, position: record.position, reason: decode(codec, item.text) as string | undefined });
    case "activity_completed":
    case "activity_failed":
      return takeOutcome(sources, item, at);
    case "activity_expired":
      return takeExpiry(sources, item, at);
    case "update":
      return takeUpdate(sources, item, chosen, at);
    default:
      return record.kind satisfies never;
  }
}

function takeUpdate(
  sources: Sources,
  { record, text }: Mail,
  chosen: (event: TurnEvent) => ChosenEvent,
  at: number,
): ChosenEvent | "leave" | "drop" {
  const { machine, codec } = sources;
  const { name, position } = record;
  // Once the code has returned nobody answers any more; whoever waits for the answer is told that the run has ended.
  if (machine.returned || machine.updates?.has(name) !== true) return "leave";
  const { id } = JSON.parse(record.options ?? "{}") as { readonly id: string };
  const value = decode(codec, text);
  try {
    machine.validate(name, value);
  } catch (error) {
    sources.onRefused({ id, status: "refused", text: codec.encodeError(error) });
    return "drop";
  }
  return chosen({ kind: "update_accepted", at, name, id, position, value });
}

/** The operation that an outcome from outside belongs to; a late outcome of something that was cancelled or tried again has none. */
function awaitedBy({ machine }: Sources, { record }: Mail): Pending | "leave" | "drop" {
  const pending = machine.pending.get(record.command ?? 0);
  if (pending === undefined) return "drop";
  // The first attempt of a transaction that gets through counts, whichever it is.
  if (pending.command.kind !== "transaction" && pending.attempt !== record.attempt) return "drop";
  // A child may be done before it is recorded that it was stored.
  return pending.command.kind === "child" && !pending.started ? "leave" : pending;
}

function takeOutcome(sources: Sources, item: Mail, at: number): ChosenEvent | "leave" | "drop" {
  const pending = awaitedBy(sources, item);
  if (typeof pending === "string") return pending;
  const { record, text } = item;
  const { number } = pending.command;
  const common = { payload: record.payload, position: record.position, arrival: undefined };
  if (record.kind === "activity_completed") {
    return {
      ...common,
      event: { kind: "operation_completed", at, command: number, value: decode(sources.codec, text) },
      retried: undefined,
    };
  }
  const failure = readFailure(text ?? "");
  const error = sources.codec.decodeError(failure.error);
  if (pending.command.kind === "transaction") return { ...common, event: ended(pending, at, error), retried: undefined };
  const details = failure.details === null ? null : { text: failure.details };
  return { ...common, ...failed(sources, { pending, details }, at, error, error) };
}

/** Of an activity that nobody took there is no second attempt: nobody is there. */
function takeExpiry(sources: Sources, item: Mail, at: number): ChosenEvent | "leave" | "drop" {
  const pending = awaitedBy(sources, item);
  if (typeof pending === "string") return pending;
  const { record } = item;
  const expired = record.name === "queued" ? "queued" : "heartbeat";
  const error = expiredError(expired);
  const details = record.payload === null ? null : { payload: record.payload };
  const { event, retried } =
    expired === "queued"
      ? { event: ended(pending, at, error), retried: undefined }
      : failed(sources, { pending, details }, at, error, error);
  // The error follows from the event; its payload would have to be made in the middle of a turn.
  return { event: { ...event, expired } as TurnEvent, payload: null, position: record.position, arrival: undefined, retried };
}

function fromArrivals(sources: Sources): ChosenEvent | undefined {
  for (let arrival = sources.arrivals.shift(); arrival !== undefined; arrival = sources.arrivals.shift()) {
    const { command } = arrival;
    const pending = sources.machine.pending.get(command);
    if (pending === undefined || pending.attempt !== arrival.attempt || arrival.kind === "delivered") continue;
    const at = Math.max(sources.now, sources.lastAt);
    if (arrival.kind === "started") {
      if (pending.started) continue;
      return { event: { kind: "operation_started", at, command }, payload: null, position: undefined, arrival, retried: undefined };
    }
    const { text, payload, failure, unsealed, isLast } = arrival;
    if (unsealed !== undefined) throw unsealed.error;
    if (failure === undefined) {
      // Spelled out: this is made for every step, and copying objects into one another takes several times as long.
      const event = { kind: "operation_completed", at, command, value: decode(sources.codec, text) } as const;
      return { event, payload, position: undefined, arrival, retried: undefined };
    }
    // The code is given the stored form of the error, which is what a replay will give it.
    const error = sources.codec.decodeError(text);
    if (isLast) return { event: ended(pending, at, error), payload, position: undefined, arrival, retried: undefined };
    const { event, retried } = failed(sources, { pending, details: null }, at, failure.error, error);
    return { event, payload, position: undefined, arrival, retried };
  }
  return undefined;
}

/** The event for a failed attempt: another attempt at a recorded time, or the end of the operation. */
function failed(sources: Sources, retried: Retried, at: number, thrown: unknown, error: unknown): Pick<ChosenEvent, "event" | "retried"> {
  const { command, attempt } = retried.pending;
  const { number } = command;
  const next = isAttempted(command) ? nextRetry(command.retry, attempt, thrown, sources.random()) : "stop";
  if (next === "stop") return { event: ended(retried.pending, at, error), retried: undefined };
  return { event: { kind: "attempt_failed", at, command: number, attempt, retryAt: at + next.delayMs }, retried };
}

/** The end of an operation that has failed for good. */
const ended = ({ command, attempt }: Pending, at: number, error: unknown): TurnEvent => ({
  kind: "operation_failed",
  at,
  command: command.number,
  attempt,
  error,
});

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
