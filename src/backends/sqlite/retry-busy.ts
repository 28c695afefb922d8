import type { Runtime } from "../../platform/runtime.js";
import { isSqliteError } from "./sqlite-error.js";

export type BusyRuntime = Pick<Runtime, "monotonicMs" | "random" | "setTimer" | "yieldToLoop">;

/** Up to here, try on every turn of the event loop: most transactions are shorter. */
const eagerMs = 1;
/** Up to here, the lock is probably contended by processes that stand back for each other; beyond, somebody keeps it. */
const contendedMs = 200;

/**
 * When to try for a busy lock again. SQLite's own busy_timeout is never used: it blocks the event loop, and of two processes that wait in it one starves.
 * A waiter has to come round within the few milliseconds for which a busy writer stands back; backing off exponentially would make it miss them all.
 */
export function retryLater(runtime: BusyRuntime, waitedMs: number, attempt: () => void): { cancel(): void } {
  if (waitedMs < eagerMs) {
    let cancelled = false;
    runtime.yieldToLoop(() => {
      if (!cancelled) attempt();
    });
    return { cancel: () => void (cancelled = true) };
  }
  const delayMs = waitedMs < contendedMs ? 1 : 8;
  return runtime.setTimer(attempt, delayMs * (1 + runtime.random()), { keepAlive: true });
}

/** Runs something that takes a lock until it is not busy any more, at most `waitMaxMs` long; then its last error is thrown. */
export function retryBusy<T>(runtime: BusyRuntime, waitMaxMs: number, action: () => T): Promise<T> {
  const startedMs = runtime.monotonicMs();
  return new Promise<T>((resolve, reject) => {
    const attempt = (): void => {
      try {
        resolve(action());
      } catch (error) {
        const waitedMs = runtime.monotonicMs() - startedMs;
        if (isSqliteError(error, "SQLITE_BUSY") && waitedMs < waitMaxMs) retryLater(runtime, waitedMs, attempt);
        else reject(error);
      }
    };
    attempt();
  });
}
