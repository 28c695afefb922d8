// What workflow, step and activity code is handed. Interfaces without overloads, so that a fake is a plain object.
import type { Duration } from "../core/duration.js";
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
} from "./definition-types.js";
import type { Args, Wait } from "./shape-types.js";

/**
 * Everything durable that a workflow can do. What these methods return is recorded, and the same on every replay.
 * Methods must be called on the context (`ctx.step(…)`); `const { step } = ctx` does not compile. Helpers take `WorkflowContext`, or a
 * `Pick<WorkflowContext, "step" | "sleep">` of it.
 *
 * Only the workflow's own code may use it: inside a step, or after the run ended, every call throws `context_misuse`.
 */
export interface WorkflowContext<in Input = never> {
  /** Facts about this run. */
  readonly info: WorkflowInfo;
  /** Aborts when this run or the enclosing scope is cancelled or times out. */
  readonly signal: AbortSignal;
  /** A log that is silent on replay: every line is written once, after what led to it is stored. */
  readonly log: Logger;

  /**
   * Runs a function in this process and records its result: once it has succeeded it never runs again for this run. It may run more than once
   * before that (a crash in the middle, a retry), so pass `io.idempotencyKey` on. What it throws is thrown here after the last attempt.
   * @example const payment = await ctx.step("charge", ({ signal }) => payments.charge(order, { signal }));
   */
  step<T>(this: object, name: string, run: (io: StepContext) => T | PromiseLike<T>, options?: StepOptions): Promise<T>;

  /**
   * Queues an activity, to be run by any process that registered it, and waits for its result. What it throws is thrown here after the last attempt.
   * @example const label = await ctx.activity(printLabel, order, { timeout: "30s" });
   */
  activity<I, R>(this: object, def: ActivityRef<I, R>, ...args: Args<NoInfer<I>, CallOptions>): Promise<R>;

  /**
   * Runs statements of yours and records the result of the step in one transaction of your database: both happen, or neither. In the backend's own database
   * the record is part of the run; in another one a small table of completions holds it (see the page "Transactions"). Retried like a step.
   * @example const row = await ctx.transaction("book", db, (tx) => tx.query("INSERT …"));
   */
  transaction<Tx, T>(
    this: object,
    name: string,
    source: TransactionSource<Tx>,
    run: (transaction: Tx) => T | PromiseLike<T>,
    options?: StepOptions,
  ): Promise<T>;

  /**
   * Starts another workflow as a child and waits for its result. If the child fails this throws `run_failed`, whose `cause` is what the child threw; a child that was
   * cancelled or terminated is told by its code.
   * @example const report = await ctx.child(audit, order, { onParentClose: "abandon" });
   */
  child<I, R>(this: object, def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, ChildOptions>): Promise<R>;

  /**
   * Starts a child and resolves once it is stored, with a handle to send to it, cancel it, and wait for it.
   * @throws `id_conflict` if another run has the id
   */
  startChild<I, R>(this: object, def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, ChildOptions>): Promise<ChildHandle<R>>;

  /** Another run, by its id: to send to it, or cancel it. @example await ctx.get("order-17").send(approved, true); */
  get(this: object, id: string): WorkflowRunHandle;

  /** Waits; the run takes no memory and needs no process meanwhile. Never early. @example await ctx.sleep("3 days"); */
  sleep(this: object, duration: Duration): Promise<void>;

  /** Waits until a time. One that has passed resolves at once. Never early. @example await ctx.sleepUntil(new Date(order.shipAt)); */
  sleepUntil(this: object, time: Date): Promise<void>;

  /**
   * Takes the next message of this kind, waiting for it if there is none yet. Messages are kept in order from before anybody waits.
   * Without `wait` it waits for ever; with a `timeout` it throws `TimeoutError`, or gives `otherwise` if that is there.
   * In a `Promise.race` a losing `receive` still takes the next message: use {@link receiveAny} to wait for the first of several.
   * @example const ok = await ctx.receive(approved, { timeout: "3 days", otherwise: false });
   */
  receive<V, const O = never>(this: object, message: Message<V, any>, wait?: Wait<O>): Promise<V | O>;

