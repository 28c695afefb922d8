// The one table of defaults.

/** How steps and activities are retried unless they say otherwise. Workflows are not retried. */
export const retryDefaults = {
  /** The first attempt counts. */
  attempts: 5,
  backoffMs: 1000,
  factor: 2,
  maxBackoffMs: 60_000,
  /** A wait is shortened by up to this part of it, at random, so that many failures do not come back at one moment. */
  jitter: 0.2,
} as const;

/** From this many lines of history on, `ctx.info.continueSuggested` is true. */
export const historySuggestContinue = 4096;

/** From this many lines on a run is parked: replaying it would take longer than anybody wants to wait. */
export const historyEventsMax = 51_200;

/** A run or task that ended its process this many times in a row is poisoned. */
export const crashesMax = 5;

/** The queue of everything that names none. */
export const defaultQueue = "default";
