export { postgres, type PostgresOptions } from "./postgres.js";
export { migrationSql, type MigrationSqlOptions } from "./migrate.js";
export type { PostgresClient, PostgresPool, PostgresResult } from "./driver.js";
