/**
 * Who is alive on this host, as the operating system knows it: every worker holds an exclusive SQLite transaction on a small file of its own beside the
 * database. The lock is gone the moment its process is, however it ended, and is kept while it is merely stopped; process ids would be wrong in another
 * namespace and be reused.
 *
 * POSIX drops all locks of a process on a file as soon as the process closes *any* descriptor of it. Inside one copy of SQLite that is taken care of, but
 * a process can hold several (two drivers, two copies of one). So the files held by this process are kept in one process-wide table and never opened again.
 */
import { readdirSync, statSync, unlinkSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { SqliteConnection, SqliteDriver } from "./driver.js";
import { toStoreFailure } from "./failure.js";
import type { BusyRuntime } from "./retry-busy.js";
import { retryBusy } from "./retry-busy.js";
import { isSqliteError } from "./sqlite-error.js";

export interface Liveness {
  /** Takes the lock of this worker and keeps it until `release` or the end of the process. */
  hold(workerId: string): Promise<void>;
  /** `unknown` (no such file, or it cannot be read): only the lease can tell. */
  probe(workerId: string): "alive" | "dead" | "unknown";
  /** Gives the lock of this process's worker back and removes its file. */
  release(workerId: string): void;
  /** Removes what dead workers left behind, except those of `keep` (the ones that the store still has to recover). */
  sweep(keep: ReadonlySet<string>): void;
  close(): void;
}

/** Files held in this process, by any engine in it. On globalThis because two copies of this package share the process's locks as well. */
const heldKey = Symbol.for("perdure.sqlite.held-files");
const heldFiles: Set<string> = ((globalThis as { [heldKey]?: Set<string> })[heldKey] ??= new Set());

const holdWaitMs = 1000;

/** @param path the database file; the side files are `<path>-worker-<id>` */
export function liveness(driver: SqliteDriver, path: string, runtime: BusyRuntime): Liveness {
  const prefix = `${resolve(path)}-worker-`;
  const fileOf = (workerId: string): string => prefix + encodeURIComponent(workerId);
  const held = new Map<string, SqliteConnection>();

  const release = (workerId: string): void => {
    const connection = held.get(workerId);
    if (connection === undefined) return;
    held.delete(workerId);
    // Removed while the lock is still held: nobody may find it free and mistake this for a death.
    removeFile(fileOf(workerId));
    connection.close();
    heldFiles.delete(fileOf(workerId));
  };

  return {
    async hold(workerId) {
      const file = fileOf(workerId);
      if (heldFiles.has(file)) throw new Error(`The worker ${workerId} is already registered in this process.`);
      heldFiles.add(file);
      try {
        held.set(workerId, await retryBusy(runtime, holdWaitMs, () => lockFile(driver, file)));
      } catch (error) {
        heldFiles.delete(file);
        throw toStoreFailure(error, file);
      }
    },
    probe: (workerId) => probeFile(driver, fileOf(workerId), () => {}),
    release,
    sweep(keep) {
      const keepFiles = new Set(Array.from(keep, fileOf));
      for (const name of readdirSync(dirname(prefix))) {
        const file = join(dirname(prefix), name);
        if (!name.startsWith(basename(prefix)) || !sideFileName.test(name) || keepFiles.has(file)) continue;
        // Removed under the lock, so that a worker which is just taking it notices (lockFile looks again).
        probeFile(driver, file, () => removeFile(file));
      }
    },
    close() {
      for (const workerId of held.keys()) release(workerId);
    },
  };
}

/** Not the journals that SQLite may have left beside a side file. */
const sideFileName = /-worker-(?!.*-(?:journal|wal|shm)$)/;

function lockFile(driver: SqliteDriver, file: string): SqliteConnection {
  for (;;) {
    const connection = driver.open(file);
    try {
      connection.exec("PRAGMA busy_timeout = 0");
      connection.exec("BEGIN EXCLUSIVE");
    } catch (error) {
      connection.close();
      throw error;
    }
    // A sweep may have removed the file between its creation and the lock: a lock on a file without a name protects nothing.
    if (statSync(file, { throwIfNoEntry: false }) !== undefined) return connection;
    connection.close();
  }
}

function probeFile(driver: SqliteDriver, file: string, whenDead: () => void): "alive" | "dead" | "unknown" {
  if (heldFiles.has(file)) return "alive";
  // Opening would create it.
  if (statSync(file, { throwIfNoEntry: false }) === undefined) return "unknown";
  let connection: SqliteConnection | undefined;
  try {
    connection = driver.open(file);
    connection.exec("PRAGMA busy_timeout = 0");
    connection.exec("BEGIN IMMEDIATE");
    whenDead();
    return "dead";
  } catch (error) {
    return isSqliteError(error, "SQLITE_BUSY") ? "alive" : "unknown";
  } finally {
    connection?.close();
  }
}

function removeFile(file: string): void {
  try {
    unlinkSync(file);
  } catch {
    // Gone already, or (Windows) still open somewhere: the next sweep gets it.
  }
}
