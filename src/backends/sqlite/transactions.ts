/** Transactions of the application's own on SQLite, for `ctx.transaction` and transactional starts. */
import type { Completions, TransactionSource } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import { systemRuntime } from "../../platform/runtime.js";
import { completionOf, completionTableDefault, quotedTable, valuesOf } from "../sql/completions.js";
import {
  checkSourceOptions,
  isBuilder,
  runnerOf,
  sourceOf,
  type BuilderTransactions,
  type CompletionOptions,
  type OpenTransaction,
} from "../sql/transactions.js";
import type { SqliteConnection } from "./driver.js";
import { adoptDatabase } from "./drivers/load-driver.js";
import { readPragma } from "./open-database.js";
import { retryBusy } from "./retry-busy.js";
import { touchWakeFile } from "./wake.js";

/** Options of {@link transactions} for a database handle. */
export interface HandleTransactionOptions<Handle, Tx> extends CompletionOptions {
  /** Makes what your code is handed of the handle on which the transaction was begun. Default: the handle. @example { as: drizzle } */
  readonly as?: ((handle: Handle) => Tx) | undefined;
  /** How long to wait for another connection's transaction, in milliseconds, before it fails with `backend_unavailable`. The event loop goes on meanwhile. Default: 5000. */
  readonly busyWaitMs?: number | undefined;
}

const busyWaitDefaultMs = 5000;

/**
 * A source of transactions on a SQLite file, for `ctx.transaction` and for starts that are to be part of a transaction of yours.
 * From a handle of better-sqlite3, node:sqlite, bun:sqlite or libsql on the backend's file, opened with the library that the backend uses: transactions on
 * it are `BEGIN IMMEDIATE`, one after the other. The file takes one writer at a time, the engine included: do in a transaction what has to do with the
 * database, and wait for nothing else. From a query builder that begins and commits by itself: say how it runs a transaction, and give its handle.
 * @throws PerdureError `invalid_argument`
 * @example
 * const db = transactions(new Database("shop.db"));
 * await ctx.transaction("book", db, (handle) => handle.prepare("INSERT INTO booking …").run(seat));
 */
export function transactions<Tx>(builder: BuilderTransactions<Tx>, options?: CompletionOptions): TransactionSource<Tx>;
export function transactions<Handle extends object, Tx = Handle>(
  handle: Handle,
  options?: HandleTransactionOptions<Handle, Tx>,
): TransactionSource<Tx>;
export function transactions(from: object, options: HandleTransactionOptions<any, any> = {}): unknown {
  checkSourceOptions(options, isBuilder(from) ? ["completions"] : ["completions", "as", "busyWaitMs"]);
  const table = options.completions === undefined ? undefined : quotedTable(options.completions, '"');
  if (isBuilder(from)) return sourceOn(from.run, (transaction) => from.connection(transaction), table);
  const { as = (handle: unknown): unknown => handle, busyWaitMs = busyWaitDefaultMs } = options;
  if (!(Number.isFinite(busyWaitMs) && busyWaitMs >= 0))
    throw new PerdureError("invalid_argument", `The option busyWaitMs of transactions() is ${String(busyWaitMs)}. Give 0 or more.`);
  const own = adoptDatabase(from);
  const { run, connection } = runnerOf(() => open(from, own, busyWaitMs), as as (handle: object) => object);
  return sourceOn(run, connection, table);
}

/** The last in line for each handle: it holds one transaction at a time. */
const lines = new WeakMap<object, Promise<void>>();

async function open(handle: object, connection: SqliteConnection, busyWaitMs: number): Promise<OpenTransaction<object>> {
  const before = lines.get(handle) ?? Promise.resolve();
  let leave = (): void => undefined;
  lines.set(handle, new Promise<void>((resolve) => (leave = resolve)));
  await before;
  try {
    await begin(connection, busyWaitMs);
  } catch (error) {
    leave();
    throw error;
  }
  return {
    raw: handle,
    commit: async () => {
      try {
        connection.exec("COMMIT");
      } catch (error) {
        rollBack(connection);
        throw error;
      } finally {
        leave();
      }
    },
    // Only when the work has ended: what it still did would be outside of any transaction.
    rollBack: async () => {
      rollBack(connection);
      leave();
    },
  };
}

