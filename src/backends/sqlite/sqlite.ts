import { resolve } from "node:path";
import type { Backend } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import type { SqliteDriverName } from "./driver.js";
import { loadDriver } from "./drivers/load-driver.js";
import { openSqliteStore } from "./store.js";
import { openThreadedStore } from "./threaded-store.js";

/** Options of {@link sqlite}. */
export interface SqliteOptions {
  /**
   * What an acknowledged write survives. `"full"`: a power cut. `"normal"`: the death of the process, however sudden; a power cut or a crash of the
   * operating system may take the last moments back (never damage the file). Faster where the disk is slow to confirm. Default: `"full"`.
   */
  readonly synchronous?: "full" | "normal";
  /** Which SQLite library to use. Default: the first that is there of `bun:sqlite`, `node:sqlite` (Node 22.13 or newer), better-sqlite3 and libsql. */
  readonly driver?: SqliteDriverName;
  /**
   * How long a call waits for another process that keeps the file locked before it fails with `backend_unavailable`, in milliseconds. The event loop goes on
   * meanwhile, and the engine tries again by itself after the failure. Default: 5000.
   */
  readonly busyWaitMs?: number;
  /**
   * Runs SQLite in a thread of its own, so that a disk which is slow to confirm (a network disk, a busy spinning one) does not hold up this process's event
   * loop. Each call costs some tens of microseconds more, and the thread keeps real time. Default: false.
   */
  readonly thread?: boolean;
}

const knownOptions = ["synchronous", "driver", "busyWaitMs", "thread"];

/**
 * A store in one SQLite file, shared by any number of processes of one machine. The file is created where there is none; its folder must exist.
 * Beside it live `-wal` and `-shm` (SQLite's own), `-queue`, `-wake` and a `-worker-…` for each worker process: copy or delete them together, while
 * nothing has the file open.
 * @param path the file, relative to the working directory at the time of this call
 * @throws PerdureError `invalid_argument`. Opening it throws `driver_missing`, `backend_mismatch` (not a database, another application's, a newer
 * perdure's), `backend_readonly`, `backend_full`, `backend_unavailable` (locked for too long) or `backend_failed`.
 * @example
 * const engine = await launch({ backend: sqlite("orders.db"), workflows: [fulfil] });
 */
export function sqlite(path: string, options: SqliteOptions = {}): Backend {
  checkPath(path);
  const { synchronous = "full", driver, busyWaitMs = 5000, thread = false } = checkOptions(options);
  const common = { path: resolve(path), synchronous, waitMaxMs: busyWaitMs };
  return {
    kind: "sqlite",
    open: async (runtime) =>
      thread ? openThreadedStore(runtime, { ...common, driver }) : openSqliteStore(runtime, { ...common, driver: loadDriver(driver) }),
  };
}

function checkPath(path: unknown): void {
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new PerdureError("invalid_argument", `sqlite() takes the path of a database file, not ${JSON.stringify(path) ?? String(path)}.`);
  }
  if (path === ":memory:" || path.startsWith("file:")) {
    throw new PerdureError(
      "invalid_argument",
      path === ":memory:"
        ? 'sqlite(":memory:") would be gone with its one connection. Use memory() from "perdure/memory", or a file.'
        : `sqlite() takes a plain path, not a URI (${path}). Give the path of the file.`,
    );
  }
}

function checkOptions(options: unknown): SqliteOptions {
  if (typeof options !== "object" || options === null)
    throw new PerdureError("invalid_argument", "The options of sqlite() must be an object.");
  const unknown = Object.keys(options).find((name) => !knownOptions.includes(name));
  if (unknown !== undefined) {
    throw new PerdureError("invalid_argument", `sqlite() has no option "${unknown}". It takes ${knownOptions.join(", ")}.`);
  }
  const { synchronous, busyWaitMs, thread } = options as SqliteOptions;
  if (thread !== undefined && typeof thread !== "boolean") {
    throw new PerdureError("invalid_argument", `The option thread of sqlite() is ${JSON.stringify(thread)}. Give true or false.`);
  }
  if (synchronous !== undefined && synchronous !== "full" && synchronous !== "normal") {
    throw new PerdureError(
      "invalid_argument",
      `The option synchronous of sqlite() is ${JSON.stringify(synchronous)}. Give "full" or "normal".`,
    );
  }
  if (busyWaitMs !== undefined && !(Number.isFinite(busyWaitMs) && busyWaitMs >= 0)) {
    throw new PerdureError(
      "invalid_argument",
      `The option busyWaitMs of sqlite() is ${String(busyWaitMs)}. Give a number of milliseconds, 0 or more.`,
    );
  }
  return options;
}
