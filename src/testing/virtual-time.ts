import { DueTimes } from "../core/due-times.js";
import { SeededRandom } from "../core/seeded-random.js";
import { systemRuntime, type Runtime, type TimerHandle } from "../platform/runtime.js";

interface Timer {
  readonly owner: EngineRuntime | undefined;
  readonly callback: () => void;
}

/** The runtime of one engine on a shared virtual clock. */
export interface EngineRuntime extends Runtime {
  /** From now on nothing of this engine ever runs again: what a `kill -9` leaves, as far as one process can show it. */
  kill(): void;
  /** Until `resume` nothing of this engine runs, and then all that has become due meanwhile, as after a SIGSTOP. */
  pause(): void;
  resume(): Promise<void>;
}

/**
 * The real event loop on a clock that moves only when a test says so, and then from timer to timer: nothing sleeps, and nothing depends on how fast the machine is.
 * Several engines share it, each with a runtime of its own.
 */
export interface VirtualTime {
  now(): number;
  /** With a seed, its numbers and UUIDs follow from it; without, the numbers are those of all runtimes without one, and the UUIDs are real ones. */
  runtime(seed?: string): EngineRuntime;
  /** For bodies: until so much time has passed, whatever becomes of the engine meanwhile. */
  sleep(ms: number): Promise<void>;
  /** Lets everything run that does not wait for time. */
  settle(): Promise<void>;
  /** Moves the clock by `ms`, through every timer on the way. */
  advance(ms: number): Promise<void>;
  /** Moves the clock, as far as it needs to go, until the promise has settled. */
  run<T>(promise: Promise<T>): Promise<T>;
  /** Moves the clock until the condition holds. */
  until(condition: () => boolean | Promise<boolean>): Promise<void>;
  /** Moves the clock while no engine is there to notice, as a night does with a machine that is off. */
  skip(ms: number): void;
  /** Something is under way that neither a hop nor a timer shows, such as a question to a server: until it is let go, the clock stands still. */
  hold(): () => void;
  /** How many timers are armed by engines that were not killed. */
  timers(): number;
  /** The time of the next timer; `Infinity` if none is armed. */
  nextAt(): number;
  /** Moves to the next timer that is due by `limit` and calls it; false if there is none. */
  step(limit: number): boolean;
  /** Resolves when an engine next does anything, or has let go of a hold. */
  changed(): Promise<void>;
}

/** Options of {@link virtualTime}. */
export interface VirtualTimeOptions {
  /** Where the clock stands at first, in ms since the epoch. */
  readonly startMs?: number | undefined;
}

const hour = 3_600_000;
/** Rounds of the event loop without a hop of an engine after which nothing but time can move it; store and codec may take some that we do not see. */
const quietRounds = 4;

export function virtualTime({ startMs = Date.UTC(2030, 0, 1) }: VirtualTimeOptions = {}): VirtualTime {
  return new Clock(startMs);
}

class Clock implements VirtualTime {
  readonly startMs: number;
  #nowMs: number;
  #hops = 0;
  #holds = 0;
  #serial = 0;
  #seed = 1;
  readonly #timers = new Map<number, Timer>();
  readonly #due = new DueTimes();
  readonly #real = systemRuntime();
  readonly #onRelease: (() => void)[] = [];
  readonly #onChange: (() => void)[] = [];

