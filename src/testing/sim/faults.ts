import type { Prng } from "./prng.js";
import type { Tally } from "./tally.js";

/**
 * How often what goes wrong, drawn anew for each seed with some kinds left out altogether (swarm testing): a fault that is always there hides the bugs
 * that need its absence.
 */
export interface FaultRates {
  /** The call fails and nothing was written. */
  readonly failBefore: number;
  /** The call is done, and its reply is lost. */
  readonly lostReply: number;
  /** The reply is lost first, and the call is done later. */
  readonly lateApply: number;
  /** Single members of a batch answer `locked`. */
  readonly locked: number;
  /** The process dies with a write in flight. */
  readonly crashInWrite: number;
  /** Requests and replies that take long. */
  readonly slow: number;
  readonly hintDropped: number;
  readonly hintDoubled: number;
  readonly hintDelayed: number;
}

export const noFaults: FaultRates = {
  failBefore: 0,
  lostReply: 0,
  lateApply: 0,
  locked: 0,
  crashInWrite: 0,
  slow: 0,
  hintDropped: 0,
  hintDoubled: 0,
  hintDelayed: 0,
};

export function drawFaultRates(prng: Prng): FaultRates {
  const rate = (low: number, high: number): number => (prng.chance(0.5) ? prng.logarithmic(low, high) : 0);
  return {
    failBefore: rate(0.003, 0.2),
    lostReply: rate(0.003, 0.15),
    lateApply: rate(0.003, 0.1),
    locked: rate(0.01, 0.3),
    crashInWrite: rate(0.002, 0.02),
    slow: rate(0.01, 0.3),
    hintDropped: prng.chance(0.2) ? 1 : rate(0.05, 0.6),
    hintDoubled: rate(0.05, 0.5),
    hintDelayed: rate(0.05, 0.5),
  };
}

/** What becomes of one call to the store. */
export interface Fate {
  readonly fault: "none" | "failBefore" | "lostReply" | "lateApply";
  readonly crash: "none" | "beforeApply" | "afterApply";
  readonly requestMs: number;
  readonly replyMs: number;
  readonly lateMs: number;
}

/** Draws fates. Switched off by `heal`. */
export interface Faults {
  readonly healed: boolean;
  fate(write: boolean): Fate;
  /** Is this member of a batch to be refused as locked? */
  locked(): boolean;
  /** After how many ms a hint arrives, once for each time that it does. */
  hint(): readonly number[];
  /** All calls fail until then (virtual ms). */
  outageUntilMs: number;
  heal(): void;
}

export function createFaults(prng: Prng, drawn: FaultRates, tally: Tally, nowMs: () => number): Faults {
  let rates = drawn;
  let healed = false;
  const hits = (rate: number, name: string): boolean => {
    if (rate === 0 || !prng.chance(rate)) return false;
    tally.count(name);
    return true;
  };
  const latency = (): number =>
    rates.slow > 0 && prng.chance(rates.slow) ? prng.logarithmic(5, 1500) : prng.chance(0.5) ? 0 : prng.next() * 2;
  const faults: Faults = {
    outageUntilMs: 0,
    get healed() {
      return healed;
    },
    fate(write) {
      const times = { requestMs: latency(), replyMs: latency(), lateMs: prng.logarithmic(1, 5000) };
      if (nowMs() < faults.outageUntilMs) {
        tally.count("outageCall");
        return { fault: "failBefore", crash: "none", ...times };
      }
      const crash = write && hits(rates.crashInWrite, "crashInWrite") ? (prng.chance(0.5) ? "beforeApply" : "afterApply") : "none";
      if (hits(rates.failBefore, "failBefore")) return { fault: "failBefore", crash, ...times };
      if (hits(rates.lostReply, "lostReply")) return { fault: "lostReply", crash, ...times };
      if (write && hits(rates.lateApply, "lateApply")) return { fault: "lateApply", crash, ...times };
      return { fault: "none", crash, ...times };
    },
    locked: () => hits(rates.locked, "locked"),
    hint() {
      if (hits(rates.hintDropped, "hintDropped")) return [];
      const delay = (): number => (hits(rates.hintDelayed, "hintDelayed") ? prng.logarithmic(10, 3000) : prng.next());
      return hits(rates.hintDoubled, "hintDoubled") ? [delay(), delay()] : [delay()];
    },
    heal() {
      healed = true;
      rates = noFaults;
      faults.outageUntilMs = 0;
    },
  };
  return faults;
}
