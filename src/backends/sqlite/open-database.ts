import { statSync } from "node:fs";
import { dirname } from "node:path";
import { PerdureError } from "../../errors.js";
import type { SqliteConnection, SqliteDriver } from "./driver.js";
import { toStoreFailure } from "./failure.js";
import type { FileIdentity } from "./file-identity.js";
import { identifyFile } from "./file-identity.js";
import type { BusyRuntime } from "./retry-busy.js";
import { retryBusy } from "./retry-busy.js";

export interface OpenDatabaseOptions {
  readonly path: string;
  /** `full`: a commit survives a power cut. `normal`: it survives the death of the process; a power cut may take the last commits back. */
  readonly synchronous: "full" | "normal";
  /** Fails with `backend_readonly` on a statement that writes. Default: false. */
  readonly readOnly?: boolean;
  /** How long to wait for another process that keeps the file locked. */
  readonly waitMaxMs: number;
}

export interface OpenedDatabase {
  readonly connection: SqliteConnection;
  /** Undefined for a database in memory. */
  readonly identity: FileIdentity | undefined;
}

/** Marks a database file as perdure's ("prdr"), so that no other application's file is touched and `file` can tell. */
export const applicationId = 0x70726472;

/**
 * Opens a database file and brings the connection into the state that the store relies on. Pragmas belong to the connection, are silently ignored when
 * misspelt or impossible, and have other defaults in every library: so each is set and read back on every connection.
 * @throws PerdureError with a code that says what is wrong with the file
 */
export async function openDatabase(driver: SqliteDriver, runtime: BusyRuntime, options: OpenDatabaseOptions): Promise<OpenedDatabase> {
  const { path } = options;
  const inMemory = path === ":memory:";
  if (!inMemory) assertFolder(path);
  const readOnly = options.readOnly === true;
  let connection: SqliteConnection | undefined;
  try {
    const opened = driver.open(path, { readOnly });
    connection = opened;
    setPragma(opened, path, "busy_timeout", 0);
    await retryBusy(runtime, options.waitMaxMs, () => {
      assertOurs(opened, path);
      if (!readOnly) setPragma(opened, path, "journal_mode", inMemory ? "memory" : "wal");
    });
    for (const [name, value] of settings(options)) setPragma(opened, path, name, value);
    const identity = inMemory ? undefined : identifyFile(path);
    if (!inMemory && identity === undefined)
      throw new PerdureError("backend_failed", `${path}: the database file was deleted while it was opened.`);
    return { connection, identity };
  } catch (error) {
    connection?.close();
    throw toStoreFailure(error, path);
  }
}

function settings({ synchronous }: OpenDatabaseOptions): readonly (readonly [string, number])[] {
  return [
    ["synchronous", synchronous === "full" ? 2 : 1],
    // References are kept by the order of writes; checking them would cost a lookup per row.
    ["foreign_keys", 0],
    // Pages (4 MB). Larger ones gained nothing in measurements and make the commit that has to checkpoint longer.
    ["wal_autocheckpoint", 1000],
    // KiB. The hot rows and index ends of some 10,000 active runs.
    ["cache_size", -16_000],
    // Gained nothing in measurements, and a file truncated by somebody else would kill the process.
    ["mmap_size", 0],
    ["temp_store", 2],
  ];
}

/** Sets a pragma and reads it back. */
export function setPragma(connection: SqliteConnection, path: string, name: string, value: number | string): void {
  connection.exec(`PRAGMA ${name} = ${value}`);
  const found = readPragma(connection, name);
  // Compiled without memory mapping: nothing to read back, nothing to switch off.
  if (found === value || (name === "mmap_size" && found === undefined)) return;
  if (name === "journal_mode") {
    throw new PerdureError(
      "backend_failed",
      `${path}: this file cannot use write-ahead logging (journal_mode stays "${String(found)}"). Network file systems do not support it: put the database on a local disk.`,
    );
  }
  throw new PerdureError(
    "backend_failed",
    `${path}: PRAGMA ${name} is ${String(found)} although it was set to ${value}; this SQLite library cannot be used.`,
  );
}

export function readPragma(connection: SqliteConnection, name: string): unknown {
  const row = connection.prepare(`PRAGMA ${name}`).get();
  // One column, whose name is not always that of the pragma (busy_timeout: "timeout").
  return row === undefined ? undefined : Object.values(row)[0];
}

/** The version of perdure's tables in the file; 0 for a file without any. */
export function readSchemaVersion(connection: SqliteConnection): number {
  return Number(readPragma(connection, "user_version"));
}

/** Marks the file as perdure's, with tables of this version. To be called inside the transaction that creates or migrates them. */
export function stampSchemaVersion(connection: SqliteConnection, version: number): void {
  connection.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version}`);
}

/** @throws PerdureError `backend_mismatch` if the tables were made by a newer perdure. */
export function assertKnownVersion(connection: SqliteConnection, path: string, newestKnown: number): void {
  const version = readSchemaVersion(connection);
  if (version > newestKnown) {
    throw new PerdureError(
      "backend_mismatch",
      `${path}: its tables have version ${version}, this perdure knows versions up to ${newestKnown}. Update perdure in this process; older and newer ones cannot share the file.`,
      {
        details: { version, newestKnown },
      },
    );
  }
}

function assertOurs(connection: SqliteConnection, path: string): void {
  let id: unknown;
  let tables: number;
  try {
    // One snapshot: between two separate reads another process may create the tables. It is taken by exec, since one of the libraries leaves a prepared
    // statement that was busy unfinished, and with it the transaction.
    connection.exec("BEGIN; SELECT count(*) FROM sqlite_schema");
    id = readPragma(connection, "application_id");
    tables = Number(connection.prepare("SELECT count(*) AS n FROM sqlite_schema").get<{ n: number }>()?.n);
  } finally {
    if (connection.inTransaction) connection.exec("ROLLBACK");
  }
  if (id === applicationId) return;
  if (id === 0 && tables === 0) return;
  throw new PerdureError(
    "backend_mismatch",
    `${path}: this database belongs to another application (application_id ${String(id)}, ${tables} tables and indexes). Choose another path: perdure keeps its own file.`,
    {
      details: { applicationId: id, tables },
    },
  );
}

function assertFolder(path: string): void {
  const folder = dirname(path);
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (stats?.isDirectory() !== true)
    throw new PerdureError("backend_failed", `${path}: the folder ${folder} does not exist. Create it first.`);
}
