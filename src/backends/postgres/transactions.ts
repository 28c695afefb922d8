/** Transactions of the application's own on PostgreSQL, for `ctx.transaction` and transactional starts. */
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
import { clientOf, rowsOf } from "./within.js";

/** A `Pool` of `pg`, as far as transactions need it. */
export interface TransactionPool<Client> {
  connect(): Promise<Client>;
  // As the package declares it: a type that has one signature only would be inferred from the last of the pool's, which is this one.
  connect(callback: (...args: any[]) => void): void;
}

/** A client that a pool has lent. */
interface LentClient {
  query(text: string): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  release(destroy?: boolean): void;
}

/** Options of {@link transactions} for a pool. */
export interface PoolTransactionOptions<Client, Tx> extends CompletionOptions {
  /** Makes what your code is handed of the client on which the transaction was begun. Default: the client. @example { as: drizzle } */
  readonly as?: ((client: Client) => Tx) | undefined;
  /** Default: what the server is set to, READ COMMITTED unless somebody changed it. */
  readonly isolation?: Isolation | undefined;
}

/**
 * A source of transactions on a PostgreSQL database, for `ctx.transaction` and for starts that are to be part of a transaction of yours.
 * From a `Pool` of `pg`: each transaction has a client of its own, on which `BEGIN` and `COMMIT` are sent. From a query builder that begins and commits by
 * itself: say how it runs a transaction and how to get at the connection beneath, anything with pg's `query(text, values)`.
 * @throws PerdureError `invalid_argument`
 * @example
 * const db = transactions(pool);
 * await ctx.transaction("book", db, (client) => client.query("INSERT INTO booking …"));
 * @example
 * const db = transactions({
 *   run: (work) => kysely.transaction().execute(work),
 *   connection: (trx: Transaction<Database>) => ({ query: (text, values) => trx.executeQuery(CompiledQuery.raw(text, values)) }),
 * });
 */
export function transactions<Client, Tx = Client>(
  pool: TransactionPool<Client>,
  options?: PoolTransactionOptions<Client, Tx>,
): TransactionSource<Tx>;
export function transactions<Tx>(builder: BuilderTransactions<Tx>, options?: CompletionOptions): TransactionSource<Tx>;
export function transactions(from: unknown, options: PoolTransactionOptions<any, any> = {}): unknown {
  checkSourceOptions(options, isBuilder(from) ? ["completions"] : ["completions", "as", "isolation"]);
  const table = options.completions === undefined ? undefined : quotedTable(options.completions, '"');
  if (isBuilder(from)) return sourceOn(from.run, (transaction) => from.connection(transaction), table);
  const pool = from as { connect(): Promise<LentClient> } | null | undefined;
  if (typeof pool?.connect !== "function" || "release" in pool)
    throw new PerdureError(
      "invalid_argument",
      "transactions() takes a Pool of pg, or { run, connection } of a query builder. This is neither.",
    );
  const { as = (client: unknown): unknown => client } = options;
  const begin = options.isolation === undefined ? "BEGIN" : `BEGIN ISOLATION LEVEL ${isolationSql(options.isolation)}`;
  const { run, connection } = runnerOf(() => open(pool, begin), as as (client: object) => object);
  return sourceOn(run, connection, table);
}

async function open(pool: { connect(): Promise<LentClient> }, begin: string): Promise<OpenTransaction<LentClient>> {
  const client = await pool.connect();
  // While a client is lent nobody else listens, and a connection that ends would end the process. Whoever waits for an answer hears of it.
  const ignore = (): void => undefined;
  client.on("error", ignore);
  let isOver = false;
  const end = (destroy: boolean): void => {
    if (isOver) return;
    isOver = true;
    client.removeListener("error", ignore);
    client.release(destroy);
  };
  const ask = async (text: string): Promise<unknown> => {
    try {
      return await client.query(text);
    } catch (error) {
      end(true);
      throw error;
    }
  };
  await ask(begin);
  return {
    raw: client,
    commit: async () => {
      const answer = await ask("COMMIT");
      end(false);
      // A transaction in which a statement failed is rolled back by COMMIT, without an error.
      if ((answer as { readonly command?: unknown }).command === "COMMIT") return;
      throw new PerdureError(
        "backend_failed",
        "PostgreSQL rolled the transaction back at its COMMIT: a statement in it had failed before.",
      );
    },
    rollBack: async () => {
      if (isOver) return;
      await ask("ROLLBACK").catch(() => undefined);
      end(false);
    },
    discard: () => end(true),
  };
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
    isContention: (error) => {
      const { code } = error as { readonly code?: unknown };
      return code === "40001" || code === "40P01";
    },
  });
}

function completionsIn<Tx extends object>(
  table: string,
  { run }: Pick<TransactionSource<Tx>, "run">,
  connection: (transaction: Tx) => unknown,
): Completions<Tx> {
  const ask = async (transaction: Tx, text: string, values: readonly unknown[]) =>
    rowsOf(await clientOf(connection(transaction)).query(text, values));
  return {
    find: async (runId, command) => {
      const text = `SELECT status, payload_text, payload_bytes FROM ${table} WHERE run_id = $1 AND command = $2`;
      const [row] = await run((transaction) => ask(transaction, text, [runId, command]));
      return row === undefined ? null : completionOf(runId, command, [row["status"], row["payload_text"], row["payload_bytes"]]);
    },
    record: async (transaction, completion) => {
      const text = `INSERT INTO ${table} (run_id, command, status, payload_text, payload_bytes) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING command`;
      return (await ask(transaction, text, valuesOf(completion))).length === 1;
    },
  };
}

/**
 * The statement that creates a table of completions, for a source with the option `completions`: run it once, as you run your other migrations.
 * Rows of runs that have ended serve nobody: delete them by `created_at` when you like.
 * @throws PerdureError `invalid_argument` for a name that cannot be used
 * @example await pool.query(completionTableSql());
 */
export function completionTableSql(table: string = completionTableDefault): string {
  return `CREATE TABLE IF NOT EXISTS ${quotedTable(table, '"')} (
  run_id text NOT NULL,
  command integer NOT NULL,
  status text NOT NULL CHECK (status IN ('completed', 'failed')),
  payload_text text,
  payload_bytes bytea,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, command)
)`;
}
