export { mysql, mysqlSchema, type MysqlOptions } from "./mysql.js";
export type { MysqlPool } from "./driver.js";
export {
  completionTableSql,
  transactions,
  type PoolTransactionOptions,
  type CallbackTransactionPool,
  type PromiseTransactionPool,
} from "./transactions.js";
export type { BuilderTransactions, CompletionOptions, Isolation } from "../sql/transactions.js";
