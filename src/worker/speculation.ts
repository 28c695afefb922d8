import type { Effects, NextState } from "../backend/operations.js";
import type { HistoryRecord, NewTask, Payload } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { recordOf, type ActivityCommand, type Command, type StepCommand } from "../core/commands.js";
import { envelopeOf, writeEnvelope } from "../core/events.js";
import type { LogLine, Pending, TurnResult } from "../core/run-machine.js";
import type { Arrival, ChosenEvent } from "./next-event.js";
import { payloadFields } from "./payload-fields.js";
import { writeTaskOptions } from "./task-options.js";

interface TaskDraft {
  readonly command: ActivityCommand;
  readonly attempt: number;
  readonly dueAt: number;
}

const none: readonly never[] = [];
const noRetries: ReadonlyMap<number, number> = new Map();

/**
 * What the turns since the last commit did. It is true once it is committed, and nothing until then. There is one for every commit, so lists are made
 * when something is put into them: most commits have an event, a step and nothing else.
 */
export class Speculation {
  readonly events: HistoryRecord[] = [];
  readonly consumed: number[] = [];
  /** Step bodies to start after the commit. */
  readonly steps: StepCommand[] = [];
  terminal: HistoryRecord | undefined;
  terminalField = "";
  /** The terminal line as the store has it, its payload sealed. */
  storedTerminal: HistoryRecord | undefined;
  #logs: LogLine[] | undefined;
  #withdrawn: Command[] | undefined;
  #stepRetries: Map<number, number> | undefined;
  #tasks: TaskDraft[] | undefined;
  #arrivals: Arrival[] | undefined;

  get empty(): boolean {
    return this.events.length === 0 && this.consumed.length === 0;
  }
  get logs(): readonly LogLine[] {
    return this.#logs ?? none;
  }
  get withdrawn(): readonly Command[] {
    return this.#withdrawn ?? none;
  }
  /** Steps whose next attempt begins at this time. */
  get stepRetries(): ReadonlyMap<number, number> {
    return this.#stepRetries ?? noRetries;
  }
  get queuesTasks(): boolean {
    return this.#tasks !== undefined && this.#tasks.length > 0;
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
    for (const command of result.commands) if (pending.has(command.number)) this.#enter(command);
    if (retried !== undefined) this.#retry(retried);
  }

  #enter(command: Command): void {
    if (command.kind === "step") this.steps.push(command);
    else if (command.kind === "activity") (this.#tasks ??= []).push({ command, attempt: 1, dueAt: 0 });
  }

  /** The next attempt of a step or activity. */
  #retry(pending: Pending): void {
    const { command, attempt, retryAt } = pending;
    if (command.kind === "step") (this.#stepRetries ??= new Map()).set(command.number, retryAt ?? 0);
    else if (command.kind === "activity") (this.#tasks ??= []).push({ command, attempt, dueAt: retryAt ?? 0 });
  }

  #withdraw(command: Command): void {
    // Entered and cancelled since the last commit: nobody else has heard of it.
    const step = this.steps.findIndex((one) => one.number === command.number);
    if (step >= 0) this.steps.splice(step, 1);
    this.#tasks = this.#tasks?.filter((one) => one.command.number !== command.number);
    this.#stepRetries?.delete(command.number);
    (this.#withdrawn ??= []).push(command);
  }

  startsBodies(now: number): boolean {
    if (this.steps.length > 0) return true;
    for (const time of this.stepRetries.values()) if (time <= now) return true;
    return false;
  }

  effects(next: NextState, inboxSeen: number): Effects {
    return this.#assemble(next, inboxSeen, (draft) => draft.command.input, this.terminal?.payload ?? null);
  }

  /** The same through a codec chain, which may take its time: it runs between the turn and the commit. */
  async sealedEffects(next: NextState, inboxSeen: number, codec: Codec, workflowId: string): Promise<Effects> {
    const tasks = this.#tasks ?? none;
    const items = tasks.map(({ command }) => ({
      text: command.input,
      context: { workflowId, field: payloadFields.activityInput(command.number) },
    }));
    const last = this.terminal?.payload;
    if (typeof last === "string") items.push({ text: last, context: { workflowId, field: this.terminalField } });
    const sealed = await codec.sealAll(items);
    const inputs = new Map(tasks.map((draft, index) => [draft, sealed[index] as Payload]));
    return this.#assemble(
      next,
      inboxSeen,
      (draft) => inputs.get(draft) as Payload,
      typeof last === "string" ? (sealed.at(-1) as Payload) : null,
    );
  }

  #assemble(next: NextState, inboxSeen: number, inputOf: (draft: TaskDraft) => Payload, last: Payload | null): Effects {
    this.storedTerminal = this.terminal === undefined ? undefined : { ...this.terminal, payload: last };
    return {
      events: this.storedTerminal === undefined ? this.events : [...this.events, this.storedTerminal],
      consumed: this.consumed,
      tasks: this.#tasks === undefined ? none : this.#tasks.map((draft) => taskOf(draft, inputOf(draft))),
      withdrawnTasks:
        this.#withdrawn === undefined ? none : this.#withdrawn.filter(({ kind }) => kind === "activity").map(({ number }) => number),
      cancelledTasks: none,
      entries: none,
      chunks: none,
      attributes: none,
      inboxSeen,
      next,
    };
  }
}

const taskOf = ({ command, attempt, dueAt }: TaskDraft, input: Payload): NewTask => ({
  command: command.number,
  name: command.name,
  route: command.name,
  attempt,
  input,
  options: writeTaskOptions({ timeoutMs: command.timeoutMs }),
  dueAt,
  expiresAt: null,
  heartbeatMs: null,
  details: null,
});