  /**
   * Takes the first message of any of these kinds, and leaves the others where they are. Narrow the answer by its `key`.
   * @example
   * const answer = await ctx.receiveAny({ approved, rejected });
   * if (answer.key === "rejected") return { status: "rejected", reason: answer.value };
   */
  receiveAny<M extends Readonly<Record<string, Message<any, any>>>, const O = never>(
    this: object,
    messages: M,
    wait?: Wait<O>,
  ): Promise<Received<M> | O>;

  /**
   * Answers updates of this kind from now on. The handler runs as part of the workflow and may use ctx; what it returns is the answer, what it throws is the
   * caller's error. `validate` looks at the request first: what it throws refuses it, and nothing is recorded; it must be synchronous and change nothing.
   * A run that returns while handlers are busy waits for them.
   * @example ctx.on(setPrice, (price) => (current = price), { validate: (price) => { if (price < 0) throw new Error("negative"); } });
   */
  on<I, R, P>(
    this: object,
    update: Update<I, R, P>,
    handler: (input: P) => R | PromiseLike<R>,
    options?: { readonly validate?: ((input: P) => void) | undefined },
  ): void;

  /** Publishes a value for everybody to read with `handle.read`, also when no worker is alive. @example ctx.publish(progress, { done: 3, of: 10 }); */
  publish<V>(this: object, state: State<V>, value: NoInfer<V>): void;

  /** Appends a chunk to a stream; readers see it once what led to it is stored. @example await ctx.write(tokens, "Hello"); */
  write<C>(this: object, stream: Stream<C>, chunk: NoInfer<C>): Promise<void>;

  /** Sets searchable facts about the run, or removes them (null). @example ctx.setAttributes({ customer: "c-17", total: 99.5 }); */
  setAttributes(this: object, attributes: Attributes): void;

  /**
   * Registers what undoes something: if the run fails or is cancelled, everything registered runs, the last first, each as a durable step that a cancel does not
   * reach. Register before the step whose effect it undoes, and make it bear that there may be nothing to undo. One that fails for good is logged, and the others go on;
   * the run still ends with what it failed of.
   * @example ctx.compensate("refund", () => payments.refund(order.id)); await ctx.step("charge", () => payments.charge(order));
   */
  compensate(this: object, name: string, run: (io: StepContext) => unknown, options?: StepOptions): void;

  /**
   * Ends this run and goes on with a fresh one under the same id, whose history is empty. Messages that nobody has received move along. It does not throw, so that no
   * `catch` can swallow it: return what it gives. Durable operations after it are an error.
   * @example return ctx.continueAsNew({ ...state, round: state.round + 1 });
   */
  continueAsNew(this: object, input: Input, options?: { readonly version?: string | undefined }): never;

  /**
   * Is this run new enough for a change of the code? False for runs whose history passed this place without the change, true for all others, for the rest of the
   * run. When no run from before the change is left, delete the call and the old branch.
   * @example const total = ctx.patched("tax-2026") ? await ctx.step("tax", …) : await ctx.step("vat", …);
   */
  patched(this: object, id: string): boolean;

  /** The time, as recorded: that of the event that this code is reacting to. Use it in the place of `new Date()` and `Date.now()`. */
  now(this: object): Date;

  /** A number from 0 up to, not including, 1; the same on replay. Use it in the place of `Math.random()`. */
  random(this: object): number;

  /** A version 4 UUID; the same on replay. Use it in the place of `crypto.randomUUID()`. */
  uuid(this: object): string;

  /**
   * Runs a part of the workflow that can be cancelled by itself: by a timeout (throws `TimeoutError`) or by a signal. Use the `ctx` that it hands you;
   * a scope that used none of it is an error (`context_misuse`).
   * @example await ctx.scope((ctx) => gatherQuotes(ctx, order), { timeout: "10 minutes" });
   */
  scope<T>(this: object, run: (ctx: WorkflowContext<Input>) => Promise<T>, options?: ScopeOptions): Promise<T>;

