/** Transactions of the application's own on MariaDB and MySQL, for `ctx.transaction` and transactional starts. */
import type { Completions, TransactionSource } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import { completionOf, completionTableDefault, quotedTable, valuesOf } from "../sql/completions.js";
import {
  checkSourceOptions,
  isBuilder,
  isolationSql,
  type Isolation,
  runnerOf,
  sourceOf,
  type BuilderTransactions,
  type CompletionOptions,
  type OpenTransaction,
} from "../sql/transactions.js";
import { connectionWithin } from "./driver.js";
import { isServerError } from "./failure.js";
import { askerOn, type Ask } from "./within.js";
import { bytes, number, text } from "./sql.js";

/** A pool of `mysql2/promise`, as far as transactions need it. */
export interface PromiseTransactionPool<Connection> {
  getConnection(): Promise<Connection>;
}

/** A pool of `mysql2`, as far as transactions need it. */
export interface CallbackTransactionPool<Connection> {
  getConnection(callback: (error: any, connection: Connection) => any): void;
}

/** A connection that a pool has lent. */
interface LentConnection {
  release(): void;
  destroy(): void;
}

/** Options of {@link transactions} for a pool. */
export interface PoolTransactionOptions<Connection, Tx> extends CompletionOptions {
  /** Makes what your code is handed of the connection on which the transaction was begun. Default: the connection. @example { as: (connection) => drizzle(connection) } */
  readonly as?: ((connection: Connection) => Tx) | undefined;
  /** Default: what the server is set to, REPEATABLE READ unless somebody changed it. */
  readonly isolation?: Isolation | undefined;
}

/**
 * A source of transactions on a MariaDB or MySQL database, for `ctx.transaction` and for starts that are to be part of a transaction of yours.
 * From a pool of `mysql2` or `mysql2/promise`: each transaction has a connection of its own, on which `START TRANSACTION` and `COMMIT` are sent. From a query
 * builder that begins and commits by itself: say how it runs a transaction and how to get at the connection of `mysql2` beneath.
 * @throws PerdureError `invalid_argument`
 * @example
 * const db = transactions(pool);
 * await ctx.transaction("book", db, (connection) => connection.query("INSERT INTO booking …"));
 */
export function transactions<Connection, Tx = Connection>(
  pool: PromiseTransactionPool<Connection>,
  options?: PoolTransactionOptions<Connection, Tx>,
): TransactionSource<Tx>;
export function transactions<Connection, Tx = Connection>(
  pool: CallbackTransactionPool<Connection>,
  options?: PoolTransactionOptions<Connection, Tx>,
): TransactionSource<Tx>;
export function transactions<Tx>(builder: BuilderTransactions<Tx>, options?: CompletionOptions): TransactionSource<Tx>;
export function transactions(from: unknown, options: PoolTransactionOptions<any, any> = {}): unknown {
  checkSourceOptions(options, isBuilder(from) ? ["completions"] : ["completions", "as", "isolation"]);
  const table = options.completions === undefined ? undefined : quotedTable(options.completions, "`");
  if (isBuilder(from)) return sourceOn(from.run, (transaction) => from.connection(transaction), table);
  if (typeof (from as { readonly getConnection?: unknown } | null | undefined)?.getConnection !== "function")
    throw new PerdureError(
      "invalid_argument",
      "transactions() takes a pool of mysql2 or mysql2/promise, or { run, connection } of a query builder. This is neither.",
    );
  const { as = (connection: unknown): unknown => connection } = options;
  const statements = beginning(options.isolation);
  const { run, connection } = runnerOf(() => open(from as object, statements), as as (connection: object) => object);
  return sourceOn(run, connection, table);
}

function beginning(isolation: Isolation | undefined): readonly string[] {
  // That of the next transaction only.
  return isolation === undefined ? [begin] : [`SET TRANSACTION ISOLATION LEVEL ${isolationSql(isolation)}`, begin];
}

const begin = "START TRANSACTION";

