/** When the virtual clock of a test engine moves. What decides is here; what moves it is `virtual-time.ts`. */
import type { RunInfo } from "../api/types.js";
import { callContext } from "../platform/call-context.js";
import { systemRuntime } from "../platform/runtime.js";
import type { VirtualTime } from "./virtual-time.js";
import { WaitingPromise } from "./waiting-promise.js";

export interface TestClockOptions {
  readonly time: VirtualTime;
  /** How long, in ms of real time, code that is not ours may take before the clock moves on without it. */
  readonly patienceMs: number;
  /** When the store next has something to do that no timer of the engine's stands for; `Infinity` if never. */
  readonly storeDueAt: () => number;
  /** How often the store has been written to. */
  readonly writes: () => number;
  /** Has the engine look for what it was not told of. */
  readonly look: () => void;
  /** The error for somebody who waits for what will never happen. */
  readonly stuck: (subject: Subject) => Promise<Error>;
  /** Why there is no point in waiting any longer, if there is none. */
  readonly hopeless: (subject: Subject) => Promise<Error | undefined>;
  readonly warn: (message: string) => void;
}

/** What somebody waits for: `the result of run "17"`, and how that run is, if it is one. */
export interface Subject {
  readonly what: string;
  readonly describe?: (() => Promise<RunInfo>) | undefined;
}

/** Code of the user's that runs outside of any turn: the body of a step or activity, or something planned for a time. */
export interface ForeignCode {
  readonly what: string;
  /** Whose death it does not survive. */
  readonly owner: object | undefined;
  /** Does the clock wait for it? Not for mocks: they take no time, or time of the clock. */
  readonly holds: boolean;
}

interface Running extends ForeignCode {
  /** How often it waits for the clock at the moment. */
  naps: number;
  /** How much of the patience it has used up. */
  slices: number;
}

/** Somebody who wants the clock to move. */
interface Goal {
  /** As far as this; `Infinity`: until they say that it is enough. */
  readonly limit: number;
  readonly sinceMs: number;
  readonly subject: Subject | undefined;
  readonly reached: () => void;
  readonly fail: (error: Error) => void;
}

/** One for all clocks: Node 20 never lets go of one that was used, and each makes every promise of the process dearer. */
const context = callContext<Running>();
/** Patience is used up in slices, each of which needs the event loop to come round: a process that got no CPU has not been patient. */
const slicesMax = 50;
/** Whoever waits this long for an end waits for something that goes on for ever. */
const waitMaxMs = 10 * 365.25 * 24 * 3_600_000;

export class TestClock {
  readonly #options: TestClockOptions;
  readonly #real = systemRuntime();
  readonly #running = new Set<Running>();
  readonly #goals = new Set<Goal>();
  #isDriving = false;
  #lookedAt = -1;
  #warned = false;
  /** Raised with everything that the clock takes account of, besides what the engine does. */
  #version = 0;
  #onChange: () => void = () => undefined;

  constructor(options: TestClockOptions) {
    this.#options = options;
  }

