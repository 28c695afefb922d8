export { mysql, mysqlSchema, type MysqlOptions } from "./mysql.js";
export type { MysqlPool } from "./driver.js";