async function open(pool: object, statements: readonly string[]): Promise<OpenTransaction<LentConnection>> {
  const connection = await lend(pool);
  let isOver = false;
  const end = (destroy: boolean): void => {
    if (isOver) return;
    isOver = true;
    if (destroy) connection.destroy();
    else connection.release();
  };
  const ask = async (sql: string): Promise<void> => {
    try {
      await askerOn(connectionWithin(connection))(sql);
    } catch (error) {
      end(true);
      throw error;
    }
  };
  for (const sql of statements) await ask(sql);
  return {
    raw: connection,
    commit: async () => {
      await ask("COMMIT");
      end(false);
    },
    rollBack: async () => {
      if (isOver) return;
      await ask("ROLLBACK").catch(() => undefined);
      end(false);
    },
    discard: () => end(true),
  };
}

/** A connection of the kind that the pool lends: a pool of `mysql2/promise` keeps the plain one inside, and gives promises. */
function lend(pool: object): Promise<LentConnection> {
  if ("pool" in pool) return (pool as unknown as PromiseTransactionPool<LentConnection>).getConnection();
  return new Promise((resolve, reject) => {
    (pool as CallbackTransactionPool<LentConnection>).getConnection((error: unknown, connection) => {
      if (error === null || error === undefined) resolve(connection);
      else reject(error);
    });
  });
}

/** 1020: another transaction has changed what this one saw · 1205: waited for a lock for too long · 1213: a deadlock. */
const contention: ReadonlySet<unknown> = new Set([1020, 1205, 1213]);

function sourceOn<Tx extends object>(
  run: TransactionSource<Tx>["run"],
  connection: (transaction: Tx) => unknown,
  table: string | undefined,
): TransactionSource<Tx> {
  return sourceOf({
    run,
    connection,
    completions: table === undefined ? undefined : (source) => completionsIn(table, source, connection),
    isContention: (error) => contention.has((error as { readonly errno?: unknown }).errno),
  });
}

function completionsIn<Tx extends object>(
  table: string,
  { run }: Pick<TransactionSource<Tx>, "run">,
  connection: (transaction: Tx) => unknown,
): Completions<Tx> {
  const askerOf = (transaction: Tx): Ask => askerOn(connectionWithin(connection(transaction)));
  return {
    find: async (runId, command) => {
      const sql = `SELECT CAST(status AS BINARY), CAST(payload_text AS BINARY), payload_bytes FROM ${table} WHERE run_id=${text(runId)} AND command=${number(command)}`;
      const { rows } = await run((transaction) => askerOf(transaction)(sql));
      return rows[0] === undefined ? null : completionOf(runId, command, [utf8(rows[0][0]), utf8(rows[0][1]), rows[0][2]]);
    },
    record: async (transaction, completion) => {
      const [runId, command, status, asText, asBytes] = valuesOf(completion);
      const payload = `${asText === null ? "NULL" : `_utf8mb4 ${bytes(Buffer.from(asText))}`},${asBytes === null ? "NULL" : bytes(asBytes)}`;
      const values = `${text(runId)},${number(command)},${text(status)},${payload}`;
      try {
        await askerOf(transaction)(`INSERT INTO ${table} (run_id, command, status, payload_text, payload_bytes) VALUES (${values})`);
        return true;
      } catch (error) {
        // 1062: the key is there. INSERT IGNORE would also let a payload be cut off.
        if (isServerError(error) && error.errno === 1062) return false;
        throw error;
      }
    },
  };
}

/** Texts come and go as bytes: the application's session may have any mode and character set. */
const utf8 = (value: unknown): string | null => (value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : null);

/**
 * The statement that creates a table of completions, for a source with the option `completions`: run it once, as you run your other migrations.
 * Rows of runs that have ended serve nobody: delete them by `created_at` when you like.
 * @throws PerdureError `invalid_argument` for a name that cannot be used
 * @example await connection.query(completionTableSql());
 */
export function completionTableSql(table: string = completionTableDefault): string {
  return `CREATE TABLE IF NOT EXISTS ${quotedTable(table, "`")} (
  run_id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  command INT NOT NULL,
  status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload_text LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  payload_bytes LONGBLOB,
  created_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (run_id, command)
) ENGINE=InnoDB`;
}