  constructor(startMs: number) {
    this.startMs = startMs;
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  runtime(seed?: string): EngineRuntime {
    return createEngineRuntime(this, seed);
  }

  /** The numbers of all runtimes without a seed of their own. */
  random(): number {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#seed / 2 ** 32;
  }

  /** Calls back by way of the real event loop, and until then something is under way. */
  hop(way: "drain" | "yieldToLoop", callback: () => void): void {
    this.#hops++;
    this.#change();
    this.#real[way](() => {
      this.#hops--;
      callback();
    });
  }

  arm(owner: EngineRuntime | undefined, callback: () => void, delayMs: number): () => void {
    // What is to happen after an infinite time never does, and is nothing that the clock could move to.
    if (delayMs === Infinity) return () => undefined;
    const serial = ++this.#serial;
    this.#timers.set(serial, { owner, callback });
    // In whole milliseconds, as the clocks of processes and databases show them: a fraction would be cut off by some of them, and rounded by others.
    this.#due.add(serial, Math.ceil(this.#nowMs + Math.max(0, delayMs)));
    this.#change();
    return () => this.#disarm(serial);
  }

  disarmAllOf(owner: EngineRuntime): void {
    for (const [serial, timer] of this.#timers) if (timer.owner === owner) this.#disarm(serial);
  }

  timers(): number {
    return this.#timers.size;
  }

  nextAt(): number {
    return this.#due.first()?.dueAt ?? Infinity;
  }

  step(limit: number): boolean {
    const next = this.#due.first();
    if (next === undefined || next.dueAt > limit) return false;
    const timer = this.#timers.get(next.number);
    this.#disarm(next.number);
    this.#nowMs = Math.max(this.#nowMs, next.dueAt);
    timer?.callback();
    return true;
  }

  hold(): () => void {
    let isHeld = true;
    this.#holds++;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds--;
      this.#change();
      if (this.#holds === 0) for (const resolve of this.#onRelease.splice(0)) resolve();
    };
  }

  changed(): Promise<void> {
    return new Promise((resolve) => void this.#onChange.push(resolve));
  }

  async settle(): Promise<void> {
    for (let quiet = 0; quiet < quietRounds; quiet = this.#hops > 0 || this.#holds > 0 ? 0 : quiet + 1) {
      if (this.#holds > 0) await new Promise<void>((resolve) => void this.#onRelease.push(resolve));
      await new Promise<void>((resolve) => this.#real.yieldToLoop(resolve));
    }
  }

  async advance(ms: number): Promise<void> {
    const limit = this.#nowMs + ms;
    await this.settle();
    while (this.step(limit)) await this.settle();
    this.#nowMs = limit;
    await this.settle();
  }

  async run<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    await this.until(() => settled);
    return promise;
  }

  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    const limit = this.#nowMs + 3 * hour;
    for (;;) {
      await this.settle();
      if (await condition()) return;
      if (this.#nowMs > limit) throw new Error("what the test waits for has not happened within three hours of virtual time");
      this.step(limit + hour);
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.arm(undefined, resolve, ms));
  }

  skip(ms: number): void {
    this.#nowMs += ms;
  }

  #disarm(serial: number): void {
    if (this.#timers.delete(serial)) this.#due.remove(serial);
  }

  #change(): void {
    if (this.#onChange.length > 0) for (const resolve of this.#onChange.splice(0)) resolve();
  }
}

/** One engine's view of the clock. It stands still or dies alone. */
function createEngineRuntime(clock: Clock, seed: string | undefined): EngineRuntime {
  const random = seed === undefined ? undefined : new SeededRandom(seed);
  const real = systemRuntime();
  let dead = false;
  let paused: { readonly hops: (() => void)[]; readonly timers: (() => void)[] } | undefined;
  const call = (callback: () => void, kind: "hops" | "timers"): void => {
    if (paused !== undefined) paused[kind].push(callback);
    else if (!dead) callback();
  };
  const hop = (way: "drain" | "yieldToLoop", callback: () => void): void => {
    if (!dead) clock.hop(way, () => call(callback, "hops"));
  };
  const runtime: EngineRuntime = {
    now: () => clock.now(),
    monotonicMs: () => clock.now() - clock.startMs,
    setTimer(callback, delayMs): TimerHandle {
      if (dead) return { cancel: () => undefined };
      let cancelled = false;
      const ring = (): void => void (cancelled || callback());
      const disarm = clock.arm(runtime, () => call(ring, "timers"), delayMs);
      return {
        cancel: () => {
          // Also one that has rung while its engine was paused, and was not heard.
          cancelled = true;
          disarm();
        },
      };
    },
    random: () => random?.next() ?? clock.random(),
    uuid: () => random?.uuid() ?? real.uuid(),
    drain: (callback) => hop("drain", callback),
    yieldToLoop: (callback) => hop("yieldToLoop", callback),
    pause() {
      paused = { hops: [], timers: [] };
    },
    async resume() {
      const missed = paused;
      paused = undefined;
      // What was about to run comes before timers, in the order of a real event loop: an engine may act before it finds that its lease is gone.
      for (const callback of missed?.hops ?? []) call(callback, "hops");
      await new Promise<void>((resolve) => real.yieldToLoop(resolve));
      for (const callback of missed?.timers ?? []) call(callback, "timers");
    },
    kill() {
      dead = true;
      clock.disarmAllOf(runtime);
    },
  };
  return runtime;
}
