import type {
  ChildHandle,
  Logger,
  Received,
  ScopeOptions,
  StepContext,
  WorkflowContext,
  WorkflowInfo,
  WorkflowRunHandle,
} from "../api/context-types.js";
import type {
  ActivityRef,
  Attributes,
  CallOptions,
  ChildOptions,
  Message,
  State,
  StepOptions,
  Stream,
  TransactionSource,
  Update,
  WorkflowRef,
} from "../api/definition-types.js";
import type { Args, Wait } from "../api/shape-types.js";
import { PerdureError, TimeoutError } from "../errors.js";
import { activityCommand, childCommand, checkStep, stepOptions } from "./calls.js";
import { checkKind, checkOptions, kindOf } from "./check-options.js";
import { writeAttributes } from "./attributes.js";
import { ChildRun, OtherRun } from "./other-runs.js";
import { historySuggestContinue } from "./defaults.js";
import type { Duration } from "./duration.js";
import { durationMaxMs, parseDuration } from "./duration.js";
import { checkName } from "./names.js";
import type { LogLine } from "./turn-result.js";
import type { RunMachine } from "./run-machine.js";
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
        machine.say("called ctx.log", "logs", { level, message, data });
    return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  }

  step<T>(name: string, run: (io: StepContext) => T | PromiseLike<T>, options?: StepOptions): Promise<T> {
    checkStep("step", name, run, options);
    const machine = this.#machine;
    const { retry, timeoutMs, atMostOnce } = stepOptions(`step "${name}"`, options);
    const number = machine.nextNumber();
    return machine.issue<T>(this.#scope, { kind: "step", number, name, dueAt: null, run, retry, timeoutMs, atMostOnce });
  }

  activity<I, R>(def: ActivityRef<I, R>, ...args: Args<NoInfer<I>, CallOptions>): Promise<R> {
    return this.#machine.issue<R>(this.#scope, activityCommand(this.#machine, def, args as [unknown, CallOptions?]));
  }

  transaction<Tx, T>(
    name: string,
    source: TransactionSource<Tx>,
    run: (transaction: Tx) => T | PromiseLike<T>,
    options?: StepOptions,
  ): Promise<T> {
    checkKind(source, "transaction_source", `ctx.transaction("${name}", …)`, "made by transactions(…) of a backend");
    checkStep("transaction", name, run, options);
    const machine = this.#machine;
    const { retry, timeoutMs } = stepOptions(`transaction "${name}"`, options);
    return machine.issue<T>(this.#scope, {
      kind: "transaction",
      number: machine.nextNumber(),
      name,
      dueAt: null,
      source,
      run,
      retry,
      timeoutMs,
    });
  }

  child<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, ChildOptions>): Promise<R> {
    return this.#machine.issue<R>(this.#scope, childCommand(this.#machine, def, args as [unknown, ChildOptions?]));
  }

  startChild<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, ChildOptions>): Promise<ChildHandle<R>> {
    return ChildRun.start<R>(this.#machine, this.#scope, childCommand(this.#machine, def, args as [unknown, ChildOptions?]));
  }

  get(id: string): WorkflowRunHandle {
    checkName(id, "the id of a run");
    return new OtherRun(this.#machine, this.#scope, id);
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
    checkKind(message, "message", "ctx.receive", madeByMessage);
    return this.#receive<V | O>([message.name], undefined, wait);
  }

  receiveAny<M extends Readonly<Record<string, Message<any, any>>>, const O = never>(
    messages: M,
    wait?: Wait<O>,
  ): Promise<Received<M> | O> {
    const keys = new Map<string, string>();
    for (const [key, message] of Object.entries(messages)) {
      checkKind(message, "message", `ctx.receiveAny, at "${key}",`, madeByMessage);
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

  on<I, R, P>(
    update: Update<I, R, P>,
    handler: (input: P) => R | PromiseLike<R>,
    options?: { readonly validate?: ((input: P) => void) | undefined },
  ): void {
    checkKind(update, "update", "ctx.on", "made by update(…)");
    if (typeof handler !== "function")
      throw new PerdureError("invalid_argument", `ctx.on takes a function as its second argument, not ${kindOf(handler)}.`);
    checkOptions(options, "ctx.on", ["validate"]);
    this.#machine.answerUpdates(update.name, { handle: handler, validate: options?.validate });
  }

  publish<V>(state: State<V>, value: NoInfer<V>): void {
    checkKind(state, "state", "ctx.publish", "made by state(…)");
    const text = this.#machine.encode(value, `the published state "${state.name}"`);
    this.#machine.say("called ctx.publish", "published", { name: state.name, text });
  }

  async write<C>(stream: Stream<C>, chunk: NoInfer<C>): Promise<void> {
    checkKind(stream, "stream", "ctx.write", "made by stream(…)");
    const text = this.#machine.encode(chunk, `a chunk of stream "${stream.name}"`);
    this.#machine.say("called ctx.write", "chunks", { stream: stream.name, text });
  }

  setAttributes(attributes: Attributes): void {
    const written = writeAttributes(attributes, "ctx.setAttributes");
    for (const attribute of written) this.#machine.say("called ctx.setAttributes", "attributes", attribute);
  }

  compensate(name: string, run: (io: StepContext) => unknown, options?: StepOptions): void {
    checkStep("compensate", name, run, options);
    this.#machine.onFailure({ name, run, options });
  }

  continueAsNew(input: unknown, options?: { readonly version?: string | undefined }): never {
    checkOptions(options, "ctx.continueAsNew", ["version"]);
    this.#machine.continueWith(this.#machine.encode(input, "the input of ctx.continueAsNew"), options?.version);
    return undefined as never;
  }

  patched(id: string): boolean {
    checkName(id, "the id of a patch");
    return this.#machine.patched(id);
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
      timer = machine.nextNumber();
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
    return machine.issue<void>(this.#scope, { kind: "sleep", number: machine.nextNumber(), name: "", dueAt });
  }

  #receive<T>(names: readonly string[], keys: ReadonlyMap<string, string> | undefined, wait: Wait<unknown> | undefined): Promise<T> {
    const machine = this.#machine;
    const name = names.join(" | ");
    checkOptions(wait, `ctx.receive("${name}")`, ["timeout", "otherwise"]);
    const dueAt = wait === undefined ? null : machine.nowMs + parseDuration(wait.timeout, `the timeout of ctx.receive("${name}")`);
    const otherwise = wait !== undefined && Object.hasOwn(wait, "otherwise") ? { value: wait.otherwise } : undefined;
    return machine.issue<T>(
      this.#scope,
      { kind: "receive", number: machine.nextNumber(), name, dueAt, messages: names },
      { keys, otherwise },
    );
  }
}

const madeByMessage = 'made by message<…>("name")';

function checkScoped(run: unknown, what: string): void {
  if (typeof run !== "function")
    throw new PerdureError("invalid_argument", `${what} takes a function as its first argument, not ${kindOf(run)}.`);
}

const toError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new PerdureError("cancelled", `The scope was cancelled: ${String(reason)}`);
