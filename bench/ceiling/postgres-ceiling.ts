import pg from "pg";
import type { HistoryLine, Writer } from "./ceiling.js";

// Half of each page of `run` is free, so that its updates are HOT.
const schema = `
  CREATE TABLE ceiling_run (key bigint PRIMARY KEY, epoch integer NOT NULL, last_seq integer NOT NULL, owner integer, due_at float8, inbox_count integer NOT NULL)
    WITH (fillfactor = 50);
  CREATE TABLE ceiling_head (key bigint PRIMARY KEY, workflow_id text NOT NULL, run_id text NOT NULL, name text NOT NULL);
  CREATE TABLE ceiling_history (run bigint NOT NULL, seq integer NOT NULL, at float8 NOT NULL, event text NOT NULL, payload text, PRIMARY KEY (run, seq));`;

const line = "unnest($1::bigint[], $2::integer[], $3::float8[], $4::text[], $5::text[]) AS j(key, seq, at, event, payload)";

const start = {
  name: "ceiling_start",
  text: `WITH line AS MATERIALIZED (SELECT * FROM ${line}),
  run AS (INSERT INTO ceiling_run SELECT key, 1, 1, 1, NULL, 0 FROM line),
  head AS (INSERT INTO ceiling_head SELECT * FROM unnest($1::bigint[], $6::text[], $7::text[], $8::text[]))
INSERT INTO ceiling_history SELECT * FROM line`,
};

// A recordset from JSON costs the client less, but the planner takes it for so many rows that it reads all of `run` by its index.
const step = {
  name: "ceiling_step",
  text: `WITH line AS MATERIALIZED (SELECT * FROM ${line}),
  run AS (UPDATE ceiling_run q SET last_seq = line.seq FROM line WHERE q.key = line.key AND q.epoch = 1 AND q.last_seq = line.seq - 1 RETURNING line.*)
INSERT INTO ceiling_history SELECT * FROM run`,
};

const columnsOf = (lines: readonly HistoryLine[]): unknown[] => [
  lines.map(({ key }) => key),
  lines.map(({ seq }) => seq),
  lines.map(({ at }) => at),
  lines.map(({ event }) => event),
  lines.map(({ payload }) => payload),
];

/** One statement a commit, prepared, with its plan kept from going wrong while the tables grow. */
export async function openPostgresWriter(url: string): Promise<Writer> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(schema);
  await client.query(
    "SET enable_seqscan = off; SET enable_mergejoin = off; SET enable_hashjoin = off; SET plan_cache_mode = force_generic_plan",
  );
  const write = async (statement: { readonly name: string; readonly text: string }, values: unknown[], rows: number): Promise<void> => {
    const { rowCount } = await client.query({ ...statement, values });
    if (rowCount !== rows) throw new Error(`the ceiling wrote ${rowCount} lines instead of ${rows}`);
  };
  return {
    driver: "pg",
    start: (heads, lines) =>
      write(
        start,
        [...columnsOf(lines), heads.map(({ workflowId }) => workflowId), heads.map(({ runId }) => runId), heads.map(({ name }) => name)],
        lines.length,
      ),
    step: (lines) => write(step, columnsOf(lines), lines.length),
    close: () => client.end(),
  };
}
