import type { Backend } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import type { PostgresPool } from "./driver.js";
import { maskOf } from "./failure.js";
import { checkSchemaName } from "./names.js";
import { checkHistoryPartitions } from "./schema.js";
import { connectionsPerStore, openPostgresStore } from "./store.js";

/** Options of {@link postgres}. */
export interface PostgresOptions {
  /** The schema that the tables are in: 1 to 31 letters, digits and underscores. Applications with different schemas share a database without meeting. Default: `"perdure"`. */
  readonly schema?: string;
  /**
   * What to do with tables that are missing or older than this version. `"auto"`: make or update them when a store is opened; the user needs `CREATE` on the
   * database (or on the schema, if it exists). `"never"`: fail; somebody has to run what `migrationSql()` gives. Default: `"auto"`.
   */
  readonly migrate?: "auto" | "never";
  /** What the server shows for the connections. Only with a URL. Default: `"perdure"`. */
  readonly applicationName?: string;
  /**
   * In how many hash partitions the history, by far the largest table, is kept: a whole number from 1 (not partitioned) to 256. Only counts when the tables
   * are made: tables that are there stay as they are, whatever is given here. Default: 1.
   */
  readonly historyPartitions?: number;
}

const knownOptions = ["schema", "migrate", "applicationName", "historyPartitions"];

/**
 * A store in a PostgreSQL database (14 or newer), shared by any number of processes on any number of hosts. Needs the package `pg`.
 * Each engine or client that is opened on it keeps three connections: for writes, for reads and claims, and one that says that the process lives and hears of
 * news. With a transaction pooler in between (PgBouncer and the like) it works as well; news are then found by polling, and dead workers by their leases.
 * @param source a URL (`postgresql://user:password@host:5432/database`), or a `Pool` of `pg` that can lend three connections for each store that is open
 * @throws PerdureError `invalid_argument`. Opening it throws `driver_missing`, `backend_mismatch` (server too old, encoding not UTF8, tables of a newer
 * perdure), `backend_readonly` (a standby), `backend_unavailable` (not to be reached) or `backend_failed` (a wrong password, a missing right).
 * @example
 * const engine = await launch({ backend: postgres(process.env.DATABASE_URL), workflows: [fulfil] });
 */
export function postgres(source: string | PostgresPool, options: PostgresOptions = {}): Backend {
  checkSource(source);
  const { schema, migrate, applicationName, historyPartitions } = checkOptions(options);
  const mask = maskOf(typeof source === "string" ? secretsOf(source) : []);
  return {
    kind: "postgres",
    open: (runtime) =>
      openPostgresStore(runtime, { source, applicationName, schema, layout: { historyPartitions }, mayMigrate: migrate === "auto", mask }),
  };
}

/** Never shows the URL: it holds a password. */
function checkSource(source: unknown): asserts source is string | PostgresPool {
  if (typeof source === "string") {
    if (/^postgres(?:ql)?:\/\//.test(source)) return;
    throw new PerdureError(
      "invalid_argument",
      'postgres() takes a URL that begins with "postgresql://", like postgresql://user:password@host:5432/database. The string that it was given begins otherwise.',
    );
  }
  const pool = source as Partial<PostgresPool> | null | undefined;
  if (typeof pool?.connect !== "function") {
    throw new PerdureError(
      "invalid_argument",
      `postgres() takes a URL or a Pool of pg, not ${source === undefined ? "undefined (is the environment variable set?)" : typeof source}.`,
    );
  }
  const max = pool.options?.max;
  if (max !== undefined && max < connectionsPerStore) {
    throw new PerdureError(
      "invalid_argument",
      `The pool that postgres() was given has at most ${max} connections, and a store keeps ${connectionsPerStore}. Give it a larger max.`,
    );
  }
}

function checkOptions(options: unknown): Required<PostgresOptions> {
  if (typeof options !== "object" || options === null)
    throw new PerdureError("invalid_argument", "The options of postgres() must be an object.");
  const unknown = Object.keys(options).find((name) => !knownOptions.includes(name));
  if (unknown !== undefined) {
    throw new PerdureError("invalid_argument", `postgres() has no option "${unknown}". It takes ${knownOptions.join(", ")}.`);
  }
  const { schema = "perdure", migrate = "auto", applicationName = "perdure", historyPartitions = 1 } = options as PostgresOptions;
  if (migrate !== "auto" && migrate !== "never") {
    throw new PerdureError("invalid_argument", `The option migrate of postgres() is ${JSON.stringify(migrate)}. Give "auto" or "never".`);
  }
  if (typeof applicationName !== "string")
    throw new PerdureError("invalid_argument", "The option applicationName of postgres() must be a string.");
  return { schema: checkSchemaName(schema), migrate, applicationName, historyPartitions: checkHistoryPartitions(historyPartitions) };
}

/** The passwords of a URL: before the host, and among the parameters. */
function secretsOf(url: string): readonly string[] {
  const authority = /^[a-z]+:\/\/([^/?#]*)@/.exec(url)?.[1] ?? "";
  const colon = authority.indexOf(":");
  const parameters = [...url.matchAll(/[?&](?:password|sslpassword)=([^&#]*)/g)].map(([, value]) => value ?? "");
  return [url, ...(colon < 0 ? [] : [authority.slice(colon + 1)]), ...parameters].filter((secret) => secret !== "");
}
