import { PerdureError } from "../../errors.js";
import { StoreFailure } from "../../backend/index.js";
import type { SqliteConnection, SqliteDriver, SqliteStatement } from "./driver.js";
import { asStoreFailure, toStoreFailure } from "./failure.js";
import { assertSameFile, identifyFile } from "./file-identity.js";
import type { FileIdentity } from "./file-identity.js";
import { openDatabase } from "./open-database.js";
import type { BusyRuntime } from "./retry-busy.js";
import { retryBusy } from "./retry-busy.js";
import { migrate, needsMigration } from "./schema.js";
import { beginWork, prepareTables } from "./tables.js";
import type { Tables, Work } from "./tables.js";
import { waitMark } from "./wait-mark.js";
import type { WaitMark } from "./wait-mark.js";
import type { OwnFile } from "./within.js";
import { writeLock } from "./write-lock.js";
import type { WriteLock, WriteOptions } from "./write-lock.js";

export interface DatabaseOptions {
  readonly driver: SqliteDriver;
  readonly runtime: BusyRuntime;
  /** The store's clock. */
  readonly now: () => number;
  readonly path: string;
  readonly synchronous: "full" | "normal";
  readonly waitMaxMs: number;
}

interface Opened {
  readonly connection: SqliteConnection;
  readonly tables: Tables;
  readonly dataVersion: SqliteStatement;
}

/** How often reads look whether the path still leads to the file. */
const lookMs = 50;

/**
 * The file, open: one connection with its prepared statements, writes one after the other, and a new connection after a failure that left this one in doubt.
 *
 *   open ──commit of unknown outcome──▶ in doubt ──next call──▶ reopening ──▶ open
 *                                          ▲                       │ cannot be opened: this call and those that wait are rejected
 *                                          └───────────────────────┘
 */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #identity: FileIdentity;
  readonly #mark: WaitMark | undefined;
  readonly #lock: WriteLock;
  #opened: Opened;
  #reopening: Promise<void> | undefined;
  #lookedAtMs = 0;
  #closed = false;

  static async open(options: DatabaseOptions): Promise<Database> {
    const { opened, identity } = await openTables(options);
    return new Database(options, opened, identity);
  }

  private constructor(options: DatabaseOptions, opened: Opened, identity: FileIdentity) {
    const { path, runtime, synchronous, waitMaxMs } = options;
    this.#options = options;
    this.#opened = opened;
    this.#identity = identity;
    this.#mark = waitMark(`${path}-queue`);
    this.#lock = writeLock({ connection: opened.connection, path, runtime, mark: this.#mark, synchronous, waitMaxMs });
  }

  /** Reads, each statement a snapshot of its own. Nothing is written, so a failure always has the outcome `none`. */
  async read<T>(query: (tables: Tables, now: number) => T): Promise<T> {
    this.#assertOpen();
    if (this.#lock.broken) await this.#reopen();
    const { runtime, now, path, waitMaxMs } = this.#options;
    try {
      this.#lookNowAndThen();
      return await retryBusy(runtime, waitMaxMs, () => query(this.#opened.tables, now()));
    } catch (error) {
      throw asStoreFailure(error, path);
    }
  }

  /** Writes in one transaction. What the change throws, or the commit, rolls all of it back. */
  async write<T>(change: (work: Work) => T, options?: WriteOptions): Promise<T> {
    this.#assertOpen();
    if (this.#lock.broken) await this.#reopen();
    try {
      const result = await this.#lock.run(() => this.#change(change), options);
      // What was committed to a file that has lost its name since is gone for everybody else.
      this.#look("unknown");
      return result;
    } catch (error) {
      // Reads must not trust the names that were made in what was rolled back. After a lock that was never got there are none: nothing is lost.
      this.#opened.tables.names.forget();
      // At once, for the sake of those that wait for the lock; whether it works is for the next call to find out.
      if (this.#lock.broken) this.#reopen().catch(() => {});
      throw asStoreFailure(error, this.#options.path);
    }
  }

  #change<T>(change: (work: Work) => T): T {
    const { tables } = this.#opened;
    this.#look("none");
    tables.keys.forget();
    tables.names.begin();
    const result = change(beginWork(tables, this.#options.now()));
    tables.keys.flush();
    return result;
  }

  /** What a connection of the application's own must be to. */
  get file(): OwnFile {
    this.#assertOpen();
    return { identity: this.#identity, driverName: this.#options.driver.name };
  }

  /** Changes when somebody else has committed. Throws while there is no connection. */
  dataVersion(): number {
    return this.#opened.dataVersion.get<{ data_version: number }>()?.data_version ?? 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#lock.close();
    this.#mark?.close();
    this.#opened.connection.close();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new StoreFailure("closed", `${this.#options.path}: the store was closed; open it again to use it.`, {
        outcome: "none",
        transient: false,
      });
    }
  }

  #lookNowAndThen(): void {
    const nowMs = this.#options.runtime.monotonicMs();
    if (nowMs - this.#lookedAtMs < lookMs) return;
    this.#lookedAtMs = nowMs;
    this.#look("none");
  }

  /** Throws if the path does not lead to the file any more. */
  #look(outcome: "none" | "unknown"): void {
    try {
      assertSameFile(this.#identity);
    } catch (error) {
      throw error instanceof PerdureError ? new StoreFailure(error.code, error.message, { outcome, transient: false }) : error;
    }
  }

  #reopen(): Promise<void> {
    this.#reopening ??= this.#replaceConnection().finally(() => (this.#reopening = undefined));
    return this.#reopening;
  }

  async #replaceConnection(): Promise<void> {
    const { path } = this.#options;
    try {
      this.#opened.connection.close();
    } catch {
      // It is in doubt anyway; its locks go with its transaction.
    }
    try {
      // Opening would make a new file where there is none.
      this.#look("none");
      const { opened } = await openTables(this.#options);
      if (this.#closed) return opened.connection.close();
      this.#look("none");
      this.#opened = opened;
      this.#lock.use(opened.connection);
    } catch (error) {
      const failure = asStoreFailure(error, path);
      this.#lock.refuse(failure);
      throw failure;
    }
  }
}

async function openTables(options: DatabaseOptions): Promise<{ readonly opened: Opened; readonly identity: FileIdentity }> {
  const { driver, runtime, path, synchronous, waitMaxMs } = options;
  const { connection } = await openDatabase(driver, runtime, { path, synchronous, waitMaxMs });
  try {
    await retryBusy(
      runtime,
      waitMaxMs,
      () => needsMigration(connection, path) && inTransaction(connection, () => migrate(connection, path)),
    );
    const identity = identifyFile(path);
    if (identity === undefined)
      throw new StoreFailure("backend_mismatch", `${path}: the database file was deleted while it was opened.`, {
        outcome: "none",
        transient: true,
      });
    const dataVersion = connection.prepare("PRAGMA data_version");
    return { opened: { connection, tables: prepareTables(connection), dataVersion }, identity };
  } catch (error) {
    connection.close();
    throw toStoreFailure(error, path);
  }
}

function inTransaction(connection: SqliteConnection, change: () => void): void {
  connection.exec("BEGIN IMMEDIATE");
  try {
    change();
    connection.exec("COMMIT");
  } catch (error) {
    if (connection.inTransaction) connection.exec("ROLLBACK");
    throw error;
  }
}
