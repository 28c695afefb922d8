import { activity, message, state, stream, update, workflow, workflowRef } from "../../api/define.js";
import type { ActivityContext, StepContext, WorkflowContext } from "../../api/context-types.js";
import type { Activity, AnyActivity, AnyWorkflow, Message, State, Stream, Update, Workflow } from "../../api/definition-types.js";
import { isPerdureError } from "../../errors.js";
import { hashText } from "./prng.js";
import {
  messageCount,
  nameCount,
  updateCount,
  type ActivityCommand,
  type BodyCommand,
  type ChildCommand,
  type Command,
  type Program,
  type StepCommand,
} from "./program.js";

/** What a body is about to do; `host.body` does it. */
export interface BodyCall {
  readonly kind: "step" | "activity" | "compensation";
  readonly runId: string;
  readonly path: string;
  readonly seen: number | null;
  readonly fails: number;
  readonly attempts: number;
  readonly bodyMs: number;
  readonly writes: number;
  readonly resumes: boolean;
  readonly once: boolean;
  readonly beats: number;
  readonly later: ActivityCommand["later"];
}

/** What workflow code shows to the outside, by name. */
export type Said = "state" | "attribute" | "chunk";

/** The virtual process that the definitions run in. All but `body` are called on every replay, also in turns that are never committed. */
export interface Host {
  /** Executes the body of a step or activity: gives a value that no other execution gives, or throws. */
  body(call: BodyCall, io: StepContext | ActivityContext): string | Promise<string>;
  /** A step is about to be issued by code that has seen this. */
  issued?(runId: string, path: string, seen: number): void;
  /** The workflow's code got this far. */
  observed?(runId: string, path: string, value: string): void;
  said?(runId: string, kind: Said, name: string, value: string): void;
  /** A compensation was registered. */
  registered?(runId: string, path: string): void;
  /** The code has thrown. */
  gaveUp?(runId: string): void;
}

export const workflowName = "program";
export const activityName = "work";
export const programRef = workflowRef<Workflow<Program, string>>(workflowName);

const many = <T>(count: number, make: (index: number) => T): readonly T[] => Array.from({ length: count }, (_, index) => make(index));

export const messages: readonly Message<string>[] = many(messageCount, (index) => message<string>(`m${index}`));
export const updates: readonly Update<string, string>[] = many(updateCount, (index) => update<string, string>(`u${index}`));
export const states: readonly State<string>[] = many(nameCount, (index) => state<string>(`s${index}`));
/** The last one is that of the bodies. */
export const streams: readonly Stream<string>[] = many(nameCount + 1, (index) => stream<string>(`c${index}`));
export const bodyStream: Stream<string> = stream<string>(`c${nameCount}`);

export function at<T>(items: readonly T[], index: number): T {
  const found = items[index];
  if (found === undefined) throw new Error(`there are ${items.length}, and no number ${index}`);
  return found;
}

/** The definitions of one virtual process: one workflow, which executes its input as a program, and one activity. */
export function createDefinitions(host: Host): { readonly workflows: readonly AnyWorkflow[]; readonly activities: readonly AnyActivity[] } {
  const work = activity(activityName, (call: BodyCall, io: ActivityContext) => host.body(call, io));
  const program = workflow(workflowName, (ctx, input: Program): Promise<string> =>
    new Interpreter(host, work, ctx.info.runId).run(ctx, input),
  );
  return { workflows: [program], activities: [work] };
}

