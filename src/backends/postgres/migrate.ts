import { PerdureError } from "../../errors.js";
import { StoreFailure } from "../../backend/index.js";
import type { PostgresClient } from "./driver.js";
import { hasSqlState } from "./failure.js";
import { checkSchemaName, lockClassOf } from "./names.js";
import { checkHistoryPartitions, migrations, newestVersion, type TableLayout } from "./schema.js";

/** Options of {@link migrationSql}. */
export interface MigrationSqlOptions {
  /** The schema that the tables are in. Default: `"perdure"`. */
  readonly schema?: string;
  /** The version that the database is at already: only later steps are given. Default: 0, an empty database. */
  readonly from?: number;
  /** In how many partitions the history is kept; only counts where the tables are made. Default: 1, not partitioned. */
  readonly historyPartitions?: number;
}

/**
 * The SQL that makes or updates the tables of a PostgreSQL store: for those who review it, or whose applications may not create tables. It is one
 * transaction: in a database that has these tables already it fails and changes nothing. The applications' user then needs `USAGE` on the schema and its sequences, and `SELECT`,
 * `INSERT`, `UPDATE`, `DELETE` on its tables.
 * @throws PerdureError `invalid_argument`
 * @example console.log(migrationSql({ schema: "workflows" }));
 */
export function migrationSql(options: MigrationSqlOptions = {}): string {
  const { schema = "perdure", from = 0, historyPartitions = 1 } = options;
  const layout = { historyPartitions: checkHistoryPartitions(historyPartitions) };
  return `BEGIN;\n${stepsSql(checkSchemaName(schema), from, layout)}COMMIT;\n`;
}

function stepsSql(name: string, from: number, layout: TableLayout): string {
  const schema = `"${name}"`;
  const steps = migrations
    .filter(({ version }) => version > from)
    .map(
      ({ version, title, oldestReader, sql }) =>
        `${sql(schema, layout)}\nINSERT INTO ${schema}.migration (version, title, oldest_reader) VALUES (${version}, '${title}', ${oldestReader});\n`,
    );
  return `SELECT pg_advisory_xact_lock(${lockClassOf(name)}, 0);
CREATE SCHEMA IF NOT EXISTS ${schema};
CREATE TABLE IF NOT EXISTS ${schema}.migration (
  version integer PRIMARY KEY,
  title text NOT NULL,
  oldest_reader integer NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
${steps.join("")}`;
}

/** What of the options concerns the tables. */
export interface TableOptions {
  readonly schema: string;
  readonly layout: TableLayout;
  readonly mayMigrate: boolean;
}

/** Brings the tables up to date. Tables that are there keep the layout that they were made with. */
export async function prepareDatabase(client: PostgresClient, { schema, layout, mayMigrate }: TableOptions): Promise<void> {
  const found = await readVersion(client, schema);
  assertReadable(found, schema);
  if (found.version >= newestVersion) return;
  if (!mayMigrate) {
    throw new PerdureError(
      "backend_mismatch",
      `The schema "${schema}" is at version ${found.version}, and this version of perdure needs ${newestVersion}. Run what migrationSql() gives, or let postgres() migrate.`,
    );
  }
  // Under the lock, what another process has done meanwhile is seen. Stores go on only when the tables are on the disk: they never look for them again.
  try {
    await client.query(`BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock(${lockClassOf(schema)}, 0)`);
    const now = await readVersion(client, schema);
    if (now.version < newestVersion) await client.query(stepsSql(schema, now.version, layout));
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    if (!hasSqlState(error, "42501")) throw error;
    throw new StoreFailure(
      "backend_failed",
      `PostgreSQL: the user may not create the tables of perdure in the schema "${schema}" (${(error as Error).message}). Give it CREATE on the database, or have somebody who may run what migrationSql() gives.`,
      { outcome: "none", transient: false },
    );
  }
}

interface FoundVersion {
  readonly version: number;
  readonly oldestReader: number;
}

async function readVersion(client: PostgresClient, schema: string): Promise<FoundVersion> {
  // Not to_regclass: within a transaction it goes by what the session knew when it began, before it waited for the lock.
  const there = await client.query({
    text: `SELECT 1 FROM pg_tables WHERE schemaname = '${schema}' AND tablename = 'migration'`,
    rowMode: "array",
  });
  if (there.rows.length === 0) return { version: 0, oldestReader: 0 };
  const { rows } = await client.query({
    text: `SELECT coalesce(max(version), 0), coalesce(max(oldest_reader), 0) FROM "${schema}".migration`,
    rowMode: "array",
  });
  const [version, oldestReader] = (rows as unknown[][])[0] ?? [];
  return { version: Number(version), oldestReader: Number(oldestReader) };
}

function assertReadable({ version, oldestReader }: FoundVersion, schema: string): void {
  if (oldestReader <= newestVersion) return;
  throw new PerdureError(
    "backend_mismatch",
    `The schema "${schema}" was made by a newer version of perdure (its tables are at version ${version}, and need ${oldestReader} or newer to be used; this one knows ${newestVersion}). Upgrade perdure.`,
  );
}
