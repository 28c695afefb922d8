import type {
  ActivityContext,
  ActivityRef,
  Attributes,
  ChildHandle,
  Envelope,
  Logger,
  Message,
  ScopeOptions,
  State,
  StepContext,
  StepOptions,
  Stream,
  TransactionSource,
  Update,
  Wait,
  WorkflowContext,
  WorkflowInfo,
  WorkflowRef,
  WorkflowRunHandle,
} from "../api/types.js";
import { hasCode } from "../api/define.js";
import { parseInput } from "../core/schema.js";
import { parseDuration } from "../core/duration.js";
import type { Duration } from "../core/duration.js";
import { SeededRandom } from "../core/seeded-random.js";
import { PerdureError, TimeoutError } from "../errors.js";

/** One call of the context's methods, for assertions. */
export interface FakeCall {
  readonly method: string;
  /** The step's, activity's or message's name (`a | b` for `receiveAny`); empty where there is none. */
  readonly name: string;
  readonly args: readonly unknown[];
}

/** A context made by hand, with what was asked of it. */
export interface FakeContext extends WorkflowContext<any> {
  readonly calls: readonly FakeCall[];
  /** What it published last, by name of the state. */
  readonly published: ReadonlyMap<string, unknown>;
  /** What it wrote, by name of the stream. */
  readonly written: ReadonlyMap<string, readonly unknown[]>;
  /** The attributes that it set and did not remove. */
  readonly attributes: ReadonlyMap<string, string | number | boolean | Date>;
  /** The input of the run that is to go on, once the code has called `continueAsNew`. */
  readonly continuedWith: { readonly input: unknown } | undefined;
  /** Asks the code's handler of an update, as a caller would; the validator comes first. */
  update<I, R>(def: Update<I, R, any>, ...args: readonly unknown[]): Promise<R>;
  /** Runs what the code registered with `compensate`, the last first: what a failure would do. */
  compensateAll(): Promise<void>;
  /** The lines that the code logged. */
  readonly lines: readonly { readonly level: keyof Logger; readonly message: string; readonly data?: object | undefined }[];
}

/** What a {@link fakeContext} answers. Everything has a default; a method given here takes the place of the fake's own. */
export interface FakeContextOptions {
  /** In the place of every step: gets the name, the body and the options; its answer is the step's result. Default: runs the body once. */
  readonly step?: ((name: string, run: (io: StepContext) => unknown, options?: StepOptions) => unknown) | undefined;
  /** In the place of every activity. Default: runs the definition's own code once; a reference has none, so it needs this. */
  readonly activity?: ((def: ActivityRef<any, any>, input: any) => unknown) | undefined;
  /** In the place of every child workflow. Default: runs the definition's own code with this same context; a reference has none, so it needs this. */
  readonly child?: ((def: WorkflowRef<any, any>, input: any) => unknown) | undefined;
  /** What a transaction's function is handed, by name of the transaction. Default: an empty object. */
  readonly transaction?: ((name: string) => unknown) | undefined;
  /** What the code is told about patches. Default: true, as for a new run. */
  readonly patched?: ((id: string) => boolean) | undefined;
  /** The messages that are waiting, in order. A `receive` beyond them times out at once, or throws if it has no timeout. Default: none. */
  readonly messages?: readonly Envelope[] | undefined;
  /** In the place of `receive`. Default: takes from `messages`. */
  readonly receive?: ((message: Message<any, any>, wait?: Wait<unknown>) => unknown) | undefined;
  /** The time at the beginning; sleeping moves it on without waiting. Default: 2025-01-01T00:00:00Z. */
  readonly now?: Date | undefined;
  /** What `random` and `uuid` derive from. Default: "fake". */
  readonly seed?: string | undefined;
  readonly info?: Partial<WorkflowInfo> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A hand-made context for plain unit tests of workflow code: no engine, no store, no replay. Steps and activities run once, in place; sleeping moves
 * the clock and does not wait. For retries, crashes and time-outs in motion use a test engine.
 * @example
 * const ctx = fakeContext({ step: (name) => ({ charge: payment })[name], messages: [approved.of(true)] });
 * expect(await fulfil.run(ctx, order)).toEqual({ status: "shipped" });
 */
export function fakeContext(options: FakeContextOptions = {}): FakeContext {
  return new Fake(options);
}

/**
 * What a step or activity body is handed, for testing the body by itself.
 * @example await charge(order, fakeStep({ attempt: 2 }));
 */
export function fakeStep(overrides: Partial<ActivityContext> = {}): ActivityContext {
  return {
    signal: new AbortController().signal,
    attempt: 1,
    idempotencyKey: "fake-key",
    write: async () => undefined,
    written: async () => 0,
    token: "fake-token",
    lastHeartbeat: undefined,
    heartbeat: () => undefined,
    completeLater: () => undefined as never,
    ...overrides,
  };
}

class Fake implements FakeContext {
  readonly calls: FakeCall[] = [];
  readonly lines: { level: keyof Logger; message: string; data?: object | undefined }[] = [];
  readonly published = new Map<string, unknown>();
  readonly written = new Map<string, unknown[]>();
  readonly attributes = new Map<string, string | number | boolean | Date>();
  continuedWith: { readonly input: unknown } | undefined;
  readonly info: WorkflowInfo;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly #handlers = new Map<
    string,
    { readonly handle: (input: any) => unknown; readonly validate: ((input: any) => void) | undefined }
  >();
  readonly #compensations: (readonly [name: string, run: (io: StepContext) => unknown])[] = [];
  readonly #options: FakeContextOptions;
  readonly #inbox: Envelope[];
  readonly #random: SeededRandom;
  #nowMs: number;

