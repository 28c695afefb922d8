import type { Effects, NextState } from "../backend/operations.js";
import type { HistoryRecord, NewTask, Payload } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { hasBody, recordOf, type ActivityCommand, type BodyCommand, type Command } from "../core/commands.js";
import { envelopeOf, writeEnvelope } from "../core/events.js";
import type { Pending } from "../core/pending.js";
import type { LogLine, TurnResult, UpdateAnswer } from "../core/turn-result.js";
import { cancelChildErrand, runEndedErrand } from "./errand-tasks.js";
import type { Arrival, ChosenEvent } from "./next-event.js";
import { payloadFields } from "./payload-fields.js";
import { routeOf } from "./routes.js";
import type { RunEnd } from "./run-end.js";
import { writeTaskOptions } from "./task-options.js";
import { writeAnswer } from "./update-answer.js";

interface TaskDraft {
  readonly command: ActivityCommand;
  readonly attempt: number;
  readonly dueAt: number;
  /** From when it waits for a worker. */
  readonly queuedAt: number;
  readonly details: { readonly text: string } | { readonly payload: Payload } | null;
}

/** Something that is to be sealed: gives the payload of a text in its place. */
type Seal = (text: string, field: string) => Payload;

const none: readonly never[] = [];
const noRetries: ReadonlyMap<number, number> = new Map();

/**
 * What the turns since the last commit did. It is true once it is committed, and nothing until then. There is one for every commit, so lists are made
 * when something is put into them: most commits have an event, a step and nothing else.
 */
export class Speculation {
  readonly events: HistoryRecord[] = [];
  readonly consumed: number[] = [];
  /** Bodies to start after the commit. */
  readonly bodies: BodyCommand[] = [];
  /** The end of the run, and the number and time of its line. */
  end: (RunEnd & { readonly seq: number; readonly at: number; readonly leavesErrand: boolean; readonly hadChildren: boolean }) | undefined;
  /** The terminal line as the store has it, its payload sealed. */
  storedTerminal: HistoryRecord | undefined;
  #logs: LogLine[] | undefined;
  #withdrawn: Command[] | undefined;
  #cancelled: Command[] | undefined;
  #retries: Map<number, number> | undefined;
  #tasks: TaskDraft[] | undefined;
  #errands: NewTask[] | undefined;
  #arrivals: Arrival[] | undefined;
  #published: Map<string, string> | undefined;
  #chunks: TurnResult["chunks"][number][] | undefined;
  #attributes: TurnResult["attributes"][number][] | undefined;
  #answers: UpdateAnswer[] | undefined;

