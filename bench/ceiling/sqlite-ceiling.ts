import { join } from "node:path";
import type { Writer } from "./ceiling.js";
import { findDriver } from "./sqlite-driver.js";

// Integer keys in append order with the unique (run, seq) beside them, narrow run rows apart from everything that does not change, and two statements a
// commit that take all their rows as one JSON text. Rows bound one by one, or a table clustered by run, are 10 to 35 % slower.
const schema = `
  CREATE TABLE run (key INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL, owner INTEGER, due_at INTEGER, inbox_count INTEGER NOT NULL);
  CREATE TABLE run_head (key INTEGER PRIMARY KEY, workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, name TEXT NOT NULL);
  CREATE TABLE history (position INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, payload TEXT);
  CREATE UNIQUE INDEX history_by_run ON history (run, seq);`;

/** Opens a writer on a file of its own in `folder`. */
export async function openSqliteWriter(folder: string): Promise<Writer> {
  const { name, open } = await findDriver();
  const database = open(join(folder, `ceiling-${process.pid}.db`));
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec(schema);
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const insertRuns = database.prepare("INSERT INTO run SELECT value ->> 0, 1, 1, 1, 0, 0 FROM json_each(?)");
  const insertHeads = database.prepare("INSERT INTO run_head SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)");
  const insertLines = database.prepare(
    "INSERT INTO history (run, seq, at, event, payload) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)",
  );
  const updateRuns = database.prepare(
    "UPDATE run SET last_seq = j.value ->> 1 FROM json_each(?) AS j WHERE run.key = j.value ->> 0 AND epoch = 1 AND last_seq = (j.value ->> 1) - 1",
  );
  return {
    driver: name,
    async start(heads, lines) {
      const rows = JSON.stringify(heads.map(({ key, workflowId, runId, name: workflow }) => [key, workflowId, runId, workflow]));
      begin.run();
      insertRuns.run(rows);
      insertHeads.run(rows);
      insertLines.run(JSON.stringify(lines.map(({ key, seq, at, event, payload }) => [key, seq, at, event, payload])));
      commit.run();
    },
    async step(lines) {
      begin.run();
      updateRuns.run(JSON.stringify(lines.map(({ key, seq }) => [key, seq])));
      insertLines.run(JSON.stringify(lines.map(({ key, seq, at, event, payload }) => [key, seq, at, event, payload])));
      commit.run();
    },
    close: async () => void database.close(),
  };
}
