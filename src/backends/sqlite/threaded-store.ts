import { Worker } from "node:worker_threads";
import { everything, hintOf, StoreFailure } from "../../backend/index.js";
import type { Store } from "../../backend/index.js";
import { PerdureError, type ErrorCode } from "../../errors.js";
import type { Runtime } from "../../platform/runtime.js";
import type { SqliteDriverName } from "./driver.js";
import { applyWithin } from "./within.js";
import type { OwnFile } from "./within.js";

/** What the thread is told at its start. */
export interface ThreadOptions {
  readonly path: string;
  readonly synchronous: "full" | "normal";
  readonly waitMaxMs: number;
  readonly driver: SqliteDriverName | undefined;
}

export type Method = Exclude<keyof Store, "kind" | "concurrentApplies" | "now" | "onHint" | "applyWithin">;

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
  | { readonly kind: "open"; readonly file: OwnFile }
  | { readonly kind: "broken"; readonly failure: Failure }
  | { readonly kind: "hint" }
  | { readonly kind: "done"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly failure: Failure };

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The calls that are under way to the thread. */
class ThreadLine {
  readonly #thread: Worker;
  readonly #waiters = new Map<number, Waiter>();
  readonly #listeners = new Set<() => void>();
  #lastId = 0;
  #dead: PerdureError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ThreadOptions) {
    this.#thread = new Worker(new URL("./store-thread.js", import.meta.url), { workerData: options, name: "perdure-sqlite" });
  }

  /** Resolves when the thread has opened its store, with the file that it has opened. */
  open(): Promise<OwnFile> {
    return new Promise((resolve, reject) => {
      this.#thread.on("message", (answer: Answer) => {
        if (answer.kind === "open") resolve(answer.file);
        else if (answer.kind === "broken") {
          void this.#thread.terminate();
          reject(errorOf(answer.failure));
        } else this.#take(answer);
      });
      this.#thread.on("error", (error) => {
        this.#die(error);
        reject(error);
      });
      this.#thread.on("exit", (code) => this.#die(code));
    });
  }

  assertAlive(): void {
    if (this.#dead !== undefined) throw this.#dead;
  }

  call(method: Method, ...args: readonly unknown[]): Promise<never> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    const id = ++this.#lastId;
    return new Promise<never>((resolve, reject) => {
      this.#waiters.set(id, { resolve: resolve as (value: unknown) => void, reject });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      this.#thread.postMessage({ id, method, args } satisfies Call);
    });
  }

  listen(callback: () => void): { stop(): void } {
    this.#listeners.add(callback);
    return { stop: () => void this.#listeners.delete(callback) };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#dead === undefined) await this.call("close");
    this.#dead ??= new PerdureError("closed", "The store was closed.");
    this.#listeners.clear();
    await this.#thread.terminate();
  }

  #take(answer: Exclude<Answer, { readonly kind: "open" | "broken" }>): void {
    if (answer.kind === "hint") {
      for (const listener of this.#listeners) listener();
      return;
    }
    const waiter = this.#waiters.get(answer.id);
    this.#waiters.delete(answer.id);
    if (answer.kind === "done") waiter?.resolve(answer.value);
    else waiter?.reject(errorOf(answer.failure));
  }

  /** A commit that was under way when the thread died may have happened. */
  #die(cause: unknown): void {
    const message = "The thread that runs SQLite has ended. Close this engine and launch again.";
    this.#dead ??= new StoreFailure("backend_failed", message, { outcome: "unknown", transient: false, cause });
    for (const waiter of this.#waiters.values()) waiter.reject(this.#dead);
    this.#waiters.clear();
  }
}

/**
 * A store whose SQLite runs in a thread of its own: a disk that is slow to confirm holds up that thread and not the event loop. Each call costs a trip
 * between threads, some tens of microseconds, which is why it is not the default: where a sync takes 0.2 ms it would be the slower one.
 */
export async function openThreadedStore(runtime: Runtime, options: ThreadOptions): Promise<Store> {
  const line = new ThreadLine(options);
  const file = await line.open();
  return {
    kind: "sqlite",
    concurrentApplies: { max: 2, operationsMin: 24 },
    now: () => runtime.now(),
    apply: (operations) => line.call("apply", operations),
    // The application's connection is of this thread.
    applyWithin: async (transaction, operations) => {
      line.assertAlive();
      return applyWithin(file, runtime.now(), transaction, operations) as never;
    },
    registerWorker: (registration) => line.call("registerWorker", registration),
    pulse: (question) => line.call("pulse", question),
    retireWorker: (worker) => line.call("retireWorker", worker),
    recover: (self) => line.call("recover", self),
    expireTasks: () => line.call("expireTasks"),
    claimRuns: (claim) => line.call("claimRuns", claim),
    reclaimRun: (run) => line.call("reclaimRun", run),
    claimTasks: (claim) => line.call("claimTasks", claim),
    inspectOwned: (worker) => line.call("inspectOwned", worker),
    release: (owned) => line.call("release", owned),
    retryParked: (routes) => line.call("retryParked", routes),
    loadHistory: (range) => line.call("loadHistory", range),
    loadInboxes: (runs) => line.call("loadInboxes", runs),
    findRuns: (targets) => line.call("findRuns", targets),
    readEntries: (wanted) => line.call("readEntries", wanted),
    readChunks: (range) => line.call("readChunks", range),
    readStreamTail: (writer) => line.call("readStreamTail", writer),
    listRuns: (filter) => line.call("listRuns", filter),
    onHint: (callback) => line.listen(() => callback(hintOf(everything))),
    close: () => line.close(),
  };
}

function errorOf({ code, message, outcome, transient }: Failure): PerdureError {
  return outcome === undefined
    ? new PerdureError(code, message)
    : new StoreFailure(code, message, { outcome, transient: transient === true });
}
