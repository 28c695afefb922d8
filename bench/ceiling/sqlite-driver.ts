/** The little of a SQLite driver that the ceiling needs. */
export interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): { run(...values: readonly (number | string)[]): unknown };
  close(): unknown;
}

type Open = (file: string) => Database;
interface DriverModule {
  readonly DatabaseSync?: new (file: string) => Database;
  readonly default?: new (file: string) => Database;
}

/** In the order in which the SQLite backend looks for them, so that ceiling and workload run on the same driver. */
const candidates = ["node:sqlite", "better-sqlite3", "libsql"] as const;

/** Finds the SQLite driver of this process. */
export async function findDriver(): Promise<{ readonly name: string; readonly open: Open }> {
  for (const name of candidates) {
    try {
      // The name is a variable so that no compiler or bundler asks for modules that this runtime may lack.
      const driver = (await import(name)) as DriverModule;
      const Constructor = driver.DatabaseSync ?? driver.default;
      if (Constructor === undefined) continue;
      const probe = new Constructor(":memory:");
      probe.close();
      return { name, open: (file) => new Constructor(file) };
    } catch {
      continue;
    }
  }
  throw new Error(`none of these SQLite drivers is installed: ${candidates.join(", ")}`);
}
