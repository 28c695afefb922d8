/**
 * Write transactions of one process, one after the other: `BEGIN IMMEDIATE`, a synchronous body, `COMMIT`, all in one tick. Only the wait for another
 * process's transaction is asynchronous.
 *
 *   idle ──run──▶ attempt ──ok──▶ next in line, or idle
 *                   │ busy: nothing happened        │ commit failed, outcome unknown
 *                   ▼                               ▼
 *                waiting ──retry──▶ attempt       broken ──use(new connection)──▶ attempt
 *
 * Fairness between processes: one that writes without pause leaves no gap that a waiter would meet by trying now and then. So a waiter leaves a mark (the
 * `queue` file) and a writer that finds one after its commit stands back for a moment.
 */
import { StoreFailure } from "../../backend/failures.js";
import type { PerdureError } from "../../errors.js";
import type { SqliteConnection } from "./driver.js";
import { toStoreFailure } from "./failure.js";
import type { BusyRuntime } from "./retry-busy.js";
import { retryLater } from "./retry-busy.js";
import type { WaitMark } from "./wait-mark.js";
import { isSqliteError } from "./sqlite-error.js";

export interface WriteLock {
  /**
   * Runs a body inside a write transaction. What the body throws rolls it back and rejects the promise.
   * @throws StoreFailure with outcome `none` (busy for too long, disk full, …) or `unknown` (the commit failed half-way: reopen, `use` the new connection, re-claim)
   */
  run<T>(body: () => T, options?: WriteOptions): Promise<T>;
  /** Goes on with a new connection, after a failure of unknown outcome. */
  use(connection: SqliteConnection): void;
  /** Was the outcome of a commit unknown since the last `use`? Then everything waits. */
  readonly broken: boolean;
  /** Rejects what waits: there is no new connection to be had. Later calls wait again. */
  refuse(error: unknown): void;
  /** Rejects what waits with `closed`. Does not close the connection. */
  close(): void;
}

export interface WriteOptions {
  /** Goes before what is not urgent. Default: false. */
  readonly urgent?: boolean;
  /**
   * False: the commit need not survive a power cut, which ends all who could notice (claims, leases); the next one that must takes it along.
   * It saves the wait for the disk. Default: true.
   */
  readonly durable?: boolean;
}

export interface WriteLockOptions {
  readonly connection: SqliteConnection;
  readonly path: string;
  readonly runtime: BusyRuntime;
  /** Where processes tell each other that they wait; undefined for a database that nobody shares. */
  readonly mark: WaitMark | undefined;
  /** What the connection is set to, and so what a durable commit costs. */
  readonly synchronous: "full" | "normal";
  /** How long to wait for another process before giving up with `backend_unavailable`. */
  readonly waitMaxMs: number;
}

interface Entry {
  readonly body: () => unknown;
  readonly durable: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** When it first found the lock busy. */
  busySinceMs: number | undefined;
}

/** How long a writer stands back for one that waits: about as long as a waiter sleeps between two tries. */
const standBackMs = 1;
/** With more in line, let the event loop turn after so much of writing. */
const sliceMs = 5;
/**
 * A waiter that got nothing for so long leaves a mark. Two processes that write without pause then share a file 1.02 to 1 with waits of 10 ms; without
 * marks 2 to 1 with waits of 80 ms and more. Processes that do something between their writes hardly ever get here.
 */
const patienceMs = 4;

export function writeLock(options: WriteLockOptions): WriteLock {
  return new SqliteWriteLock(options);
}

class SqliteWriteLock implements WriteLock {
  readonly #options: WriteLockOptions;
  readonly #urgent: Entry[] = [];
  readonly #ordinary: Entry[] = [];
  #connection: SqliteConnection;
  #state: "open" | "broken" | "closed" = "open";
  #isDurable = true;
  /** The next attempt, if one is arranged: then `run` only queues. */
  #pending: { cancel(): void } | undefined;

  constructor(options: WriteLockOptions) {
    this.#options = options;
    this.#connection = options.connection;
  }

  get broken(): boolean {
    return this.#state === "broken";
  }

