/** What must hold of each line of a history when it is committed. Answers the invariant that it breaks, and how. */
import type { HistoryRecord } from "../../backend/records.js";
import { isTerminal, readEnvelope, type EventEnvelope } from "../../core/events.js";
import type { RunModel } from "./models.js";

export interface LineContext {
  readonly now: number;
  /** How far processes may be wrong about the store's time, in ms. */
  readonly toleranceMs: number;
  readonly deadlineAt: number;
  readonly violate: (invariant: string, message: string) => void;
}

/** Checks a line, and enters it. */
export function enterLine(model: RunModel, line: HistoryRecord, context: LineContext): void {
  const { now, toleranceMs, violate } = context;
  const envelope = readEnvelope(line.event);
  const last = model.lines.at(-1);
  if (line.seq !== model.lines.length + 1) violate("I1", `run ${model.key}: line ${line.seq} follows line ${model.lines.length}`);
  if (last !== undefined && line.at < last.at) violate("I17", `run ${model.key}: line ${line.seq} is earlier than the one before`);
  if (line.at > now + toleranceMs) violate("I17", `run ${model.key}: line ${line.seq} is ${line.at - now} ms in the future`);
  const lastEnvelope = model.envelopes.at(-1);
  if (lastEnvelope !== undefined && isTerminal(lastEnvelope))
    violate("I4", `run ${model.key}: line ${line.seq} (${envelope.kind}) follows the terminal one`);
  model.lines.push(line);
  model.envelopes.push(envelope);
  if (envelope.kind === "deadline_passed") checkTime(model, line, context, context.deadlineAt, "the deadline");
  if (envelope.kind === "timer_fired")
    checkTime(model, line, context, model.dueOf.get(envelope.command), `the timer of command ${envelope.command}`);
  if ("command" in envelope) enterOutcome(model, line, envelope, violate);
  if (!("commands" in envelope)) return;
  for (const [, , dueAt] of envelope.commands) {
    model.commandCount++;
    if (dueAt !== undefined) model.dueOf.set(model.commandCount, dueAt);
  }
}

function checkTime(
  model: RunModel,
  line: HistoryRecord,
  { now, toleranceMs, violate }: LineContext,
  dueAt: number | undefined,
  what: string,
): void {
  if (dueAt === undefined) return violate("I17", `run ${model.key}: ${what} came, which has none`);
  if (line.at < dueAt || now + toleranceMs < dueAt)
    violate("I17", `run ${model.key}: ${what} came ${dueAt - Math.min(line.at, now)} ms early`);
}

function enterOutcome(
  model: RunModel,
  line: HistoryRecord,
  envelope: Extract<EventEnvelope, { readonly command: number }>,
  violate: LineContext["violate"],
): void {
  const { command, kind } = envelope;
  if (model.settled.has(command)) violate("I3", `run ${model.key}: command ${command} has a second outcome (${line.event})`);
  if (command > model.commandCount) violate("I3", `run ${model.key}: command ${command} has an outcome before it was issued`);
  if (kind !== "attempt_failed" && kind !== "operation_started") model.settled.add(command);
}
