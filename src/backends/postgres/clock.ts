import type { Runtime } from "../../platform/runtime.js";

/**
 * What this process knows of the database's clock. An answer that says t was on the server between question and receipt: so the clock, seen from here, is
 * at least t at the receipt and at most t at the question. The estimate stays between the two bounds of every answer and begins at the lower one, for a
 * timer that fires before its time cannot be undone, while one that fires late by a round trip is nothing.
 */
export interface DatabaseClock {
  now(): number;
  /** An answer with the server's time, between these two moments (monotonic). */
  enter(askedMs: number, receivedMs: number, time: number): void;
  /** Asks the server. */
  measure(): Promise<void>;
}

/** The two clocks drift apart, and a machine that slept may have stopped one of them. */
const freshMs = 30_000;

/** @param ask for the server's time; called when the estimate has become old */
export function databaseClock(runtime: Runtime, ask: () => Promise<number>): DatabaseClock {
  let offsetMs: number | undefined;
  let measuredMs = 0;
  let isAsking = false;

  const enter = (askedMs: number, receivedMs: number, time: number): void => {
    const [least, most] = [time - receivedMs, time - askedMs];
    offsetMs = offsetMs === undefined ? least : Math.min(most, Math.max(least, offsetMs));
    measuredMs = receivedMs;
  };
  const measure = async (): Promise<void> => {
    const asked = runtime.monotonicMs();
    const time = await ask();
    enter(asked, runtime.monotonicMs(), time);
  };
  return {
    now() {
      const monotonicMs = runtime.monotonicMs();
      if (monotonicMs - measuredMs > freshMs && !isAsking && offsetMs !== undefined) {
        isAsking = true;
        // Without an answer the old estimate is the best there is.
        measure()
          .catch(() => undefined)
          .finally(() => (isAsking = false));
      }
      return Math.floor(monotonicMs + (offsetMs ?? 0));
    },
    enter,
    measure,
  };
}