  run<T>(body: () => T, { urgent = false, durable = true }: WriteOptions = {}): Promise<T> {
    if (this.#state === "closed") return Promise.reject(closedError(this.#options.path));
    return new Promise<T>((resolve, reject) => {
      const entry: Entry = { body, durable, resolve: resolve as (value: unknown) => void, reject, busySinceMs: undefined };
      (urgent ? this.#urgent : this.#ordinary).push(entry);
      if (this.#pending === undefined) this.#attempt();
    });
  }

  use(connection: SqliteConnection): void {
    if (this.#state === "closed") return;
    this.#connection = connection;
    this.#isDurable = true;
    this.#state = "open";
    this.#pending?.cancel();
    this.#attempt();
  }

  refuse(error: unknown): void {
    for (const entry of [...this.#urgent.splice(0), ...this.#ordinary.splice(0)]) entry.reject(error);
  }

  close(): void {
    this.#state = "closed";
    this.#pending?.cancel();
    this.refuse(closedError(this.#options.path));
  }

  readonly #attempt = (): void => {
    const { runtime, mark } = this.#options;
    this.#pending = undefined;
    const startedMs = runtime.monotonicMs();
    while (this.#state === "open") {
      const queue = this.#urgent.length > 0 ? this.#urgent : this.#ordinary;
      const entry = queue[0];
      if (entry === undefined) return;
      if (runtime.monotonicMs() - startedMs > sliceMs) return this.#later(0);
      if (!this.#begin(entry, queue)) return;
      queue.shift();
      this.#execute(entry);
      if (mark?.seen() === true) {
        this.#pending = runtime.setTimer(this.#attempt, standBackMs, { keepAlive: true });
        return;
      }
    }
  };

  /** It can be changed between transactions only: inside of one it is an error. */
  #setDurable(durable: boolean): void {
    if (durable === this.#isDurable || this.#options.synchronous === "normal") return;
    this.#connection.exec(`PRAGMA synchronous = ${durable ? "FULL" : "NORMAL"}`);
    this.#isDurable = durable;
  }

  #later(waitedMs: number): void {
    this.#pending = retryLater(this.#options.runtime, waitedMs, this.#attempt);
  }

  /** Takes the lock, or arranges for another try. False: not now. */
  #begin(entry: Entry, queue: Entry[]): boolean {
    const { runtime, path, mark, waitMaxMs } = this.#options;
    try {
      this.#setDurable(entry.durable);
      this.#connection.exec("BEGIN IMMEDIATE");
      return true;
    } catch (error) {
      const nowMs = runtime.monotonicMs();
      entry.busySinceMs ??= nowMs;
      const waitedMs = nowMs - entry.busySinceMs;
      if (isSqliteError(error, "SQLITE_BUSY") && waitedMs < waitMaxMs) {
        if (waitedMs >= patienceMs) mark?.leave();
        this.#later(waitedMs);
      } else {
        queue.shift();
        entry.reject(toStoreFailure(error, path));
        // Others in line have waited less and may go on.
        this.#later(0);
      }
      return false;
    }
  }

  #execute(entry: Entry): void {
    const { path } = this.#options;
    let result: unknown;
    try {
      result = entry.body();
    } catch (error) {
      if (!rollBack(this.#connection)) this.#state = "broken";
      entry.reject(toStoreFailure(error, path));
      return;
    }
    try {
      this.#connection.exec("COMMIT");
    } catch (error) {
      // A full disk and a busy lock are found before anything is written. After any other error the commit may or may not be on disk.
      const nothingHappened = isSqliteError(error, "SQLITE_FULL") || isSqliteError(error, "SQLITE_BUSY");
      if (!rollBack(this.#connection) || !nothingHappened) this.#state = "broken";
      entry.reject(toStoreFailure(error, path, nothingHappened ? "none" : "unknown"));
      return;
    }
    entry.resolve(result);
  }
}

/** SQLite rolls back by itself after some errors. False: the connection is in no usable state. */
function rollBack(connection: SqliteConnection): boolean {
  try {
    if (connection.inTransaction) connection.exec("ROLLBACK");
    return true;
  } catch {
    return false;
  }
}

function closedError(path: string): PerdureError {
  return new StoreFailure("closed", `${path}: the store was closed.`, { outcome: "none", transient: false });
}
