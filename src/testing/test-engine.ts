/** An engine for tests: all of it, in this process, on a virtual clock. */
import { checkOptions } from "../api/define-checks.js";
import { connectWith, launchWith } from "../api/launch.js";
import type {
  ActivityContext,
  ActivityRef,
  AnyActivity,
  Args,
  Client,
  CloseOptions,
  Engine,
  Filter,
  Handle,
  InputOf,
  LaunchOptions,
  Logger,
  ResultOf,
  RunInfo,
  StartOptions,
  StepContext,
  WorkflowRef,
} from "../api/types.js";
import type { Backend } from "../backend/backend.js";
import { everything } from "../backend/news.js";
import { memoryOn } from "../backends/memory/memory.js";
import { createMemoryState } from "../backends/memory/state.js";
import type { PayloadCodec } from "../codec/codec.js";
import { checkKind } from "../core/check-options.js";
import type { BodyCommand } from "../core/commands.js";
import { parseDuration, type Duration } from "../core/duration.js";
import type { RunFacts } from "../core/machine-options.js";
import { PerdureError, TimeoutError } from "../errors.js";
import { consoleLogger } from "../platform/console-logger.js";
import { openGuard, type Guard } from "../worker/guard.js";
import { fakeStep } from "./fake-context.js";
import { TestClock, type Subject } from "./test-clock.js";
import { testHandle } from "./test-handle.js";
import { testBackend, type WriteWatch } from "./test-store.js";
import { virtualTime, type EngineRuntime, type VirtualTime } from "./virtual-time.js";

/** Options of {@link testEngine}: those of `launch`, and what there is to say about the clock. */
export interface TestEngineOptions extends Omit<LaunchOptions, "backend" | "lease"> {
  /** Where the clock stands at first. Default: 2025-01-01T00:00:00Z. */
  readonly now?: Date | undefined;
  /** What ids, `ctx.random` and the jitter of retries derive from: the same seed, the same numbers. Default: "test". */
  readonly seed?: string | undefined;
  /**
   * How long, in real time, the clock stands still for a step or activity that does real work, and how long a wait that nothing can end takes to fail.
   * Default: 1 second.
   */
  readonly patience?: Duration | undefined;
}

/** An engine on a virtual clock, with what a test does to it. */
export interface TestEngine extends Engine {
  /** The time on its clock. */
  now(): Date;
  /**
   * Moves the clock by a duration, or to a time, and runs everything that is due until then, in order.
   * @example await engine.advance("3 days");
   */
  advance(by: Duration | Date): Promise<void>;
  /**
   * Resolves after so long on the clock: for mocks that take their time. A mock or step that sleeps does not hold the clock up; a test that awaits this moves it.
   * @example engine.mock(printLabel, async () => { await engine.sleep("2 hours"); return "label"; });
   */
  sleep(duration: Duration): Promise<void>;
  /**
   * Plans a call for a time on the clock, which stands still until it is done. What it throws is thrown to whoever has the clock moved then.
   * @example engine.at("2 days", () => handle.send(approved, true));
   */
  at(time: Duration | Date, run: () => unknown): void;
  /**
   * Puts a function in the place of an activity's code, until the answer is called. It is retried like the real one; what it returns is the result.
   * @example const restore = engine.mock(printLabel, async (order) => `label ${order.id}`);
   */
  mock<A extends ActivityRef<any, any>>(
    def: A,
    run: (input: InputOf<A>, io: ActivityContext) => ResultOf<A> | PromiseLike<ResultOf<A>>,
  ): () => void;
  /**
   * The same for a step of a workflow, by its name; also for transactions and compensations.
   * @example engine.mockStep(fulfil, "charge", () => { throw new Error("declined"); });
   */
  mockStep(workflow: WorkflowRef<any, any>, step: string, run: (io: StepContext) => unknown): () => void;
  /** Ends the worker as `kill -9` would, in the middle of whatever it does, and starts another one on the same data. Handles stay good. */
  crash(): Promise<void>;
}

