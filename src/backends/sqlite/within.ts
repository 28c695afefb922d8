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
import type { SqliteConnection, SqliteDriverName } from "./driver.js";
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
  const connection = connectionTo(file, transaction);
  try {
    connection.exec("SAVEPOINT perdure");
    try {
      const tables = tablesOf(connection);
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

/** The connections of the application's that were seen so far, and what was prepared on them. Both go with the application's handle. */
const connections = new WeakMap<object, SqliteConnection>();
const preparedTables = new WeakMap<SqliteConnection, Tables>();

function tablesOf(connection: SqliteConnection): Tables {
  let tables = preparedTables.get(connection);
  if (tables === undefined) preparedTables.set(connection, (tables = prepareTables(connection)));
  return tables;
}

function connectionTo({ identity, driverName }: OwnFile, transaction: unknown): SqliteConnection {
  const handle = transaction as object;
  const connection = connections.get(handle) ?? adoptDatabase(handle);
  connections.set(handle, connection);
  if (connection.driverName !== driverName) {
    throw invalid(
      `This is a connection of ${connection.driverName}, but perdure uses ${driverName}. One process must use one SQLite library for a file: give sqlite() the option driver: "${connection.driverName}".`,
    );
  }
  if (!connection.inTransaction)
    throw invalid("This connection has no transaction open. Begin one (BEGIN IMMEDIATE) before this call, and commit it afterwards.");
  const found = identifyFile(mainFileOf(connection));
  if (found?.device !== identity.device || found.inode !== identity.inode) {
    throw invalid(`This is not a connection to the file of the store, ${identity.path}. Open that file; others can be attached to it.`);
  }
  return connection;
}

/** Empty for a database in memory. */
function mainFileOf(connection: SqliteConnection): string {
  const databases = connection.prepare("PRAGMA database_list").all<{ name: string; file: string }>();
  return databases.find(({ name }) => name === "main")?.file ?? "";
}

const invalid = (message: string): PerdureError => new PerdureError("invalid_argument", message);
