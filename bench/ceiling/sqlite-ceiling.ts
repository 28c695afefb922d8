import { join } from "node:path";
import { stampMs, stopwatch, type Span } from "../measure.js";
import { stepResult } from "../values.js";
import { findDriver, type Database } from "./sqlite-driver.js";

/** An engine-less writer: what the same driver and disk can do if nobody thinks. */
export interface Ceiling {
  readonly driver: string;
  /** Ten-step workflows, 100 in lock-step: one commit writes one step of each. Gives the time of `workflows` (a multiple of 100) of them. */
  steps(workflows: number): Span & { readonly steps: number };
  /** The time of single commits of one step, one after the other. */
  commits(count: number): readonly number[];
  close(): void;
}

const lockStep = 100;
const stepsPerWorkflow = 10;

// The best layout and statements that were found: integer keys in append order with the unique (run, seq) beside them, narrow run rows apart from
// everything that does not change, and two statements a commit that take all their rows as one JSON text. Rows bound one by one, or a table
// clustered by run, are 10 to 35 % slower.
const schema = `
  CREATE TABLE run (key INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL, owner INTEGER, due_at INTEGER, inbox_count INTEGER NOT NULL);
  CREATE TABLE run_head (key INTEGER PRIMARY KEY, workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, name TEXT NOT NULL);
  CREATE TABLE history (position INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, payload TEXT);
  CREATE UNIQUE INDEX history_by_run ON history (run, seq);`;

/** Opens a ceiling on a file of its own in `folder`. */
export async function openCeiling(folder: string): Promise<Ceiling> {
  const { name, open } = await findDriver();
  const database = open(join(folder, `ceiling-${process.pid}.db`));
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec(schema);
  const write = writer(database);
  let lastKey = 0;
  return {
    driver: name,
    steps(workflows) {
      const elapsed = stopwatch();
      for (let done = 0; done < workflows; done += lockStep) {
        write.start(lastKey, lockStep);
        for (let seq = 2; seq <= stepsPerWorkflow + 1; seq++) write.step(lastKey, lockStep, seq);
        lastKey += lockStep;
      }
      return { ...elapsed(), steps: workflows * stepsPerWorkflow };
    },
    commits(count) {
      write.start(lastKey, 1);
      const latencies = Array.from({ length: count }, (_, index) => {
        const startMs = stampMs();
        write.step(lastKey, 1, index + 2);
        return stampMs() - startMs;
      });
      lastKey += 1;
      return latencies;
    },
    close: () => void database.close(),
  };
}

function writer(database: Database) {
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const insertRuns = database.prepare("INSERT INTO run SELECT value ->> 0, 1, 1, 1, 0, 0 FROM json_each(?)");
  const insertHeads = database.prepare("INSERT INTO run_head SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)");
  const insertLines = database.prepare(
    "INSERT INTO history (run, seq, at, event, payload) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)",
  );
  const updateRuns = database.prepare(
    "UPDATE run SET last_seq = j.value ->> 1 FROM json_each(?) AS j WHERE run.key = j.value ->> 0 AND epoch = j.value ->> 2 AND last_seq = (j.value ->> 1) - 1",
  );
  const keysFrom = (base: number, count: number): readonly number[] => Array.from({ length: count }, (_, index) => base + index + 1);
  return {
    start(base: number, count: number): void {
      const keys = keysFrom(base, count);
      const heads = JSON.stringify(keys.map((key) => [key, `workflow-${key}`, `run-${key}`, "ten-steps"]));
      const lines = keys.map((key) => [
        key,
        1,
        Date.now(),
        '{"type":"started","commands":[[1,"step","step 0"]]}',
        JSON.stringify({ order: key }),
      ]);
      begin.run();
      insertRuns.run(heads);
      insertHeads.run(heads);
      insertLines.run(JSON.stringify(lines));
      commit.run();
    },
    step(base: number, count: number, seq: number): void {
      const keys = keysFrom(base, count);
      const event = `{"type":"step_completed","command":${seq - 1},"commands":[[${seq},"step","step ${seq}"]]}`;
      const lines = keys.map((key) => [key, seq, Date.now(), event, JSON.stringify(stepResult(key))]);
      begin.run();
      updateRuns.run(JSON.stringify(keys.map((key) => [key, seq, 1])));
      insertLines.run(JSON.stringify(lines));
      commit.run();
    },
  };
}
