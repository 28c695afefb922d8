/**
 * Everything that is not a pure function of its arguments, in one object that is handed down: wall and monotonic time, timers, randomness and the
 * hops of the event loop. The simulator puts virtual time here; nothing outside this room reads a clock by itself.
 */
export interface Runtime {
  /** Wall-clock time in milliseconds since the epoch. May jump; never used for local deadlines. */
  now(): number;
  /** Milliseconds that only grow, for local deadlines and measurements. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`; the returned handle cancels it. Timers of the engine do not keep the process alive unless `keepAlive`. */
  setTimer(callback: () => void, delayMs: number, options?: { readonly keepAlive?: boolean }): TimerHandle;
  /** A number in [0, 1). */
  random(): number;
  /** A fresh UUID: random, and in about the order of its making, which is what keeps the indexes of a store that hold it in cache. */
  uuid(): string;
  /** Calls back when every microtask that is queued now, and every one they queue, has run. */
  drain(callback: () => void): void;
  /** Calls back after the event loop had a chance to do I/O. */
  yieldToLoop(callback: () => void): void;
}

export interface TimerHandle {
  cancel(): void;
}

/** The real thing: this process's clock, timers and randomness. */
export function systemRuntime(): Runtime {
  return {
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    setTimer(callback, delayMs, options) {
      // setTimeout overflows to 1 ms beyond 2^31 - 1: clamp, callers re-check what is due when they wake.
      const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), 2_147_483_647));
      if (options?.keepAlive !== true) timer.unref();
      return { cancel: () => clearTimeout(timer) };
    },
    random: () => Math.random(),
    uuid: uuidSource(),
    // A bare nextTick runs before pending microtasks on some runtimes, and a single microtask runs in the middle of the others.
    drain: (callback) => queueMicrotask(() => process.nextTick(callback)),
    yieldToLoop: (callback) => void setImmediate(callback),
  };
}

/**
 * Makes version 7 UUIDs (RFC 9562) of version 4 ones: the first 48 bits are the time, 74 of the rest stay random. As they are, every start would
 * dirty a page of its own in each index over ids: starts then cost half as much again in CPU and twice the writing.
 */
function uuidSource(): () => string {
  // Kept for as long as the millisecond lasts: hexadecimal digits of a number beyond 32 bits take longer than all the rest of a UUID.
  let prefix = "";
  let prefixMs = Number.NaN;
  return () => {
    const nowMs = Date.now();
    if (nowMs !== prefixMs) {
      const time = nowMs.toString(16).padStart(12, "0");
      prefix = `${time.slice(0, 8)}-${time.slice(8)}-7`;
      prefixMs = nowMs;
    }
    return prefix + crypto.randomUUID().slice(15);
  };
}
