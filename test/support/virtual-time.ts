import type { Runtime, TimerHandle } from "../../src/platform/runtime.js";

interface Timer {
  readonly at: number;
  readonly owner: EngineRuntime;
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
  runtime(): EngineRuntime;
  /** Lets everything run that does not wait for time. */
  settle(): Promise<void>;
  /** Moves the clock by `ms`, through every timer on the way. */
  advance(ms: number): Promise<void>;
  /** Moves the clock, as far as it needs to go, until the promise has settled. */
  run<T>(promise: Promise<T>): Promise<T>;
  /** Moves the clock until the condition holds. */
  until(condition: () => boolean | Promise<boolean>): Promise<void>;
  /** For bodies: until so much time has passed, whatever becomes of the engine meanwhile. */
  sleep(ms: number): Promise<void>;
  /** Moves the clock while no engine is there to notice, as a night does with a machine that is off. */
  skip(ms: number): void;
  /** Something is under way that neither a hop nor a timer shows, such as a question to a server: until it is let go, the clock stands still. */
  hold(): () => void;
  /** How many timers are armed by engines that were not killed. */
  timers(): number;
}

const startMs = Date.UTC(2030, 0, 1);
const hour = 3_600_000;
/** Rounds of the event loop without a hop of an engine after which nothing but time can move it; store and codec may take some that we do not see. */
const quietRounds = 4;

export function virtualTime(): VirtualTime {
  let nowMs = startMs;
  let hops = 0;
  let holds = 0;
  const onRelease: (() => void)[] = [];
  let seed = 1;
  const timers = new Set<Timer>();

  const random = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  const createRuntime = (): EngineRuntime => {
    let dead = false;
    let paused: { readonly hops: (() => void)[]; readonly timers: (() => void)[] } | undefined;
    const call = (callback: () => void, kind: "hops" | "timers"): void => {
      if (paused !== undefined) paused[kind].push(callback);
      else if (!dead) callback();
    };
    const hop = (later: (call: () => void) => void, callback: () => void): void => {
      if (dead) return;
      hops++;
      later(() => {
        hops--;
        call(callback, "hops");
      });
    };
    const runtime: EngineRuntime = {
      now: () => nowMs,
      monotonicMs: () => nowMs - startMs,
      setTimer(callback, delayMs): TimerHandle {
        if (dead) return { cancel: () => undefined };
        let cancelled = false;
        const ring = (): void => void (cancelled || callback());
        const timer = { at: nowMs + Math.max(0, delayMs), owner: runtime, callback: () => call(ring, "timers") };
        timers.add(timer);
        return {
          cancel: () => {
            // Also one that has rung while its engine was paused, and was not heard.
            cancelled = true;
            timers.delete(timer);
          },
        };
      },
      random,
      uuid: () => crypto.randomUUID(),
      drain: (callback) => hop((later) => queueMicrotask(() => process.nextTick(later)), callback),
      yieldToLoop: (callback) => hop((later) => void setImmediate(later), callback),
      pause() {
        paused = { hops: [], timers: [] };
      },
      async resume() {
        const missed = paused;
        paused = undefined;
        // What was about to run comes before timers, in the order of a real event loop: an engine may act before it finds that its lease is gone.
        for (const callback of missed?.hops ?? []) call(callback, "hops");
        await new Promise((resolve) => void setImmediate(resolve));
        for (const callback of missed?.timers ?? []) call(callback, "timers");
      },
      kill() {
        dead = true;
        for (const timer of timers) if (timer.owner === runtime) timers.delete(timer);
      },
    };
    return runtime;
  };

  const world = createRuntime();
  const hold = (): (() => void) => {
    let isHeld = true;
    holds++;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      if (--holds > 0) return;
      for (const resolve of onRelease.splice(0)) resolve();
    };
  };
  const settle = async (): Promise<void> => {
    for (let quiet = 0; quiet < quietRounds; quiet = hops > 0 || holds > 0 ? 0 : quiet + 1) {
      if (holds > 0) await new Promise<void>((resolve) => void onRelease.push(resolve));
      await new Promise((resolve) => void setImmediate(resolve));
    }
  };
  /** Fires the next timer that is due by `limit`; false if there is none. */
  const step = (limit: number): boolean => {
    let next: Timer | undefined;
    for (const timer of timers) if (next === undefined || timer.at < next.at) next = timer;
    if (next === undefined || next.at > limit) return false;
    timers.delete(next);
    nowMs = Math.max(nowMs, next.at);
    next.callback();
    return true;
  };
  const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
    const limit = nowMs + 3 * hour;
    for (;;) {
      await settle();
      if (await condition()) return;
      if (nowMs > limit) throw new Error("what the test waits for has not happened within three hours of virtual time");
      step(limit + hour);
    }
  };

  return {
    now: () => nowMs,
    runtime: createRuntime,
    settle,
    async advance(ms) {
      const limit = nowMs + ms;
      await settle();
      while (step(limit)) await settle();
      nowMs = limit;
      await settle();
    },
    async run(promise) {
      let settled = false;
      const mark = (): void => void (settled = true);
      promise.then(mark, mark);
      await until(() => settled);
      return promise;
    },
    until,
    sleep: (ms) => new Promise((resolve) => void world.setTimer(resolve, ms)),
    skip(ms) {
      nowMs += ms;
    },
    hold,
    timers: () => timers.size,
  };
}
