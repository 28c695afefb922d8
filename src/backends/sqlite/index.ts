export { sqlite, type SqliteOptions } from "./sqlite.js";
export { sqliteMigrations, type SqliteMigration } from "./schema.js";
export type { SqliteDriverName } from "./driver.js";
export { completionTableSql, transactions, type HandleTransactionOptions } from "./transactions.js";
export type { BuilderTransactions, CompletionOptions } from "../sql/transactions.js";
