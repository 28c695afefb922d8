/** The small numbers in which a batch and its answer are written. */

/** How `apply_1` takes the rows of a batch. */
export const lockModes = {
  /** All at first, in the order of their keys, so that two batches never wait for one another. Waits, at most the lock_timeout. */
  ahead: 1,
  /** All that are free at first; what somebody else has locked is passed over (`locked`, or `deferred` where there is no such outcome). Never waits. */
  free: 2,
} as const;

/** What the functions say of an operation. Turns of which it says nothing were committed as they were asked for, with no more mail than their driver had seen. */
export const outcomeCodes = {
  committed: 0,
  fenced: 1,
  unseenInbox: 2,
  locked: 3,
  started: 4,
  exists: 5,
  sent: 6,
  duplicate: 7,
  notRunning: 8,
  notFound: 9,
  finished: 10,
  gone: 11,
  resumed: 12,
  notParked: 13,
  deferred: 14,
  touched: 15,
  appended: 16,
  terminated: 17,
} as const;

export const operationCodes = { turn: 0, start: 1, send: 2, finish: 3, resume: 4, terminate: 5, touch: 6, append: 7 } as const;

/** What is to become of a run after its turn. An end is its status, 2 and up, plus 1; so is `continued`, the last of them. */
export const nextCodes = { driving: 0, idle: 1, parked: 2, continued: 7 } as const;

/** Whether a start may follow a run of its id that has ended. */
export const reuseCodes = { never: 0, after_failure: 1, always: 2 } as const;
