export { sqlite, type SqliteOptions } from "./sqlite.js";
export { sqliteMigrations, type SqliteMigration } from "./schema.js";
export type { SqliteDriverName } from "./driver.js";
