/**
 * Operations inside a transaction of the application's own, on its connection to the store's file. What it locks stays locked, for every process, until it
 * commits.
 *
 * Only with the SQLite library that the store uses: POSIX drops all locks of a process on a file as soon as the process closes any descriptor of it, and two
 * copies of SQLite know nothing of each other's. One would close the file some day, and leave the other writing without a lock.
 */
import type { Operation, Outcome } from "../../backend/index.js";
import { assertWellFormed } from "../../backend/well-formed.js";
import { PerdureError } from "../../errors.js";
import { applyAll } from "./apply.js";
import type { SqliteConnection, SqliteDriverName, SqliteStatement } from "./driver.js";
import { adoptDatabase } from "./drivers/load-driver.js";
import { asStoreFailure } from "./failure.js";
import { identifyFile } from "./file-identity.js";
import type { FileIdentity } from "./file-identity.js";
import { beginWork, prepareTables } from "./tables.js";
import type { Tables } from "./tables.js";

/** A store's file, and the library that the store opened it with. */
export interface OwnFile {
  readonly identity: FileIdentity;
  readonly driverName: SqliteDriverName;
}

/**
 * Applies the operations before it returns: the transaction may be over when the event loop next turns. What it throws leaves the transaction as it was.
 * @throws PerdureError `invalid_argument` for what is no connection to this file, of the same library, with a transaction open
 */
export function applyWithin(file: OwnFile, now: number, transaction: unknown, operations: readonly Operation[]): readonly Outcome[] {
  for (const operation of operations) assertWellFormed(operation);
  const own = borrow(transaction);
  const { connection } = own;
  assertFits(own, file);
  try {
    connection.exec("SAVEPOINT perdure");
    try {
      const tables = own.tables();
      // Whatever was known of this connection may have been rolled back since.
      tables.keys.forget();
      tables.names.forget();
      const outcomes = applyAll(beginWork(tables, now), operations);
      tables.keys.flush();
      return outcomes;
    } catch (error) {
      // After some errors SQLite has rolled the whole transaction back.
      if (connection.inTransaction) connection.exec("ROLLBACK TO perdure");
      throw error;
    } finally {
      if (connection.inTransaction) connection.exec("RELEASE perdure");
    }
  } catch (error) {
    throw asStoreFailure(error, file.identity.path);
  }
}

/** A connection of the application's, and what has been prepared on it. */
interface Borrowed {
  readonly connection: SqliteConnection;
  readonly databases: () => SqliteStatement;
  readonly tables: () => Tables;
}

/** Those that were seen so far; what was prepared goes with the application's handle. */
const borrowed = new WeakMap<object, Borrowed>();

function borrow(transaction: unknown): Borrowed {
  const handle = transaction as object;
  let found = borrowed.get(handle);
  if (found === undefined) {
    const connection = adoptDatabase(handle);
    const databases = once(() => connection.prepare("PRAGMA database_list"));
    borrowed.set(handle, (found = { connection, databases, tables: once(() => prepareTables(connection)) }));
  }
  return found;
}

function assertFits({ connection, databases }: Borrowed, { identity, driverName }: OwnFile): void {
  if (connection.driverName !== driverName) {
    throw invalid(
      `This is a connection of ${connection.driverName}, but perdure uses ${driverName}. One process must use one SQLite library for a file: give sqlite() the option driver: "${connection.driverName}".`,
    );
  }
  if (!hasTransaction(connection))
    throw invalid("This connection has no transaction open. Begin one (BEGIN IMMEDIATE) before this call, and commit it afterwards.");
  const main = databases()
    .all<{ name: string; file: string }>()
    .find(({ name }) => name === "main");
  // The name of a database in memory is empty.
  const found = identifyFile(main?.file ?? "");
  if (found?.device !== identity.device || found.inode !== identity.inode) {
    throw invalid(`This is not a connection to the file of the store, ${identity.path}. Open that file; others can be attached to it.`);
  }
}

function hasTransaction(connection: SqliteConnection): boolean {
  try {
    return connection.inTransaction;
  } catch {
    // It is closed.
    return false;
  }
}

const invalid = (message: string): PerdureError => new PerdureError("invalid_argument", message);

function once<Value extends object>(make: () => Value): () => Value {
  let value: Value | undefined;
  return () => (value ??= make());
}
