/** What this backend needs of the `mysql2` package, as shapes: the package is loaded when a store is opened, and a pool can be handed in from any copy of it. */
import { PerdureError } from "../../errors.js";

/** One connection, by the callback interface. */
export interface MysqlConnection {
  query(options: { readonly sql: string; readonly rowsAsArray: boolean }, callback: (error: unknown, result: unknown) => void): unknown;
  on(event: string, listener: (...args: any[]) => void): unknown;
  /** Ends the connection at once and, if it is a pool's, removes it from there. */
  destroy(): void;
  /** The id that the server gave in its greeting. */
  readonly threadId?: number | null;
}

/** A `Pool` of `mysql2` or of `mysql2/promise`, as far as it is used. */
export interface MysqlPool {
  getConnection(...args: any[]): any;
}

interface MysqlModule {
  createConnection(options: object): MysqlConnection;
}

/** @throws PerdureError `driver_missing` */
export async function loadMysql2(): Promise<MysqlModule> {
  let loaded: unknown;
  try {
    loaded = await import("mysql2");
  } catch (error) {
    throw new PerdureError(
      "driver_missing",
      'The MySQL backend needs the package "mysql2", which is not installed (or cannot be loaded). Run: npm install mysql2',
      { cause: error },
    );
  }
  // CommonJS: some loaders show its exports only as the default.
  const module = loaded as { readonly createConnection?: unknown; readonly default?: unknown };
  return (module.createConnection === undefined ? module.default : module) as MysqlModule;
}

/** The connections of a pool, by the callback interface: a promise pool keeps the plain one inside. */
export function connectionOf(pool: MysqlPool): Promise<MysqlConnection> {
  const { pool: inner } = pool as { readonly pool?: MysqlPool };
  const plain = typeof inner?.getConnection === "function" ? inner : pool;
  return new Promise((resolve, reject) => {
    plain.getConnection((error: unknown, connection: MysqlConnection) => {
      if (error === null || error === undefined) resolve(connection);
      else reject(error);
    });
  });
}

/** How many connections a pool makes, as far as it says so. */
export function limitOf(pool: MysqlPool): number | undefined {
  const { config, pool: inner } = pool as { readonly config?: PoolConfig; readonly pool?: { readonly config?: PoolConfig } };
  return (inner?.config ?? config)?.connectionLimit;
}

interface PoolConfig {
  readonly connectionLimit?: number;
}

/**
 * The connection of a transaction, by the callback interface: one of `mysql2/promise` keeps the plain one inside.
 * @throws PerdureError `invalid_argument`
 */
export function connectionWithin(transaction: unknown): MysqlConnection {
  const given = transaction as { readonly connection?: unknown; readonly getConnection?: unknown } | null | undefined;
  const connection = isConnection(given?.connection) ? given.connection : given;
  if (typeof given?.getConnection !== "function" && isConnection(connection)) return connection;
  throw new PerdureError(
    "invalid_argument",
    "The transaction is no connection of mysql2. Give a Connection or PoolConnection (of mysql2 or mysql2/promise) that is inside START TRANSACTION; a pool will not do.",
  );
}

/** By what other drivers' connections lack: with one of them, a question might never be answered. */
function isConnection(value: unknown): value is MysqlConnection {
  const { query, promise, beginTransaction } = (value ?? {}) as Readonly<Record<string, unknown>>;
  return [query, promise, beginTransaction].every((method) => typeof method === "function");
}
