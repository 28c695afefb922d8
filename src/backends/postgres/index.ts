export { postgres, type PostgresOptions } from "./postgres.js";
export { migrationSql, type MigrationSqlOptions } from "./migrate.js";
export type { PostgresClient, PostgresPool, PostgresResult } from "./driver.js";
export { completionTableSql, transactions, type PoolTransactionOptions, type TransactionPool } from "./transactions.js";
export type { BuilderTransactions, CompletionOptions, Isolation } from "../sql/transactions.js";