type Context = WorkflowContext<Program>;

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

  async run(ctx: Context, program: Program): Promise<string> {
    try {
      await this.#executeAll(ctx, program, "");
    } catch (error) {
      this.#host.gaveUp?.(this.#runId);
      throw error;
    }
    this.#observe("end", "end");
    const last = program.at(-1);
    return last?.op === "continue" ? ctx.continueAsNew(last.program) : this.#seen.toString(16);
  }

  #observe(path: string, value: string): void {
    this.#seen = hashText(`${path}=${value};`, this.#seen);
    this.#host.observed?.(this.#runId, path, value);
  }

  async #executeAll(ctx: Context, program: Program, path: string): Promise<void> {
    for (const [index, command] of program.entries()) await this.#execute(ctx, command, `${path}.${index}`);
  }

  async #execute(ctx: Context, command: Command, path: string): Promise<void> {
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
        return this.#observe(path, await ctx.receive(at(messages, command.message), waitOf(command.timeoutMs, command.otherwise)));
      case "receiveAny": {
        const among = Object.fromEntries(command.messages.map((index) => [`m${index}`, at(messages, index)]));
        const answer = await ctx.receiveAny(among, waitOf(command.timeoutMs, true));
        return this.#observe(path, typeof answer === "string" ? answer : `${answer.key}:${answer.value}`);
      }
      case "pure":
        return this.#observe(path, `${ctx.now().getTime()} ${ctx.random()} ${ctx.uuid()}`);
      case "throw":
        if (ctx.info.attempt <= command.attempts) throw new Error(`thrown at ${path}`);
        return undefined;
      case "all":
      case "race":
      case "late":
      case "scope":
      case "shield":
      case "try":
      case "finally":
        return this.#executeParts(ctx, command, path);
      case "child":
      case "send":
      case "cancelRun":
        return this.#reach(ctx, command, path);
      case "publish":
      case "attribute":
      case "write":
      case "patched":
        return this.#say(ctx, command, path);
      case "on":
        return this.#answer(ctx, command, path);
      case "compensate":
        return this.#compensate(ctx, command, path);
      case "continue":
        return undefined;
      default:
        return command satisfies never;
    }
  }

  #executeBody(ctx: Context, command: BodyCommand, path: string): Promise<string> {
    const { op, fails, attempts, bodyMs, writes, resumes, timeoutMs } = command;
    const retry = { attempts, backoff: command.backoffMs };
    const call = { kind: op, runId: this.#runId, path, fails, attempts, bodyMs, writes, resumes };
    if (command.op === "activity") {
      const { beats, later, onCancel, local, totalMs, queuedMs, heartbeatMs } = command;
      const timeout = {
        attempt: timeoutMs ?? undefined,
        total: totalMs ?? undefined,
        queued: queuedMs ?? undefined,
        heartbeat: heartbeatMs ?? undefined,
      };
      return ctx.activity(this.#work, { ...call, seen: null, once: false, beats, later }, { retry, timeout, onCancel, local });
    }
    return this.#step(ctx, { ...call, seen: this.#seen, once: command.once, beats: 0, later: null }, { retry, timeout: timeoutMs });
  }

  #step(
    ctx: Context,
    call: BodyCall,
    { retry, timeout }: { readonly retry: { readonly attempts: number; readonly backoff: number }; readonly timeout: number | null },
  ): Promise<string> {
    this.#host.issued?.(this.#runId, call.path, this.#seen);
    return ctx.step(`step ${call.path}`, (io) => this.#host.body(call, io), {
      retry,
      timeout: timeout ?? undefined,
      atMostOnce: call.once,
    });
  }

  async #executeParts(ctx: Context, command: CompoundCommand, path: string): Promise<void> {
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

  // Other runs. What cannot be reached is seen, and the program goes on: most would come to nothing otherwise.

  async #reach(ctx: Context, command: ReachingCommand, path: string): Promise<void> {
    switch (command.op) {
      case "child":
        return this.#child(ctx, command, path);
      case "send": {
        const { target, message: index, key } = command;
        const value = this.#valueOf(path);
        return this.#attempt(path, `sent ${value}`, ctx.get(target).send(at(messages, index), value, { key: key ?? undefined }));
      }
      case "cancelRun":
        return this.#attempt(path, "cancelled", ctx.get(command.target).cancel(`from ${path}`));
      default:
        return command satisfies never;
    }
  }

  async #child(ctx: Context, command: ChildCommand, path: string): Promise<void> {
    const { id, onParentClose, attempts, program, handled } = command;
    const retry = attempts > 1 ? { attempts, backoff: 50 } : undefined;
    const options = { id: id ?? undefined, onParentClose, retry };
    try {
      if (handled === null) return this.#observe(path, `gave ${await ctx.child(programRef, program, options)}`);
      const child = await ctx.startChild(programRef, program, options);
      this.#observe(`${path}/c`, "started");
      if (handled.message !== null) {
        const value = this.#valueOf(path);
        await this.#attempt(`${path}/m`, `sent ${value}`, child.send(at(messages, handled.message), value));
      }
      if (handled.cancels) await this.#attempt(`${path}/x`, "cancelled", child.cancel("not needed"));
      if (handled.timeoutMs !== null) this.#observe(`${path}/w`, await child.result({ timeout: handled.timeoutMs, otherwise: "not yet" }));
      return this.#observe(path, `gave ${await child.result()}`);
    } catch (error) {
      if (!isPerdureError(error, "id_conflict")) throw error;
      return this.#observe(path, "id taken");
    }
  }

  async #attempt(path: string, done: string, call: Promise<void>): Promise<void> {
    try {
      await call;
      this.#observe(path, done);
    } catch (error) {
      if (!isPerdureError(error) || !gone.has(error.code)) throw error;
      this.#observe(path, error.code);
    }
  }

  #valueOf(path: string): string {
    return `<${this.#runId} ${path}>`;
  }

  // What others see of the run.

  async #say(ctx: Context, { op, name }: SayingCommand, path: string): Promise<void> {
    if (op === "patched") return this.#observe(path, `patched ${ctx.patched(`p${name}`)}`);
    const value = `${this.#valueOf(path)} ${this.#seen.toString(16)}`;
    const said = { publish: "state", attribute: "attribute", write: "chunk" } as const;
    // Said before it is called: after a call that is not let through, nothing goes on.
    this.#host.said?.(this.#runId, said[op], op === "write" ? `c${name}` : op === "publish" ? `s${name}` : `a${name}`, value);
    if (op === "publish") ctx.publish(at(states, name), value);
    else if (op === "attribute") ctx.setAttributes({ [`a${name}`]: value });
    else await ctx.write(at(streams, name), value);
  }

  #answer(ctx: Context, { update: index, handler, validates }: Extract<Command, { readonly op: "on" }>, path: string): void {
    const validate = (input: string): void => {
      if (validates && isRefused(input)) throw new Error(`not valid: ${input}`);
    };
    const handle = async (input: string): Promise<string> => {
      const place = `${path}/u${input}`;
      this.#observe(place, "asked");
      if (handler === "throw") throw new Error(`declined: ${input}`);
      if (handler === "sleep") await ctx.sleep(200);
      if (handler === "step") this.#observe(`${place}.s`, await this.#executeBody(ctx, handlerStep, `${place}.s`));
      return `answer to ${input}`;
    };
    ctx.on(at(updates, index), handle, { validate });
  }

  #compensate(ctx: Context, command: Extract<Command, { readonly op: "compensate" }>, path: string): void {
    const { fails, attempts, bodyMs } = command;
    this.#host.registered?.(this.#runId, path);
    const call: BodyCall = { ...plain, kind: "compensation", runId: this.#runId, path, seen: null, fails, attempts, bodyMs };
    ctx.compensate(`undo ${path}`, (io) => this.#host.body(call, io), { retry: { attempts, backoff: 50 } });
  }
}

const plain = { writes: 0, resumes: false, once: false, beats: 0, later: null } as const;

const handlerStep: StepCommand = {
  op: "step",
  fails: 0,
  attempts: 2,
  backoffMs: 50,
  bodyMs: 15,
  timeoutMs: null,
  writes: 0,
  resumes: false,
  once: false,
};

const gone: ReadonlySet<string> = new Set(["not_found", "not_running", "outcome_unknown"]);

/** Does the validator refuse this request? */
export const isRefused = (input: string): boolean => hashText(input) % 2 === 0;

type CompoundCommand = Extract<Command, { readonly op: "all" | "race" | "late" | "scope" | "shield" | "try" | "finally" }>;
type ReachingCommand = Extract<Command, { readonly op: "child" | "send" | "cancelRun" }>;
type SayingCommand = Extract<Command, { readonly op: "publish" | "attribute" | "write" | "patched" }>;

const waitOf = (timeoutMs: number | null, otherwise: boolean): { readonly timeout: number; readonly otherwise?: string } | undefined =>
  timeoutMs === null ? undefined : otherwise ? { timeout: timeoutMs, otherwise: "nothing" } : { timeout: timeoutMs };

const textOf = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));
