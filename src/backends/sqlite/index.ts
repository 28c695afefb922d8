export { sqlite, type SqliteOptions } from "./sqlite.js";
export { sqliteMigrations, type SqliteMigration } from "./schema.js";
export type { SqliteDriverName } from "./driver.js";
export { completionTableSql, transactions, type CompletionOptions, type HandleTransactionOptions } from "./transactions.js";
export type { BuilderTransactions } from "../sql/transactions.js";