  constructor(options: FakeContextOptions) {
    this.#options = options;
    this.#inbox = [...(options.messages ?? [])];
    this.#random = new SeededRandom(options.seed ?? "fake");
    this.#nowMs = (options.now ?? new Date("2025-01-01T00:00:00Z")).getTime();
    this.signal = options.signal ?? new AbortController().signal;
    this.info = { id: "fake-id", runId: "fake-run", name: "fake", attempt: 1, historyLength: 1, continueSuggested: false, ...options.info };
    const line = (level: keyof Logger) => (message: string, data?: object) => void this.lines.push({ level, message, data });
    this.log = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
  }

  async step<T>(name: string, run: (io: StepContext) => T | PromiseLike<T>, options?: StepOptions): Promise<T> {
    this.#note("step", name, options === undefined ? [name, run] : [name, run, options]);
    const { step } = this.#options;
    return step === undefined ? await run(fakeStep({ idempotencyKey: `fake-${name}` })) : ((await step(name, run, options)) as T);
  }

  async activity<I, R>(def: ActivityRef<I, R>, ...args: readonly unknown[]): Promise<R> {
    this.#note("activity", def.name, [def, ...args]);
    const { activity } = this.#options;
    if (activity !== undefined) return (await activity(def, args[0])) as R;
    if (!hasCode(def))
      throw unanswered(
        `activityRef(${JSON.stringify(def.name)}) has no code to run: give the fake context an answer, fakeContext({ activity: (def, input) => … })`,
      );
    const input = await parseInput(def.input, args[0], `The input of activity ${JSON.stringify(def.name)}`);
    return await def.run(input as I, fakeStep({ idempotencyKey: `fake-${def.name}` }));
  }

  async transaction<Tx, T>(
    name: string,
    _source: TransactionSource<Tx>,
    run: (transaction: Tx) => T | PromiseLike<T>,
    ...rest: readonly unknown[]
  ): Promise<T> {
    this.#note("transaction", name, [name, run, ...rest]);
    return await run((this.#options.transaction?.(name) ?? {}) as Tx);
  }

  async child<I, R>(def: WorkflowRef<I, R>, ...args: readonly unknown[]): Promise<R> {
    this.#note("child", def.name, [def, ...args]);
    return this.#runChild<R>(def, args[0]);
  }

  async startChild<I, R>(def: WorkflowRef<I, R>, ...args: readonly unknown[]): Promise<ChildHandle<R>> {
    this.#note("startChild", def.name, [def, ...args]);
    const outcome = this.#runChild<R>(def, args[0]);
    outcome.catch(() => undefined);
    const { id = `fake-child-${this.calls.length}` } = (args[1] ?? {}) as { readonly id?: string };
    return { ...this.get(id), result: () => outcome };
  }

  get(id: string): WorkflowRunHandle {
    return {
      id,
      send: async (message, ...args) => this.#note("send", message.name, [id, message, ...args]),
      cancel: async (reason) => this.#note("cancel", id, [reason]),
    };
  }

  async #runChild<R>(def: WorkflowRef<any, any>, input: unknown): Promise<R> {
    const { child } = this.#options;
    if (child !== undefined) return (await child(def, input)) as R;
    if (!hasCode(def))
      throw unanswered(
        `workflowRef(${JSON.stringify(def.name)}) has no code to run: give the fake context an answer, fakeContext({ child: (def, input) => … })`,
      );
    return (await def.run(
      this,
      (await parseInput(def.input, input, `The input of child workflow ${JSON.stringify(def.name)}`)) as any,
    )) as R;
  }

  on<I, R, P>(
    update: Update<I, R, P>,
    handler: (input: P) => R | PromiseLike<R>,
    options?: { readonly validate?: ((input: P) => void) | undefined },
  ): void {
    this.#note("on", update.name, [update, handler]);
    this.#handlers.set(update.name, { handle: handler, validate: options?.validate });
  }

  async update<I, R>(def: Update<I, R, any>, ...args: readonly unknown[]): Promise<R> {
    const handler = this.#handlers.get(def.name);
    if (handler === undefined) throw unanswered(`the code has registered no handler for the update ${JSON.stringify(def.name)}`);
    const input = await parseInput(def.input, args[0], `The value of update ${JSON.stringify(def.name)}`);
    handler.validate?.(input);
    return (await handler.handle(input)) as R;
  }

  publish<V>(state: State<V>, value: NoInfer<V>): void {
    this.#note("publish", state.name, [state, value]);
    this.published.set(state.name, value);
  }

  async write<C>(stream: Stream<C>, chunk: NoInfer<C>): Promise<void> {
    this.#note("write", stream.name, [stream, chunk]);
    this.written.set(stream.name, [...(this.written.get(stream.name) ?? []), chunk]);
  }

  setAttributes(attributes: Attributes): void {
    this.#note("setAttributes", "", [attributes]);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null) this.attributes.delete(name);
      else this.attributes.set(name, value);
    }
  }

