import { activity, message, workflow } from "../../api/define.js";
import type { ActivityContext, StepContext, WorkflowContext } from "../../api/context-types.js";
import type { Activity, AnyActivity, AnyWorkflow, Message } from "../../api/definition-types.js";
import { hashText } from "./prng.js";
import { messageCount, type BodyCommand, type Command, type Program } from "./program.js";

/** What a body is about to do; `host.body` does it. */
export interface BodyCall {
  readonly kind: "step" | "activity";
  readonly runId: string;
  readonly path: string;
  readonly seen: number | null;
  readonly fails: number;
  readonly attempts: number;
  readonly bodyMs: number;
}

/** The virtual process that the definitions run in. */
export interface Host {
  /** Executes the body of a step or activity: gives a value that no other execution gives, or throws. */
  body(call: BodyCall, io: StepContext): string | Promise<string>;
  /** A step is about to be issued by code that has seen this; called on every replay, also in turns that are never committed. */
  issued?(runId: string, path: string, seen: number): void;
  /** The workflow's code got this far; called as `issued` is. */
  observed?(runId: string, path: string, value: string): void;
}

export const workflowName = "program";

export const messages: readonly Message<string>[] = Array.from({ length: messageCount }, (_, index) => message<string>(`m${index}`));

const messageOf = (index: number): Message<string> => {
  const found = messages[index];
  if (found === undefined) throw new Error(`there is no message ${index}`);
  return found;
};

/** The definitions of one virtual process: one workflow, which executes its input as a program, and one activity. */
export function createDefinitions(host: Host): { readonly workflows: readonly AnyWorkflow[]; readonly activities: readonly AnyActivity[] } {
  const work = activity("work", (call: BodyCall, io: ActivityContext) => host.body(call, io));
  const program = workflow(workflowName, (ctx, input: Program): Promise<string> =>
    new Interpreter(host, work, ctx.info.runId).run(ctx, input),
  );
  return { workflows: [program], activities: [work] };
}

class Interpreter {
  readonly #host: Host;
  readonly #work: Activity<BodyCall, string>;
  readonly #runId: string;
  /** Fingerprint of all that the code has seen so far, in order. */
  #seen = 0;

  constructor(host: Host, work: Activity<BodyCall, string>, runId: string) {
    this.#host = host;
    this.#work = work;
    this.#runId = runId;
  }

  async run(ctx: WorkflowContext, program: Program): Promise<string> {
    await this.#executeAll(ctx, program, "");
    this.#observe("end", "end");
    return this.#seen.toString(16);
  }

  #observe(path: string, value: string): void {
    this.#seen = hashText(`${path}=${value};`, this.#seen);
    this.#host.observed?.(this.#runId, path, value);
  }

  async #executeAll(ctx: WorkflowContext, program: Program, path: string): Promise<void> {
    for (const [index, command] of program.entries()) await this.#execute(ctx, command, `${path}.${index}`);
  }

  async #execute(ctx: WorkflowContext, command: Command, path: string): Promise<void> {
    switch (command.op) {
      case "step":
      case "activity":
        return this.#observe(path, await this.#executeBody(ctx, command, path));
      case "sleep": {
        const dueAt = ctx.now().getTime() + command.ms;
        await ctx.sleep(command.ms);
        return this.#observe(path, ctx.now().getTime() < dueAt ? "slept: early" : "slept");
      }
      case "receive":
        return this.#observe(path, await ctx.receive(messageOf(command.message), waitOf(command.timeoutMs, command.otherwise)));
      case "receiveAny": {
        const among = Object.fromEntries(command.messages.map((index) => [`m${index}`, messageOf(index)]));
        const answer = await ctx.receiveAny(among, waitOf(command.timeoutMs, true));
        return this.#observe(path, typeof answer === "string" ? answer : `${answer.key}:${answer.value}`);
      }
      case "pure":
        return this.#observe(path, `${ctx.now().getTime()} ${ctx.random()} ${ctx.uuid()}`);
      case "throw":
        throw new Error(`thrown at ${path}`);
      case "all":
      case "race":
      case "late":
      case "scope":
      case "shield":
      case "try":
      case "finally":
        return this.#executeParts(ctx, command, path);
      default:
        return command satisfies never;
    }
  }

  #executeBody(ctx: WorkflowContext, command: BodyCommand, path: string): Promise<string> {
    const { op, fails, attempts, bodyMs } = command;
    const retry = { attempts, backoff: command.backoffMs };
    const call: BodyCall = { kind: op, runId: this.#runId, path, seen: op === "step" ? this.#seen : null, fails, attempts, bodyMs };
    const options = command.timeoutMs === null ? { retry } : { retry, timeout: command.timeoutMs };
    if (op === "activity") return ctx.activity(this.#work, call, options);
    this.#host.issued?.(this.#runId, path, this.#seen);
    return ctx.step(`step ${path}`, (io) => this.#host.body(call, io), options);
  }

  async #executeParts(ctx: WorkflowContext, command: CompoundCommand, path: string): Promise<void> {
    const part = (program: Program, label: string, inner = ctx): Promise<void> => this.#executeAll(inner, program, `${path}/${label}`);
    switch (command.op) {
      case "all":
        await Promise.all(command.branches.map((branch, index) => part(branch, String(index))));
        return this.#observe(path, "all");
      case "race": {
        const first = await Promise.race(command.branches.map((branch, index) => part(branch, String(index)).then(() => index)));
        return this.#observe(path, `first ${first}`);
      }
      case "late": {
        const early = part(command.early, "e");
        await part(command.meanwhile, "m");
        return early;
      }
      case "scope":
        return ctx.scope((inner) => part(command.body, "s", inner), command.timeoutMs === null ? {} : { timeout: command.timeoutMs });
      case "shield":
        return ctx.shield((inner) => part([{ op: "pure" }, ...command.body], "s", inner));
      case "try":
        return part(command.body, "t").catch((error: unknown) => this.#observe(path, textOf(error)));
      case "finally":
        try {
          return await part(command.body, "b");
        } finally {
          await ctx.shield((inner) => part([{ op: "pure" }, ...command.cleanup], "f", inner));
        }
      default:
        return command satisfies never;
    }
  }
}

type CompoundCommand = Extract<Command, { readonly op: "all" | "race" | "late" | "scope" | "shield" | "try" | "finally" }>;

const waitOf = (timeoutMs: number | null, otherwise: boolean): { readonly timeout: number; readonly otherwise?: string } | undefined =>
  timeoutMs === null ? undefined : otherwise ? { timeout: timeoutMs, otherwise: "nothing" } : { timeout: timeoutMs };

const textOf = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));