/** Waits without blocking the event loop, which the handle's own timeout would do. */
async function begin(connection: SqliteConnection, busyWaitMs: number): Promise<void> {
  if (connection.inTransaction)
    throw new PerdureError(
      "invalid_argument",
      "A transaction is open on this handle already. Give transactions() a handle on which nobody else begins any.",
    );
  try {
    await retryBusy(systemRuntime(), busyWaitMs, () => {
      const timeoutMs = Number(readPragma(connection, "busy_timeout"));
      if (timeoutMs !== 0) connection.exec("PRAGMA busy_timeout = 0");
      try {
        connection.exec("BEGIN IMMEDIATE");
      } finally {
        if (timeoutMs !== 0) connection.exec(`PRAGMA busy_timeout = ${timeoutMs}`);
      }
    });
  } catch (error) {
    if (!isBusy(error)) throw error;
    throw new PerdureError("backend_unavailable", `Another connection has kept the SQLite file locked for ${busyWaitMs} ms.`, {
      cause: error,
    });
  }
}

/** SQLite rolls back by itself after some errors. */
function rollBack(connection: SqliteConnection): void {
  try {
    if (connection.inTransaction) connection.exec("ROLLBACK");
  } catch {
    // The handle was closed, or is in no usable state: nothing can be committed on it either.
  }
}

function sourceOn<Tx extends object>(
  run: TransactionSource<Tx>["run"],
  connection: (transaction: Tx) => unknown,
  table: string | undefined,
): TransactionSource<Tx> {
  return sourceOf({
    run,
    connection,
    completions: table === undefined ? undefined : (source) => completionsIn(table, source, connection),
    isContention: isBusy,
    // A commit on the application's connection touches nothing by itself, and others would find out by polling.
    onUsed: (transaction) => touchWakeFile(mainFileOf(adoptDatabase(connection(transaction)))),
  });
}

function isBusy(error: unknown): boolean {
  const { code, errcode, errno } = (error ?? {}) as { readonly code?: unknown; readonly errcode?: unknown; readonly errno?: unknown };
  if (typeof code === "string" && code.startsWith("SQLITE_BUSY")) return true;
  const number = errcode ?? errno;
  return typeof number === "number" && (number & 0xff) === 5 && String(code).includes("SQLITE");
}

const mainFileOf = (connection: SqliteConnection): string => {
  const databases = connection.prepare("PRAGMA database_list").all<{ name: string; file: string }>();
  return databases.find(({ name }) => name === "main")?.file ?? "";
};

function completionsIn<Tx extends object>(
  table: string,
  { run }: Pick<TransactionSource<Tx>, "run">,
  connection: (transaction: Tx) => unknown,
): Completions<Tx> {
  const databaseOf = (transaction: Tx): SqliteConnection => adoptDatabase(connection(transaction));
  return {
    find: async (runId, command) => {
      const sql = `SELECT status, payload_text AS text, payload_bytes AS bytes FROM ${table} WHERE run_id = ? AND command = ?`;
      const row = await run(async (transaction) => databaseOf(transaction).prepare(sql).get([runId, command]));
      return row === undefined ? null : completionOf(runId, command, [row["status"], row["text"], row["bytes"]]);
    },
    record: async (transaction, completion) => {
      const sql = `INSERT INTO ${table} (run_id, command, status, payload_text, payload_bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
      return databaseOf(transaction).prepare(sql).run(valuesOf(completion)) === 1;
    },
  };
}

/**
 * The statement that creates a table of completions, for a source with the option `completions`: run it once, as you run your other migrations.
 * Rows of runs that have ended serve nobody: delete them by `created_at` when you like.
 * @throws PerdureError `invalid_argument` for a name that cannot be used
 * @example handle.exec(completionTableSql());
 */
export function completionTableSql(table: string = completionTableDefault): string {
  return `CREATE TABLE IF NOT EXISTS ${quotedTable(table, '"')} (
  run_id TEXT NOT NULL,
  command INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('completed', 'failed')),
  payload_text TEXT,
  payload_bytes BLOB,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (run_id, command)
) WITHOUT ROWID`;
}