  /**
   * Runs a part of the workflow that a cancel does not reach: for cleaning up. Use the `ctx` that it hands you.
   * @example try { … } finally { await ctx.shield((ctx) => ctx.step("release", () => stock.release(order))); }
   */
  shield<T>(this: object, run: (ctx: WorkflowContext<Input>) => Promise<T>): Promise<T>;
}

/** What limits a scope: see {@link WorkflowContext.scope}. */
export interface ScopeOptions {
  /** How long the scope may take. Default: no limit of its own. */
  readonly timeout?: Duration | undefined;
  /** Cancels the scope when it aborts. It must be aborted by the workflow's own code, or a replay would differ. */
  readonly signal?: AbortSignal | undefined;
}

/** Facts about a run, for its own code. */
export interface WorkflowInfo {
  /** The id that it was started with. */
  readonly id: string;
  /** The id of this execution of it. */
  readonly runId: string;
  /** The name of its definition. */
  readonly name: string;
  /** The version of the definition that it started under, if that has one. */
  readonly version?: string | undefined;
  /** 1 at first; counts executions of the same id that were begun again after a failure. */
  readonly attempt: number;
  /** When it must have ended, if it has a timeout. */
  readonly deadline?: Date | undefined;
  /** How many events its history holds. */
  readonly historyLength: number;
  /** True when the history is long enough that a fresh start is worth it. */
  readonly continueSuggested: boolean;
}

/** What a step body is handed. Plain values: made to be destructured. */
export interface StepContext {
  /** Aborts when the attempt times out, the run is cancelled, or this process must let go of it (`reason` has a `code`). Pass it on to what you call. */
  readonly signal: AbortSignal;
  /** 1 at first. */
  readonly attempt: number;
  /** The same for every attempt of this step of this run, and no other: give it to services that can tell repeated requests by a key. */
  readonly idempotencyKey: string;
  /**
   * Appends a chunk to a stream of the run; resolves once it is stored. If an earlier attempt wrote to the stream, and `written` was not asked, what it wrote is
   * marked as void first: readers get a restart.
   */
  readonly write: <C>(stream: Stream<C>, chunk: NoInfer<C>) => Promise<void>;
  /** How many chunks earlier attempts of this step have stored in the stream: for going on behind them instead of starting again. */
  readonly written: (stream: Stream<any>) => Promise<number>;
}

/** What an activity is handed, after its input. Plain values: made to be destructured. */
export interface ActivityContext extends StepContext {
  /** Names this attempt, for `client.complete` and `client.fail` after `completeLater`. */
  readonly token: string;
  /** What an earlier attempt last said with `heartbeat`; undefined if none did. */
  readonly lastHeartbeat: unknown;
  /** Says that the attempt goes on, and keeps `details` for the next one, should this one be cut off. Calls that come quickly one after the other are put together. */
  readonly heartbeat: (details?: unknown) => void;
  /** Leaves the outcome to somebody outside who has the token: return what it gives. @example return completeLater(); */
  readonly completeLater: () => never;
}

/** Another run, from inside a workflow. */
export interface WorkflowRunHandle {
  readonly id: string;
  /**
   * Sends a message; resolves once it is stored.
   * @throws `not_found` · `not_running` · `invalid_input`
   */
  send<I>(message: Message<any, I>, ...args: Args<NoInfer<I>, { readonly key?: string | undefined }>): Promise<void>;
  /** Asks the run to stop. @throws `not_found` · `not_running` */
  cancel(reason?: string): Promise<void>;
}

/** A child workflow that was started. */
export interface ChildHandle<out R> extends WorkflowRunHandle {
  /** Waits for the child's result; the run itself goes on when a timeout passes. @throws what `ctx.child` throws · `timeout` */
  result<const O = never>(wait?: Wait<O>): Promise<R | O>;
}

/** The value of `receiveAny`: which message came, and what it carried. */
export type Received<M> = { [K in keyof M]: { readonly key: K; readonly value: M[K] extends Message<infer V, any> ? V : never } }[keyof M];

/** Where log lines go. `console` is one. */
export interface Logger {
  debug(message: string, data?: object): void;
  info(message: string, data?: object): void;
  warn(message: string, data?: object): void;
  error(message: string, data?: object): void;
}
