import type { Outcome } from "./operations.js";

/** Has the process that asked for it a run to drive by this? */
export function givesWork(outcome: Outcome): boolean {
  switch (outcome.status) {
    case "started":
      return outcome.owned;
    case "sent":
    case "finished":
      return outcome.claimed !== null;
    default:
      return false;
  }
}

/** Work that comes after so long a rest is news: the pulses of the others have become rare by then. */
const restMs = 2000;

/**
 * When a process takes work in hand after a rest. Others are told when it begins, and not of all of it: from then on they look whether the process lives.
 */
export class WorkBeginnings {
  readonly #monotonicMs: () => number;
  #workedMs = -Infinity;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** There is work in hand. True: that is news. */
  note(): boolean {
    const nowMs = this.#monotonicMs();
    const isNews = nowMs - this.#workedMs > restMs;
    this.#workedMs = nowMs;
    return isNews;
  }
}
