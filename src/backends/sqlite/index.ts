export { sqlite, type SqliteOptions } from "./sqlite.js";
export type { SqliteDriverName } from "./driver.js";