  /** Runs code that is not ours, and knows until it has settled that it is running. */
  run<T>(code: ForeignCode, call: () => T): T {
    const running: Running = { ...code, naps: 0, slices: 0 };
    this.#running.add(running);
    const end = (): void => {
      if (this.#running.delete(running)) this.#touch();
    };
    try {
      const value = context.run(running, call);
      if (isThenable(value)) Promise.resolve(value).then(end, end);
      else end();
      return value;
    } catch (error) {
      end();
      throw error;
    }
  }

  /** Whatever runs of this owner has ended with it. */
  forget(owner: object): void {
    for (const one of this.#running) if (one.owner === owner) this.#running.delete(one);
    this.#touch();
  }

  /** Is it code of the test's own that calls, and not one that the clock waits for? */
  get isOutside(): boolean {
    return this.#caller === undefined;
  }

  /** For as long as this is awaited, the clock moves by itself. */
  waiting<T>(subject: Subject, promise: Promise<T>): Promise<T> {
    const caller = this.#caller;
    // Whoever is waited for cannot move the clock, and must not hold it either.
    if (caller !== undefined) return this.#nap(caller, promise);
    return new WaitingPromise<T>(promise, (fail) => {
      const goal: Goal = { limit: Infinity, sinceMs: this.#options.time.now(), subject, reached: () => undefined, fail };
      const drop = (): void => this.#drop(goal);
      promise.then(drop, drop);
      this.#pursue(goal);
    });
  }

  /** While this is under way the clock stands still: it needs no time. */
  async briefly<T>(call: () => Promise<T>): Promise<T> {
    const release = this.#options.time.hold();
    try {
      return await call();
    } finally {
      release();
    }
  }

  /** Moves the clock to a time, through everything that is due until then. */
  advanceTo(limit: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pursue({ limit, sinceMs: this.#options.time.now(), subject: undefined, reached: resolve, fail: reject });
    });
  }

  /** Moves the clock for as long as this takes, whether anybody awaits it or not. */
  async finish<T>(promise: Promise<T>): Promise<T> {
    return await this.waiting({ what: "the end" }, promise);
  }

  /** Fails everybody who has the clock moved. */
  fail(error: Error): void {
    for (const goal of this.#goals) this.#failed(goal, error);
  }

  /** Does anybody have the clock moved now? */
  get isWanted(): boolean {
    return this.#goals.size > 0;
  }

  get #caller(): Running | undefined {
    const running = context.current();
    return running !== undefined && this.#running.has(running) ? running : undefined;
  }

  async #nap<T>(running: Running, promise: Promise<T>): Promise<T> {
    running.naps++;
    this.#touch();
    try {
      return await promise;
    } finally {
      running.naps--;
    }
  }

  #pursue(goal: Goal): void {
    this.#goals.add(goal);
    this.#touch();
    if (this.#isDriving) return;
    this.#isDriving = true;
    void this.#drive();
  }

  #drop(goal: Goal): void {
    if (this.#goals.delete(goal)) this.#touch();
  }

  #failed(goal: Goal, error: Error): void {
    this.#drop(goal);
    goal.fail(error);
  }

  async #drive(): Promise<void> {
    try {
      for (;;) {
        await this.#quiet();
        if (this.#goals.size === 0) return;
        const limit = Math.min(...[...this.#goals].map((goal) => goal.limit));
        if (this.#step(limit)) continue;
        if (limit === Infinity) await this.#idle();
        else this.#arrive(limit);
      }
    } catch (error) {
      this.fail(error as Error);
    } finally {
      this.#isDriving = false;
    }
  }

  /** Until nothing happens any more that needs no time. */
  async #quiet(): Promise<void> {
    const { time, writes, look } = this.#options;
    for (;;) {
      await time.settle();
      if (writes() !== this.#lookedAt) {
        this.#lookedAt = writes();
        look();
        continue;
      }
      const holding = [...this.#running].find((one) => one.holds && one.naps === 0 && one.slices < slicesMax);
      if (holding === undefined) return;
      if (!(await this.#change(this.#version, this.#options.patienceMs / slicesMax))) holding.slices++;
    }
  }

  /** Moves to what is due next, if that is by `limit`. */
  #step(limit: number): boolean {
    const { time, storeDueAt } = this.#options;
    const storeAt = storeDueAt();
    const nextAt = Math.min(time.nextAt(), storeAt);
    if (nextAt > limit || nextAt === Infinity) return false;
    for (const goal of this.#goals) if (nextAt - goal.sinceMs > waitMaxMs && goal.limit === Infinity) this.#failed(goal, tooLong(goal));
    if (this.#goals.size === 0) return true;
    if (time.step(Math.min(nextAt, storeAt))) return true;
    time.skip(Math.max(0, storeAt - time.now()));
    this.#lookedAt = -1;
    return true;
  }

  #arrive(limit: number): void {
    const { time } = this.#options;
    time.skip(Math.max(0, limit - time.now()));
    for (const goal of this.#goals) {
      if (goal.limit > limit) continue;
      this.#drop(goal);
      goal.reached();
    }
  }

  /** Time alone moves nothing: only code of the user's can, or the test itself. */
  async #idle(): Promise<void> {
    const version = this.#version;
    for (const goal of this.#goals) {
      const error = goal.subject === undefined ? undefined : await this.#options.hopeless(goal.subject);
      if (error !== undefined) this.#failed(goal, error);
    }
    for (let slice = 0; slice < slicesMax; slice++) if (await this.#change(version, this.#options.patienceMs / slicesMax)) return;
    const [running] = this.#running;
    if (running === undefined) {
      for (const goal of this.#goals) this.#failed(goal, await this.#options.stuck(goal.subject ?? { what: "the clock" }));
      return;
    }
    if (!this.#warned)
      this.#options.warn(`The test waits for ${running.what}, which has not ended, and nothing is due that could change that.`);
    this.#warned = true;
    await this.#change(version, Infinity);
  }

  #touch(): void {
    this.#version++;
    this.#onChange();
  }

  /** Until anything has happened since this version, or for so long in real time; says whether anything has. */
  async #change(version: number, realMs: number): Promise<boolean> {
    if (version !== this.#version) return true;
    let timer: { cancel(): void } | undefined;
    const changed = new Promise<boolean>((resolve) => {
      this.#onChange = () => resolve(true);
      void this.#options.time.changed().then(() => resolve(true));
      if (realMs !== Infinity) timer = this.#real.setTimer(() => resolve(false), realMs, { keepAlive: true });
    });
    const has = await changed;
    timer?.cancel();
    return has;
  }
}

function tooLong(goal: Goal): Error {
  return new Error(`The test waits for ${goal.subject?.what ?? "something"}, which has not come within 10 years of its clock.`);
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
