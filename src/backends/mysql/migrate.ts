import { StoreFailure } from "../../backend/index.js";
import { isServerError } from "./failure.js";
import type { Lanes, Work } from "./lanes.js";
import { migrationsOf, newestVersion, type Tables } from "./schema.js";
import { numberOf, text } from "./sql.js";

/** How long another process that migrates is waited for. */
const waitSeconds = 30;

/**
 * Brings the tables up to date, if they are not: a run-time user needs no right to create them where somebody else has. MySQL commits each table by itself,
 * so a step can be left half done; its statements can all be repeated, and it is noted as done at its end.
 * @throws StoreFailure `backend_mismatch` if the tables are newer than this code; `backend_failed` if the user may not create what is missing
 */
export function migrate(lanes: Lanes, tables: Tables, scope: string): Promise<void> {
  return lanes.transact(async (work) => {
    if ((await versionOf(work, tables)) === newestVersion) return;
    const lock = text(`perdure:migrate:${scope}`.slice(0, 64));
    const [got] = await work.run([`SELECT GET_LOCK(${lock},${waitSeconds})`]);
    if (Number(got?.rows[0]?.[0]) !== 1)
      throw new StoreFailure("backend_unavailable", "MySQL: another process is changing the tables. Wait until it is done.", {
        outcome: "none",
        transient: true,
      });
    try {
      const from = await versionOf(work, tables);
      for (const migration of migrationsOf(tables)) {
        if (migration.version <= from) continue;
        await work.run([
          `CREATE TABLE IF NOT EXISTS ${tables.migration} (version INT NOT NULL PRIMARY KEY, title VARCHAR(200) NOT NULL) ENGINE=InnoDB`,
          ...migration.statements,
          noteOf(tables, migration.version, migration.title),
        ]);
      }
    } finally {
      await work.run([`SELECT RELEASE_LOCK(${lock})`]);
    }
  });
}

const noteOf = (tables: Tables, version: number, title: string): string =>
  `INSERT INTO ${tables.migration} (version,title) VALUES (${version},${text(title)}) ON DUPLICATE KEY UPDATE version = version`;

/** All statements, for printing. */
export const schemaScript = (tables: Tables): string =>
  [
    `CREATE TABLE IF NOT EXISTS ${tables.migration} (version INT NOT NULL PRIMARY KEY, title VARCHAR(200) NOT NULL) ENGINE=InnoDB`,
    ...migrationsOf(tables).flatMap(({ version, title, statements }) => [
      `-- ${version}: ${title}`,
      ...statements,
      noteOf(tables, version, title),
    ]),
  ]
    .map((statement) => (statement.startsWith("--") ? `${statement}\n` : `${statement};\n`))
    .join("");

async function versionOf(work: Work, tables: Tables): Promise<number> {
  try {
    const [answer] = await work.run([`SELECT MAX(version) FROM ${tables.migration}`]);
    const version = numberOf(answer?.rows[0]?.[0] ?? 0);
    if (version > newestVersion)
      throw new StoreFailure(
        "backend_mismatch",
        `MySQL: the tables were made by a newer perdure (version ${version}; this one knows ${newestVersion}). Update perdure here, or choose another prefix.`,
        { outcome: "none", transient: false },
      );
    return version;
  } catch (error) {
    // 1146: there is no such table yet.
    if (isServerError(error) && error.errno === 1146) return 0;
    throw error;
  }
}
