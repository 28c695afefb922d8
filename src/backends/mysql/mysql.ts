import type { Backend } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import type { MysqlPool } from "./driver.js";
import { schemaScript } from "./migrate.js";
import { tablesOf } from "./schema.js";
import { openMysqlStore } from "./store.js";

/** Options of {@link mysql}. */
export interface MysqlOptions {
  /** Begins the names of all tables, so that several applications can share a database. Letters, digits and underscores. Default: `"perdure_"`. */
  readonly prefix?: string;
  /**
   * At most how many connections each engine keeps for reading and writing; one more is for leases, and one to be told of news. Default: 4. Commits of many
   * runs share one connection anyway, so more rarely help.
   */
  readonly connections?: number;
}

const prefixDefault = "perdure_";
const connectionsDefault = 4;

/**
 * A store in a MariaDB (10.11 or newer) or MySQL (8.0 or newer, untested) database, shared by any number of processes on any number of hosts.
 * Its tables are created when it is opened first, by a user who may; later users need SELECT, INSERT, UPDATE and DELETE only.
 * @param target an address such as `mysql://user:password@host:3306/app`, or a pool of `mysql2` (or `mysql2/promise`). Of a pool, the store takes a few
 * connections for itself, sets them up as it needs them, and ends them when it is closed: the application never gets them back changed.
 * @throws PerdureError `invalid_argument`. Opening it throws `driver_missing`, `backend_mismatch` (server too old, unsuitable settings, tables of a newer
 * perdure), `backend_unavailable` or `backend_failed` (wrong password, missing right or database).
 * @example
 * const engine = await launch({ backend: mysql(process.env.DATABASE_URL), workflows: [fulfil] });
 */
export function mysql(target: string | MysqlPool, options: MysqlOptions = {}): Backend {
  checkTarget(target);
  const { prefix = prefixDefault, connections = connectionsDefault } = checkOptions(options);
  const tables = tablesOf(prefix);
  return { kind: "mysql", open: (runtime) => openMysqlStore(runtime, { target, tables, prefix, connections }) };
}

/**
 * The statements that create the tables: for people who review them, or run them as another user than the engine's.
 * @throws PerdureError `invalid_argument` for a prefix that cannot be used
 * @example process.stdout.write(mysqlSchema());
 */
export function mysqlSchema(options: Pick<MysqlOptions, "prefix"> = {}): string {
  return schemaScript(tablesOf(options.prefix ?? prefixDefault));
}

const invalid = (message: string): PerdureError => new PerdureError("invalid_argument", message);

function checkTarget(target: unknown): void {
  if (typeof target === "object" && target !== null && typeof (target as Partial<MysqlPool>).getConnection === "function") return;
  // Never shown: it may hold a password.
  if (typeof target !== "string") throw invalid("mysql() takes an address such as mysql://user@host/app, or a pool of mysql2.");
  let url: URL;
  try {
    url = new URL(target);
  } catch {
    throw invalid(
      "The address given to mysql() is not a URL. Give one such as mysql://user:password@host:3306/app, with special characters percent-encoded.",
    );
  }
  if (url.protocol !== "mysql:" && url.protocol !== "mariadb:")
    throw invalid(`The address given to mysql() begins with ${url.protocol}//. Give one that begins with mysql://.`);
  if (url.pathname.length < 2) throw invalid("The address given to mysql() names no database. Add one, for example mysql://user@host/app.");
}

function checkOptions(options: unknown): MysqlOptions {
  if (typeof options !== "object" || options === null) throw invalid("The options of mysql() must be an object.");
  const unknown = Object.keys(options).find((name) => name !== "prefix" && name !== "connections");
  if (unknown !== undefined) throw invalid(`mysql() has no option "${unknown}". It takes prefix and connections.`);
  const { prefix, connections } = options as MysqlOptions;
  if (prefix !== undefined && typeof prefix !== "string") throw invalid("The option prefix of mysql() must be a string.");
  if (connections !== undefined && !(Number.isInteger(connections) && connections >= 1))
    throw invalid(`The option connections of mysql() is ${String(connections)}. Give a whole number from 1.`);
  return options;
}
