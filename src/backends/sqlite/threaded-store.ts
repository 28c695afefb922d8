import { Worker } from "node:worker_threads";
import { StoreFailure } from "../../backend/index.js";
import type { Store } from "../../backend/index.js";
import { PerdureError, type ErrorCode } from "../../errors.js";
import type { Runtime } from "../../platform/runtime.js";
import type { SqliteDriverName } from "./driver.js";

/** What the thread is told at its start. */
export interface ThreadOptions {
  readonly path: string;
  readonly synchronous: "full" | "normal";
  readonly waitMaxMs: number;
  readonly driver: SqliteDriverName | undefined;
}

export type Method = Exclude<keyof Store, "kind" | "now" | "onHint">;

export interface Call {
  readonly id: number;
  readonly method: Method;
  readonly args: readonly unknown[];
}

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly outcome?: "none" | "unknown";
  readonly transient?: boolean;
}

export type Answer =
  | { readonly kind: "open" }
  | { readonly kind: "broken"; readonly failure: Failure }
  | { readonly kind: "hint" }
  | { readonly kind: "done"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly failure: Failure };

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A store whose SQLite runs in a thread of its own: a disk that is slow to confirm holds up that thread and not the event loop. Each call costs a trip
 * between threads, some tens of microseconds, which is why it is not the default: where a sync takes 0.2 ms it would be the slower one.
 */
export function openThreadedStore(runtime: Runtime, options: ThreadOptions): Promise<Store> {
  const thread = new Worker(new URL("./store-thread.js", import.meta.url), { workerData: options, name: "perdure-sqlite" });
  const waiters = new Map<number, Waiter>();
  const listeners = new Set<() => void>();
  let lastId = 0;
  let dead: PerdureError | undefined;

  const call = (method: Method, ...args: readonly unknown[]): Promise<never> => {
    if (dead !== undefined) return Promise.reject(dead);
    const id = ++lastId;
    return new Promise<never>((resolve, reject) => {
      waiters.set(id, { resolve: resolve as (value: unknown) => void, reject });
      thread.postMessage({ id, method, args } satisfies Call);
    });
  };

  // A commit that was under way when the thread died may have happened.
  const die = (cause: unknown): void => {
    dead ??= new StoreFailure("backend_failed", "The thread that runs SQLite has ended. Close this engine and launch again.", { outcome: "unknown", transient: false, cause });
    for (const waiter of waiters.values()) waiter.reject(dead);
    waiters.clear();
  };

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    if (dead === undefined) await call("close");
    dead ??= new PerdureError("closed", "The store was closed.");
    listeners.clear();
    await thread.terminate();
  };

  const store: Store = {
    kind: "sqlite",
    now: () => runtime.now(),
    apply: (operations) => call("apply", operations),
    registerWorker: (registration) => call("registerWorker", registration),
    renewLease: (lease) => call("renewLease", lease),
    retireWorker: (worker) => call("retireWorker", worker),
    recover: (self) => call("recover", self),
    claimRuns: (claim) => call("claimRuns", claim),
    reclaimRun: (run) => call("reclaimRun", run),
    claimTasks: (claim) => call("claimTasks", claim),
    inspectOwned: (worker) => call("inspectOwned", worker),
    release: (owned) => call("release", owned),
    retryParked: (names) => call("retryParked", names),
    loadHistory: (range) => call("loadHistory", range),
    loadInboxes: (runs) => call("loadInboxes", runs),
    findRuns: (targets) => call("findRuns", targets),
    listRuns: (filter) => call("listRuns", filter),
    onHint: (callback) => {
      listeners.add(callback);
      return { stop: () => void listeners.delete(callback) };
    },
    close: () => (closing ??= close()),
  };

  return new Promise((resolve, reject) => {
    thread.on("message", (answer: Answer) => {
      switch (answer.kind) {
        case "open":
          return resolve(store);
        case "broken":
          void thread.terminate();
          return reject(errorOf(answer.failure));
        case "hint":
          for (const listener of listeners) listener();
          return;
        default: {
          const waiter = waiters.get(answer.id);
          waiters.delete(answer.id);
          return answer.kind === "done" ? waiter?.resolve(answer.value) : waiter?.reject(errorOf(answer.failure));
        }
      }
    });
    thread.on("error", (error) => {
      die(error);
      reject(error);
    });
    thread.on("exit", die);
  });
}

function errorOf({ code, message, outcome, transient }: Failure): PerdureError {
  return outcome === undefined ? new PerdureError(code, message) : new StoreFailure(code, message, { outcome, transient: transient === true });
}