  compensate(name: string, run: (io: StepContext) => unknown, ...rest: readonly unknown[]): void {
    this.#note("compensate", name, [name, run, ...rest]);
    this.#compensations.push([name, run]);
  }

  async compensateAll(): Promise<void> {
    for (const [name, run] of this.#compensations.splice(0).toReversed()) await this.step(name, run);
  }

  continueAsNew(input: unknown, ...rest: readonly unknown[]): never {
    this.#note("continueAsNew", "", [input, ...rest]);
    this.continuedWith = { input };
    return undefined as never;
  }

  patched(id: string): boolean {
    this.#note("patched", id, [id]);
    return this.#options.patched?.(id) ?? true;
  }

  async sleep(duration: Duration): Promise<void> {
    this.#note("sleep", "", [duration]);
    this.#nowMs += parseDuration(duration, "the duration of ctx.sleep");
  }

  async sleepUntil(time: Date): Promise<void> {
    this.#note("sleepUntil", "", [time]);
    this.#nowMs = Math.max(this.#nowMs, time.getTime());
  }

  async receive<V, const O = never>(message: Message<V, any>, wait?: Wait<O>): Promise<V | O> {
    this.#note("receive", message.name, wait === undefined ? [message] : [message, wait]);
    const { receive } = this.#options;
    if (receive !== undefined) return (await receive(message, wait)) as V | O;
    const taken = this.#take([message.name]);
    return taken === undefined ? this.#unreceived(message.name, wait) : ((await valueOf(taken)) as V);
  }

  async receiveAny<M extends Readonly<Record<string, Message<any, any>>>, const O = never>(messages: M, wait?: Wait<O>): Promise<any> {
    const entries = Object.entries(messages);
    const names = entries.map(([, message]) => message.name);
    this.#note("receiveAny", names.join(" | "), wait === undefined ? [messages] : [messages, wait]);
    const taken = this.#take(names);
    if (taken === undefined) return this.#unreceived(names.join(" | "), wait);
    const key = entries.find(([, message]) => message.name === taken.message.name)?.[0];
    return { key, value: await valueOf(taken) };
  }

  now(): Date {
    return new Date(this.#nowMs);
  }

  random(): number {
    return this.#random.next();
  }

  uuid(): string {
    return this.#random.uuid();
  }

  async scope<T>(run: (ctx: WorkflowContext<any>) => Promise<T>, options?: ScopeOptions): Promise<T> {
    this.#note("scope", "", options === undefined ? [run] : [run, options]);
    return await run(this);
  }

  async shield<T>(run: (ctx: WorkflowContext<any>) => Promise<T>): Promise<T> {
    this.#note("shield", "", [run]);
    return await run(this);
  }

  #note(method: string, name: string, args: readonly unknown[]): void {
    this.calls.push({ method, name, args });
  }

  #take(names: readonly string[]): Envelope | undefined {
    const index = this.#inbox.findIndex((envelope) => names.includes(envelope.message.name));
    return index < 0 ? undefined : this.#inbox.splice(index, 1)[0];
  }

  #unreceived<O>(names: string, wait: Wait<O> | undefined): O {
    if (wait === undefined)
      throw unanswered(
        `nothing is there to receive for ${names}, and the wait has no timeout: give the fake context its messages, fakeContext({ messages: [m.of(value)] })`,
      );
    this.#nowMs += parseDuration(wait.timeout, "the timeout of ctx.receive");
    if ("otherwise" in wait) return wait.otherwise;
    throw new TimeoutError(`No message ${names} came in time (in a fake context that has none left).`);
  }
}

async function valueOf(envelope: Envelope): Promise<unknown> {
  return await parseInput(envelope.message.input, envelope.value, `The value of message ${JSON.stringify(envelope.message.name)}`);
}

function unanswered(text: string): PerdureError {
  return new PerdureError("invalid_argument", `In a fake context, ${text}.`);
}
