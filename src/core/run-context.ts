import type { Logger, Received, ScopeOptions, StepContext, WorkflowContext, WorkflowInfo } from "../api/context-types.js";
import type { ActivityRef, AnyActivity, CallOptions, Message, StepOptions } from "../api/definition-types.js";
import type { Args, Wait } from "../api/shape-types.js";
import { PerdureError, TimeoutError } from "../errors.js";
import { checkOptions, kindOf } from "./check-options.js";
import { historySuggestContinue } from "./defaults.js";
import type { Duration } from "./duration.js";
import { durationMaxMs, parseDuration } from "./duration.js";
import { checkName } from "./names.js";
import { mergeRetry, planRetry } from "./retry.js";
import type { LogLine, RunMachine } from "./run-machine.js";
import { Scope } from "./scope.js";

/**
 * What workflow code holds as `ctx`: turns calls into commands. One class with prototype methods: closures bound for each run cost 2 kB and 10 µs
 * where an instance of this costs 128 bytes.
 */
export class RunContext implements WorkflowContext {
  readonly #machine: RunMachine;
  readonly #scope: Scope;

  constructor(machine: RunMachine, scope: Scope) {
    this.#machine = machine;
    this.#scope = scope;
  }

  get info(): WorkflowInfo {
    const { facts, seq } = this.#machine;
    return {
      id: facts.id,
      runId: facts.runId,
      name: facts.name,
      version: facts.version,
      attempt: facts.attempt,
      deadline: facts.deadlineAt === null ? undefined : new Date(facts.deadlineAt),
      historyLength: seq,
      continueSuggested: seq >= historySuggestContinue,
    };
  }

  get signal(): AbortSignal {
    this.#scope.used++;
    return this.#scope.signal;
  }

  get log(): Logger {
    const machine = this.#machine;
    const write =
      (level: LogLine["level"]) =>
      (message: string, data?: object): void =>
        machine.log({ level, message, data });
    return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  }

