import type { Runtime } from "../../platform/runtime.js";

/**
 * What this process knows of the database's clock. An answer that says t was on the server between question and receipt, so the clock, seen from here, is
 * at least t at the receipt and at most t at the question. The estimate stays between the bounds of every answer and begins at the lower one: a timer that
 * fires early cannot be undone, one that fires late by a round trip is nothing.
 */
export interface DatabaseClock {
  now(): number;
  /** Notes an answer: `timeMs` was on the server between `askedMs` and now, both on the monotonic clock of this process. */
  note(timeMs: number, askedMs: number): void;
}

export function databaseClock(runtime: Runtime): DatabaseClock {
  let offsetMs: number | undefined;
  return {
    now: () => Math.floor(runtime.monotonicMs() + (offsetMs ?? 0)),
    note(timeMs, askedMs) {
      const [least, most] = [timeMs - runtime.monotonicMs(), timeMs - askedMs];
      offsetMs = offsetMs === undefined ? least : Math.min(most, Math.max(least, offsetMs));
    },
  };
}