  get empty(): boolean {
    return this.events.length === 0 && this.consumed.length === 0;
  }
  get logs(): readonly LogLine[] {
    return this.#logs ?? none;
  }
  get withdrawn(): readonly Command[] {
    return this.#withdrawn ?? none;
  }
  /** Operations that are asked to stop. */
  get cancelled(): readonly Command[] {
    return this.#cancelled ?? none;
  }
  /** Bodies whose next attempt begins at this time. */
  get retries(): ReadonlyMap<number, number> {
    return this.#retries ?? noRetries;
  }
  get queuesTasks(): boolean {
    return (this.#tasks?.length ?? 0) + (this.#errands?.length ?? 0) > 0 || this.end?.leavesErrand === true;
  }
  /** What bodies gave and these turns took: to be delivered again if the speculation is thrown away. */
  get arrivals(): readonly Arrival[] {
    return this.#arrivals ?? none;
  }

  /** Notes the turn that took `chosen` as line `seq`. `pending`: what the code waits for after it. */
  record(seq: number, chosen: ChosenEvent, result: TurnResult, pending: ReadonlyMap<number, Pending>): void {
    const { event, payload, position, arrival, retried } = chosen;
    const withdrawn = result.withdrawn.map(({ number }) => number);
    const envelope = envelopeOf(event, result.commands.map(recordOf), withdrawn);
    this.events.push({ seq, at: event.at, event: writeEnvelope(envelope), payload });
    if (position !== undefined) this.consumed.push(position);
    if (arrival !== undefined) (this.#arrivals ??= []).push(arrival);
    if (result.logs.length > 0) (this.#logs ??= []).push(...result.logs);
    for (const command of result.withdrawn) this.#withdraw(command);
    if (result.cancelled.length > 0) (this.#cancelled ??= []).push(...result.cancelled);
    for (const command of result.commands) if (pending.has(command.number)) this.#enter(command, event.at);
    if (event.kind === "operation_started") this.#begin(pending.get(event.command));
    if (retried !== undefined) this.#retry(retried, event.at);
    this.#note(result);
  }

  /** What the turn shows to the outside. */
  #note({ published, chunks, attributes, answers }: TurnResult): void {
    for (const { name, text } of published) (this.#published ??= new Map()).set(name, text);
    if (chunks.length > 0) (this.#chunks ??= []).push(...chunks);
    if (attributes.length > 0) (this.#attributes ??= []).push(...attributes);
    if (answers.length > 0) (this.#answers ??= []).push(...answers);
  }

  /** An answer that no turn gave. */
  answer(answer: UpdateAnswer): void {
    (this.#answers ??= []).push(answer);
  }

  #enter(command: Command, at: number): void {
    if (hasBody(command)) this.bodies.push(command);
    else if (command.kind === "activity") (this.#tasks ??= []).push({ command, attempt: 1, dueAt: 0, queuedAt: at, details: null });
  }

  /** It is recorded that an attempt begins, so now it may. */
  #begin(pending: Pending | undefined): void {
    if (pending?.command.kind === "step") this.bodies.push(pending.command);
  }

  /** The next attempt of a step or activity. */
  #retry({ pending, details }: NonNullable<ChosenEvent["retried"]>, at: number): void {
    const { command, attempt, retryAt } = pending;
    if (hasBody(command)) (this.#retries ??= new Map()).set(command.number, retryAt ?? 0);
    else if (command.kind === "activity")
      (this.#tasks ??= []).push({ command, attempt, dueAt: retryAt ?? 0, queuedAt: Math.max(at, retryAt ?? 0), details });
  }

  #withdraw(command: Command): void {
    // Entered and cancelled since the last commit: nobody else has heard of it.
    const body = this.bodies.findIndex((one) => one.number === command.number);
    if (body >= 0) this.bodies.splice(body, 1);
    // Any other child may be there.
    else if (command.kind === "child" && command.options.onParentClose !== "abandon")
      (this.#errands ??= []).push(cancelChildErrand(command));
    this.#tasks = this.#tasks?.filter((one) => one.command.number !== command.number);
    this.#retries?.delete(command.number);
    (this.#withdrawn ??= []).push(command);
  }

  startsBodies(now: number): boolean {
    // A transaction that is to stop needs a body that finds out how it ended.
    if (this.bodies.length > 0 || this.cancelled.some(({ kind }) => kind === "transaction")) return true;
    for (const time of this.retries.values()) if (time <= now) return true;
    return false;
  }

  effects(next: NextState | undefined, inboxSeen: number): Effects {
    return this.#assemble(next, inboxSeen, (text) => text);
  }

  /** The same through a codec chain, which may take its time: it runs between the turn and the commit. */
  async sealedEffects(next: NextState | undefined, inboxSeen: number, codec: Codec, workflowId: string): Promise<Effects> {
    // Gone through twice: once for what is to be sealed, once with what it became.
    const items: Parameters<Codec["sealAll"]>[0][number][] = [];
    this.#assemble(next, inboxSeen, (text, field) => (items.push({ text, context: { workflowId, field } }), ""));
    const sealed = (await codec.sealAll(items)).values();
    return this.#assemble(next, inboxSeen, () => sealed.next().value ?? "");
  }

  /** `next`: what becomes of the run, unless it ends. Spelled out: this is made for every commit, and spreading costs several times as much. */
  #assemble(next: NextState | undefined, inboxSeen: number, seal: Seal): Effects {
    const { end } = this;
    const tasks = this.#newTasks(seal);
    const entries = this.#entries(seal);
    const chunks = this.#newChunks(seal);
    const terminal = end === undefined ? undefined : this.#seal(end, seal);
    return {
      events: terminal === undefined ? this.events : [...this.events, terminal],
      consumed: this.consumed,
      tasks: end === undefined ? tasks : end.leavesErrand ? [runEndedErrand(end.hadChildren)] : none,
      withdrawnTasks: numbersOf(this.#withdrawn),
      cancelledTasks: numbersOf(this.#cancelled),
      entries,
      chunks,
      attributes: this.#attributes ?? none,
      inboxSeen,
      next: end === undefined ? (next ?? driving) : nextOf(end, seal),
    };
  }

  #seal({ seq, at, envelope, last }: NonNullable<Speculation["end"]>, seal: Seal): HistoryRecord {
    const payload = last === null ? null : seal(last.text, last.field);
    return (this.storedTerminal = { seq, at, event: writeEnvelope(envelope), payload });
  }

  #newChunks(seal: Seal): Effects["chunks"] {
    if (this.#chunks === undefined) return none;
    return this.#chunks.map(({ stream, text }) => {
      const payload = seal(text, payloadFields.chunk(stream));
      return { stream, writer: "", number: 0, restartAt: null, payload };
    });
  }

  #newTasks(seal: Seal): readonly NewTask[] {
    if (this.#tasks === undefined) return this.#errands ?? none;
    return [...this.#tasks.map((draft) => taskOf(draft, seal)), ...(this.#errands ?? none)];
  }

  #entries(seal: Seal): Effects["entries"] {
    if (this.#published === undefined && this.#answers === undefined) return none;
    const published = [...(this.#published ?? [])].map(([name, text]) => ({
      name: payloadFields.state(name),
      payload: seal(text, payloadFields.state(name)),
    }));
    const answers = (this.#answers ?? []).map((answer) => {
      const name = payloadFields.answer(answer.id);
      return { name, payload: seal(writeAnswer(answer), name) };
    });
    return [...published, ...answers];
  }
}

const driving: NextState = { state: "driving" };

const nextOf = ({ next }: RunEnd, seal: Seal): NextState =>
  next.state === "ended" ? next : { ...next, input: seal(next.input.text, next.input.field) };

/** Of queued activities: nobody else has a task. */
const numbersOf = (commands: readonly Command[] | undefined): readonly number[] =>
  commands === undefined
    ? none
    : commands
        .filter((command) => command.kind === "activity" && !command.local && command.onCancel !== "abandon")
        .map(({ number }) => number);

function taskOf({ command, attempt, dueAt, queuedAt, details }: TaskDraft, seal: Seal): NewTask {
  const { number, name, queue, input, timeoutMs, queuedMs, heartbeatMs, headers } = command;
  return {
    command: number,
    name,
    route: routeOf({ name, queue }),
    attempt,
    input: seal(input, payloadFields.activityInput(number)),
    options: writeTaskOptions({ timeoutMs, headers }),
    dueAt,
    expiresAt: queuedMs === null ? null : queuedAt + queuedMs,
    heartbeatMs,
    details: details === null ? null : "payload" in details ? details.payload : seal(details.text, payloadFields.details(number)),
  };
}