  step<T>(name: string, run: (io: StepContext) => T | PromiseLike<T>, options?: StepOptions): Promise<T> {
    checkName(name, "the name of a step");
    if (typeof run !== "function")
      throw new PerdureError("invalid_argument", `ctx.step("${name}", …) takes a function as its second argument, not ${typeof run}.`);
    const what = `step "${name}"`;
    checkOptions(options, what, callOptions);
    const machine = this.#machine;
    return machine.issue<T>(this.#scope, {
      kind: "step",
      number: machine.nextNumber,
      name,
      dueAt: null,
      run,
      retry: planRetry(options?.retry, what),
      timeoutMs: readTimeout(options?.timeout, what),
    });
  }

  activity<I, R>(def: ActivityRef<I, R>, ...args: Args<NoInfer<I>, CallOptions>): Promise<R> {
    if ((def as Partial<typeof def> | undefined)?.kind !== "activity")
      throw new PerdureError("invalid_argument", "ctx.activity takes an activity (or activityRef) as its first argument.");
    const machine = this.#machine;
    const [input, call] = args as [unknown, CallOptions?];
    const defaults = (def as Partial<AnyActivity>).options;
    const what = `activity "${def.name}"`;
    checkOptions(call, what, callOptions);
    return machine.issue<R>(this.#scope, {
      kind: "activity",
      number: machine.nextNumber,
      name: def.name,
      dueAt: null,
      input: machine.encode(input, `the input of ${what}`),
      retry: planRetry(mergeRetry(defaults?.retry, call?.retry), what),
      timeoutMs: readTimeout(call?.timeout ?? defaults?.timeout, what),
    });
  }

  sleep(duration: Duration): Promise<void> {
    return this.#sleepUntil(this.#machine.nowMs + parseDuration(duration, "the duration of ctx.sleep"));
  }

  sleepUntil(time: Date): Promise<void> {
    const dueAt = time instanceof Date ? time.getTime() : Number.NaN;
    if (Number.isNaN(dueAt)) throw new PerdureError("invalid_argument", "ctx.sleepUntil takes a valid Date.");
    if (dueAt - this.#machine.nowMs > durationMaxMs)
      throw new PerdureError(
        "invalid_argument",
        `ctx.sleepUntil was given ${time.toISOString()}, which is more than 100 years away. Is it seconds taken for milliseconds?`,
      );
    return this.#sleepUntil(dueAt);
  }

  receive<V, const O = never>(message: Message<V, any>, wait?: Wait<O>): Promise<V | O> {
    checkMessage(message, "ctx.receive");
    return this.#receive<V | O>([message.name], undefined, wait);
  }

  receiveAny<M extends Readonly<Record<string, Message<any, any>>>, const O = never>(
    messages: M,
    wait?: Wait<O>,
  ): Promise<Received<M> | O> {
    const keys = new Map<string, string>();
    for (const [key, message] of Object.entries(messages)) {
      checkMessage(message, `ctx.receiveAny, at "${key}",`);
      if (keys.has(message.name))
        throw new PerdureError(
          "invalid_argument",
          `ctx.receiveAny was given message "${message.name}" twice, so it could not say which key it came for.`,
        );
      keys.set(message.name, key);
    }
    if (keys.size === 0) throw new PerdureError("invalid_argument", "ctx.receiveAny takes at least one message.");
    return this.#receive<Received<M> | O>([...keys.keys()], keys, wait);
  }

  now(): Date {
    this.#machine.admits("called ctx.now");
    return new Date(this.#machine.nowMs);
  }

  random(): number {
    return this.#machine.admits("called ctx.random") ? this.#machine.random.next() : 0;
  }

  uuid(): string {
    return this.#machine.admits("called ctx.uuid") ? this.#machine.uuids.uuid() : "";
  }

  async scope<T>(run: (ctx: WorkflowContext) => Promise<T>, options?: ScopeOptions): Promise<T> {
    checkScoped(run, "ctx.scope");
    checkOptions(options, "ctx.scope", ["timeout", "signal"]);
    const machine = this.#machine;
    const timeout = options?.timeout;
    const dueAt = timeout === undefined ? null : machine.nowMs + parseDuration(timeout, "the timeout of ctx.scope");
    const inner = new Scope(this.#scope, false);
    let timer: number | undefined;
    if (dueAt !== null && inner.cancelled === undefined) {
      timer = machine.nextNumber;
      machine.issueTimer(this.#scope, { kind: "scope_timeout", number: timer, name: "", dueAt }, () =>
        machine.cancelScope(inner, new TimeoutError("The scope took longer than its timeout.", { details: { timeout } })),
      );
    }
    const onAbort = (): void => machine.cancelScope(inner, toError(options?.signal?.reason));
    if (options?.signal?.aborted === true) onAbort();
    else options?.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await this.#runIn(inner, run);
    } finally {
      options?.signal?.removeEventListener("abort", onAbort);
      if (timer !== undefined) machine.withdraw(timer);
    }
  }

  async shield<T>(run: (ctx: WorkflowContext) => Promise<T>): Promise<T> {
    checkScoped(run, "ctx.shield");
    return this.#runIn(new Scope(this.#scope, true), run);
  }

  async #runIn<T>(scope: Scope, run: (ctx: WorkflowContext) => Promise<T>): Promise<T> {
    try {
      const result = await run(new RunContext(this.#machine, scope));
      if (scope.used === 0) {
        throw new PerdureError(
          "context_misuse",
          "A scope used none of its own ctx, so nothing in it could be cancelled or shielded. Use the ctx that the scope's function is given, not the outer one.",
        );
      }
      return result;
    } finally {
      this.#machine.closeScope(scope);
    }
  }

  #sleepUntil(dueAt: number): Promise<void> {
    const machine = this.#machine;
    return machine.issue<void>(this.#scope, { kind: "sleep", number: machine.nextNumber, name: "", dueAt });
  }

  #receive<T>(names: readonly string[], keys: ReadonlyMap<string, string> | undefined, wait: Wait<unknown> | undefined): Promise<T> {
    const machine = this.#machine;
    const name = names.join(" | ");
    checkOptions(wait, `ctx.receive("${name}")`, ["timeout", "otherwise"]);
    const dueAt = wait === undefined ? null : machine.nowMs + parseDuration(wait.timeout, `the timeout of ctx.receive("${name}")`);
    const otherwise = wait !== undefined && Object.hasOwn(wait, "otherwise") ? { value: wait.otherwise } : undefined;
    return machine.issue<T>(
      this.#scope,
      { kind: "receive", number: machine.nextNumber, name, dueAt, messages: names },
      { keys, otherwise },
    );
  }
}

const callOptions = ["retry", "timeout"];

function checkScoped(run: unknown, what: string): void {
  if (typeof run !== "function")
    throw new PerdureError("invalid_argument", `${what} takes a function as its first argument, not ${kindOf(run)}.`);
}

const readTimeout = (timeout: Duration | undefined, what: string): number | null =>
  timeout === undefined ? null : parseDuration(timeout, `the timeout of ${what}`);

function checkMessage(message: Message<any, any>, where: string): void {
  if ((message as Partial<typeof message> | undefined)?.kind !== "message")
    throw new PerdureError("invalid_argument", `${where} takes a message definition: message<…>("name").`);
}

const toError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new PerdureError("cancelled", `The scope was cancelled: ${String(reason)}`);