/** Called at each write, before and after; true kills the worker there. */
export type KillSwitch = (...write: Parameters<WriteWatch>) => boolean;

/**
 * An engine for tests: workflows run for real, in this process and in memory, on a clock that moves only when there is nothing else to do and somebody waits.
 * While the test awaits a result, an update, a watched state or a stream, the clock jumps by itself to whatever is due next; at all other times it stands still,
 * and `advance` moves it. Nothing sleeps: days take milliseconds.
 * @example
 * const engine = await testEngine({ workflows: [fulfil], activities: [printLabel] });
 * engine.mock(printLabel, async () => "label");
 * const handle = await engine.start(fulfil, order);
 * await engine.advance("1 day");
 * await handle.send(approved, true);
 * expect(await handle.result()).toMatchObject({ status: "shipped" });
 * await engine.close();
 */
export function testEngine(options: TestEngineOptions = {}): Promise<TestEngine> {
  return openTestEngine(options, () => false);
}

/** The same, with somebody who watches the writes. */
export async function openTestEngine(options: TestEngineOptions, kills: KillSwitch): Promise<TestEngine> {
  checkOptions(options, "testEngine", optionNames);
  const { now, seed = "test", patience = 1000, ...rest } = options;
  if (now !== undefined && !(now instanceof Date && !Number.isNaN(now.getTime())))
    throw new PerdureError("invalid_argument", "The option now of testEngine must be a valid Date.");
  if (typeof seed !== "string") throw new PerdureError("invalid_argument", "The option seed of testEngine must be a string.");
  const engine = new OpenTestEngine(rest, {
    startMs: (now ?? new Date("2025-01-01T00:00:00Z")).getTime(),
    seed,
    patienceMs: parseDuration(patience, "the option patience of testEngine"),
    kills,
  });
  await engine.open();
  return engine;
}

const optionNames = [
  ...["workflows", "activities", "queues", "concurrency", "warmRuns", "guard"],
  ...["errors", "logger", "codec", "limits", "interceptors"],
  ...["now", "seed", "patience"],
];

interface Settings {
  readonly startMs: number;
  readonly seed: string;
  readonly patienceMs: number;
  readonly kills: KillSwitch;
}

/** One life of the worker. */
interface Life {
  readonly runtime: EngineRuntime;
  dead: boolean;
  engine: Engine | undefined;
  look: () => void;
}

type AnyFunction = (...args: any[]) => unknown;

