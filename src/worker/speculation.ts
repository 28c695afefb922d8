import type { Effects, NextState } from "../backend/operations.js";
import type { HistoryRecord, NewTask, Payload } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { ActivityCommand, Command, StepCommand } from "../core/commands.js";
import type { LogLine, Pending } from "../core/run-machine.js";
import type { Arrival } from "./next-event.js";
import { payloadFields } from "./payload-fields.js";
import { writeTaskOptions } from "./task-options.js";

interface TaskDraft {
  readonly command: ActivityCommand;
  readonly attempt: number;
  readonly dueAt: number;
}

/** What the turns since the last commit did. It is true once it is committed, and nothing until then. */
export class Speculation {
  readonly events: HistoryRecord[] = [];
  readonly consumed: number[] = [];
  readonly logs: LogLine[] = [];
  readonly withdrawn: Command[] = [];
  /** Step bodies to start after the commit. */
  readonly steps: StepCommand[] = [];
  /** Steps whose next attempt begins at this time. */
  readonly stepRetries = new Map<number, number>();
  readonly tasks: TaskDraft[] = [];
  /** What bodies gave and these turns took: to be delivered again if the speculation is thrown away. */
  readonly arrivals: Arrival[] = [];
  terminal: HistoryRecord | undefined;
  terminalField = "";

  get empty(): boolean {
    return this.events.length === 0 && this.consumed.length === 0;
  }

  enter(command: Command): void {
    if (command.kind === "step") this.steps.push(command);
    else if (command.kind === "activity") this.tasks.push({ command, attempt: 1, dueAt: 0 });
  }

  /** The next attempt of a step or activity. */
  retry(pending: Pending): void {
    const { command, attempt, retryAt } = pending;
    if (command.kind === "step") this.stepRetries.set(command.number, retryAt ?? 0);
    else if (command.kind === "activity") this.tasks.push({ command, attempt, dueAt: retryAt ?? 0 });
  }

  withdraw(command: Command): void {
    // Entered and cancelled since the last commit: nobody else has heard of it.
    const step = this.steps.findIndex((one) => one.number === command.number);
    if (step >= 0) this.steps.splice(step, 1);
    const task = this.tasks.findIndex((one) => one.command.number === command.number);
    if (task >= 0) this.tasks.splice(task, 1);
    this.stepRetries.delete(command.number);
    this.withdrawn.push(command);
  }

  startsBodies(now: number): boolean {
    return this.steps.length > 0 || [...this.stepRetries.values()].some((time) => time <= now);
  }

  retryTimes(): Iterable<number> {
    return this.stepRetries.values();
  }

  effects(next: NextState, inboxSeen: number): Effects {
    return this.#assemble(next, inboxSeen, (draft) => draft.command.input, this.terminal?.payload ?? null);
  }

  /** The same through a codec chain, which may take its time: it runs between the turn and the commit. */
  async sealedEffects(next: NextState, inboxSeen: number, codec: Codec, workflowId: string): Promise<Effects> {
    const items = this.tasks.map(({ command }) => ({ text: command.input, context: { workflowId, field: payloadFields.activityInput(command.number) } }));
    const last = this.terminal?.payload;
    if (typeof last === "string") items.push({ text: last, context: { workflowId, field: this.terminalField } });
    const sealed = await codec.sealAll(items);
    const inputs = new Map(this.tasks.map((draft, index) => [draft, sealed[index] as Payload]));
    return this.#assemble(next, inboxSeen, (draft) => inputs.get(draft) as Payload, typeof last === "string" ? (sealed.at(-1) as Payload) : null);
  }

  #assemble(next: NextState, inboxSeen: number, inputOf: (draft: TaskDraft) => Payload, last: Payload | null): Effects {
    const tasks = this.tasks.map((draft): NewTask => ({
      command: draft.command.number,
      name: draft.command.name,
      queue: "default",
      attempt: draft.attempt,
      input: inputOf(draft),
      options: writeTaskOptions({ timeoutMs: draft.command.timeoutMs }),
      dueAt: draft.dueAt,
    }));
    return {
      events: this.terminal === undefined ? this.events : [...this.events, { ...this.terminal, payload: last }],
      consumed: this.consumed,
      tasks,
      withdrawnTasks: this.withdrawn.filter((command) => command.kind === "activity").map((command) => command.number),
      inboxSeen,
      next,
    };
  }
}
