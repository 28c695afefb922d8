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
  /** Runs a query that answers with the server's time among others. */
  measure<Answer>(ask: () => Promise<Answer>, timeOf: (answer: Answer) => number): Promise<Answer>;
}

export function databaseClock(runtime: Runtime): DatabaseClock {
  let offsetMs: number | undefined;
  const enter = (askedMs: number, receivedMs: number, time: number): void => {
    const [least, most] = [time - receivedMs, time - askedMs];
    offsetMs = offsetMs === undefined ? least : Math.min(most, Math.max(least, offsetMs));
  };
  return {
    now: () => Math.floor(runtime.monotonicMs() + (offsetMs ?? 0)),
    enter,
    async measure(ask, timeOf) {
      const asked = runtime.monotonicMs();
      const answer = await ask();
      enter(asked, runtime.monotonicMs(), timeOf(answer));
      return answer;
    },
  };
}