class OpenTestEngine implements TestEngine {
  readonly #options: Omit<LaunchOptions, "backend">;
  readonly #settings: Settings;
  readonly #time: VirtualTime;
  readonly #state = createMemoryState();
  readonly #backend: Backend;
  readonly #logger: Logger;
  readonly #guard: Guard;
  readonly #clock: TestClock;
  /** Of what the test plans by itself. */
  readonly #own: EngineRuntime;
  readonly #clientRuntime: EngineRuntime;
  readonly #mocks = new Map<string, AnyFunction>();
  #client!: Client;
  #life!: Life;
  #lives = 0;
  #launched: Promise<void> = Promise.resolve();
  #writes = 0;
  #unheard: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: Omit<LaunchOptions, "backend">, settings: Settings) {
    const { patienceMs, startMs, seed } = settings;
    const time = virtualTime({ startMs });
    this.#settings = settings;
    this.#time = time;
    this.#backend = memoryOn(this.#state);
    this.#logger = options.logger ?? consoleLogger;
    this.#own = time.runtime(`${seed}/test`);
    this.#clientRuntime = time.runtime(`${seed}/client`);
    this.#guard = openGuard({ ambient: options.guard !== false, logger: this.#logger });
    this.#clock = new TestClock({
      time,
      patienceMs,
      storeDueAt: () => expiryOf(this.#state.expiringTasks),
      writes: () => this.#writes,
      look: () => this.#look(),
      hopeless: (subject) => hopeless(subject),
      stuck: (subject) => this.#stuck(subject),
      warn: (message) => this.#logger.warn(message),
    });
    this.#options = { ...options, codec: options.codec?.map((link) => this.#holding(link)) };
  }

  async open(): Promise<void> {
    try {
      const { errors, logger, codec, limits, interceptors } = this.#options;
      const backend = testBackend(this.#backend, { isDead: () => false, onWrite: (...write) => this.#onWrite(...write) });
      this.#client = await connectWith({ backend, errors, logger, codec, limits, interceptors }, this.#clientRuntime, { unhurried: true });
      await this.#launch();
    } catch (error) {
      this.#guard.close();
      throw error;
    }
  }

  get workerId(): string {
    return this.#life.engine?.workerId ?? "";
  }

  async start<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, StartOptions>): Promise<Handle<R>> {
    return testHandle(await this.#clock.briefly(() => this.#client.start(def, ...args)), this.#clock);
  }

  execute<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, StartOptions>): Promise<R> {
    const started = this.#clock.briefly(() => this.#client.start(def, ...args));
    const subject = { what: `the end of workflow "${def.name}"`, describe: async () => (await started).describe() };
    return this.#clock.waiting(
      subject,
      started.then((handle) => handle.result()),
    );
  }

  get<R = unknown>(...target: [id: string] | [def: WorkflowRef<any, R>, id: string]): Handle<R> {
    return testHandle(this.#client.get<R>(...target), this.#clock);
  }

  getRun<R = unknown>(runId: string): Handle<R> {
    return testHandle(this.#client.getRun<R>(runId), this.#clock);
  }

  complete<R>(def: ActivityRef<any, R>, token: string, result: NoInfer<R>): Promise<void> {
    return this.#clock.briefly(() => this.#client.complete(def, token, result));
  }

  fail(token: string, error: Error): Promise<void> {
    return this.#clock.briefly(() => this.#client.fail(token, error));
  }

  list(filter?: Filter): AsyncIterable<RunInfo> {
    return this.#client.list(filter);
  }

  now(): Date {
    return new Date(this.#time.now());
  }

  async advance(by: Duration | Date): Promise<void> {
    this.#checkOpen();
    const limit = this.#timeOf(by, "advance");
    if (!this.#clock.isOutside)
      throw new PerdureError(
        "context_misuse",
        "The clock cannot be moved from within a step, an activity, a mock or a planned call: it waits for them. Use sleep there.",
      );
    if (limit < this.#time.now())
      throw new PerdureError("invalid_argument", `advance was told to move to ${new Date(limit).toISOString()}, which has passed.`);
    await this.#clock.advanceTo(limit);
  }

  sleep(duration: Duration): Promise<void> {
    this.#checkOpen();
    const ms = parseDuration(duration, "the duration of sleep");
    const slept = new Promise<void>((resolve) => void this.#own.setTimer(resolve, ms));
    return this.#clock.waiting({ what: "the end of a sleep" }, slept);
  }

  at(time: Duration | Date, run: () => unknown): void {
    this.#checkOpen();
    const atMs = this.#timeOf(time, "at");
    const what = `what the test has planned for ${new Date(atMs).toISOString()}`;
    this.#own.setTimer(() => void this.#call(what, run), atMs - this.#time.now());
  }

  mock<A extends ActivityRef<any, any>>(
    def: A,
    run: (input: InputOf<A>, io: ActivityContext) => ResultOf<A> | PromiseLike<ResultOf<A>>,
  ): () => void {
    checkKind(def, "activity", "mock", "made by activity(…) or activityRef(…)");
    if (this.#options.activities?.some(({ name }) => name === def.name) !== true)
      throw new PerdureError(
        "invalid_argument",
        `Activity "${def.name}" is not among those that testEngine was given, so nobody would run its mock. Give it there; for a reference, an activity of this name with any code.`,
      );
    return this.#mock(activityKey(def.name), run);
  }

  mockStep(workflow: WorkflowRef<any, any>, step: string, run: (io: StepContext) => unknown): () => void {
    checkKind(workflow, "workflow", "mockStep", "made by workflow(…) or workflowRef(…)");
    return this.#mock(stepKey(workflow.name, step), run);
  }

  async crash(): Promise<void> {
    this.#checkOpen();
    await this.#launched;
    this.#kill();
    await this.#clock.briefly(() => this.#launch());
  }

  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close({ grace = 0 }: CloseOptions): Promise<void> {
    const closed = new PerdureError("closed", "The engine was closed.");
    this.#clock.fail(closed);
    await this.#launched;
    await this.#client.close({ grace: 0 });
    await this.#clock.finish(this.#life.engine?.close({ grace }) ?? Promise.resolve());
    this.#clock.fail(closed);
    this.#guard.close();
    if (this.#unheard !== undefined) throw this.#unheard;
  }

  // Lives of the worker. ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #launch(): Promise<void> {
    this.#launched = this.#begin();
    return this.#launched;
  }

  async #begin(): Promise<void> {
    this.#lives++;
    const life: Life = {
      runtime: this.#time.runtime(`${this.#settings.seed}/worker ${this.#lives}`),
      dead: false,
      engine: undefined,
      look: nothing,
    };
    this.#life = life;
    const backend = testBackend(this.#backend, { isDead: () => life.dead, onWrite: (...write) => this.#onWrite(...write) });
    const options = {
      ...this.#options,
      backend,
      logger: mutedOnDeath(this.#logger, life),
      activities: this.#options.activities?.map((activity) => this.#mockable(activity, life)),
    };
    life.engine = await launchWith(options, life.runtime, {
      unhurried: true,
      guard: { ...this.#guard, close: nothing },
      substitute: (facts, command) => this.#substitute(facts, command, life),
      onWorker: (worker) => (life.look = () => void worker.look()),
    });
  }

  #kill(): void {
    const life = this.#life;
    life.dead = true;
    life.runtime.kill();
    this.#clock.forget(life);
    // What a liveness lock would say at once.
    for (const worker of this.#state.workers.values()) worker.leaseUntil = -Infinity;
  }

  #onWrite(...[side, what]: Parameters<WriteWatch>): void {
    if (side === "after") this.#writes++;
    if (!this.#settings.kills(side, what)) return;
    this.#kill();
    void this.#clock.briefly(() => this.#launch());
  }

  /** What polling would do: hints to everybody, and a look at what nobody tells of. */
  #look(): void {
    this.#life.look();
    for (const listener of this.#state.listeners) listener.onNews(everything);
  }

  // Code of the user's. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #mock(key: string, run: AnyFunction): () => void {
    if (typeof run !== "function") throw new PerdureError("invalid_argument", "A mock must be a function.");
    const before = this.#mocks.get(key);
    this.#mocks.set(key, run);
    return () => {
      if (this.#mocks.get(key) !== run) return;
      if (before === undefined) this.#mocks.delete(key);
      else this.#mocks.set(key, before);
    };
  }

  /** Something that is not an activity is left for `launch` to refuse. */
  #mockable(activity: AnyActivity, owner: Life): AnyActivity {
    if (typeof (activity as Partial<AnyActivity> | undefined)?.run !== "function") return activity;
    const { name } = activity;
    const run = (input: unknown, io: ActivityContext): any => {
      const mock = this.#mocks.get(activityKey(name));
      const code = mock ?? activity.run;
      return this.#clock.run({ what: `activity "${name}"`, owner, holds: mock === undefined }, () => code(input, io));
    };
    return { ...activity, run };
  }

  #substitute(facts: RunFacts, command: BodyCommand, owner: Life): BodyCommand {
    if (command.kind !== "step" && command.kind !== "transaction") return command;
    const { kind, name, number } = command;
    const mock = this.#mocks.get(stepKey(facts.name, name));
    const code = { what: `${kind} "${name}" of workflow "${facts.name}"`, owner, holds: mock === undefined };
    if (command.kind === "step") {
      const run = mock ?? command.run;
      return { ...command, run: (io: StepContext) => this.#clock.run(code, (): unknown => run(io)) };
    }
    const { source } = command;
    if (mock === undefined) {
      const begin: typeof source.run = (work) => this.#clock.run(code, () => source.run(work));
      return { ...command, source: { ...source, use: (transaction) => source.use(transaction), run: begin } };
    }
    const io = fakeStep({ idempotencyKey: `${facts.runId}/${number}` });
    const run = (): unknown => this.#clock.run(code, () => mock(io));
    return {
      ...command,
      run,
      source: {
        ...source,
        use: () => ({ kind: "transaction", connection: undefined, onCommitted: (callback) => callback() }),
        run: (work) => work(undefined),
      },
    };
  }

  /** A link may leave the event loop, for a thread that compresses, where the clock would not see that anything is under way. */
  #holding(link: PayloadCodec): PayloadCodec {
    const held = (direction: "encode" | "decode") => ({
      value: (...args: Parameters<PayloadCodec["encode"]>) => {
        const answer = link[direction](...args);
        return answer instanceof Promise ? this.#clock.briefly(() => answer) : answer;
      },
    });
    return Object.create(link, { encode: held("encode"), decode: held("decode") }) as PayloadCodec;
  }

  async #call(what: string, run: () => unknown): Promise<void> {
    try {
      await this.#clock.run({ what, owner: undefined, holds: true }, run);
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      if (this.#clock.isWanted) this.#clock.fail(error);
      else this.#unheard ??= error;
    }
  }

  // Time. ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #timeOf(time: Duration | Date, method: string): number {
    if (!(time instanceof Date)) return this.#time.now() + parseDuration(time, `the duration of ${method}`);
    if (Number.isNaN(time.getTime())) throw new PerdureError("invalid_argument", `The time of ${method} is an invalid Date.`);
    return time.getTime();
  }

  async #stuck({ what, describe }: Subject): Promise<Error> {
    const info = await describe?.().catch(() => undefined);
    const waits = info?.waitingFor.map(({ kind, name }) => (name === undefined ? kind : `${kind} "${name}"`)) ?? [];
    const parked: string[] = [];
    for await (const run of this.#client.list({ status: "parked", limit: 3 }))
      parked.push(` Run "${run.id}" is parked: ${run.parked?.message}`);
    return new TimeoutError(
      `The test waits for ${what}, and nothing is due that could bring it.${waits.length === 0 ? "" : ` The run waits for ${waits.join(", ")}.`}${parked.join("")} Send what is missing before, or plan it with engine.at(…).`,
    );
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new PerdureError("closed", "The engine was closed. Make another one.");
  }
}

/** A run that is parked waits for other code, which does not come within a test. */
async function hopeless({ describe }: Subject): Promise<Error | undefined> {
  const info = await describe?.().catch(() => undefined);
  if (info?.parked === undefined) return undefined;
  const { code, message, report } = info.parked;
  return new PerdureError(code, `Run "${info.id}" is parked: ${message}${report === undefined ? "" : `\n${report}`}`, {
    details: { id: info.id },
  });
}

function expiryOf(tasks: Iterable<{ readonly expiresAt: number | null }>): number {
  let first = Infinity;
  for (const { expiresAt } of tasks) if (expiresAt !== null && expiresAt < first) first = expiresAt;
  return first;
}

function mutedOnDeath(logger: Logger, life: Life): Logger {
  const level =
    (name: keyof Logger): Logger[keyof Logger] =>
    (message, data) => {
      if (!life.dead) logger[name](message, data);
    };
  return { debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") };
}

const nothing = (): void => undefined;
const activityKey = (name: string): string => JSON.stringify([name]);
const stepKey = (workflow: string, step: string): string => JSON.stringify([workflow, step]);
