// History in partitions: made so once, read and written one partition at a time, and no different to whoever uses the store.
import { describe, expect, it, test } from "vitest";
import { migrationSql, postgres } from "perdure/postgres";
import { statementsOf } from "../../src/backends/postgres/statements.js";
import { pinsOf } from "../../src/backends/postgres/session.js";
import { systemRuntime } from "../../src/platform/runtime.js";
import { backendConformance } from "../../src/testing/conformance/index.js";
import { completed, driving, effectsOf, hourMs, lineOf, sampleRun, startOf, turnOf } from "../../src/testing/conformance/samples.js";
import { postgresServer } from "../support/postgres.js";

const server = postgresServer({ isOwn: true });
const runtime = systemRuntime();

const create = async () => {
  const schema = server.schema();
  return { backend: postgres(server.url, { schema, historyPartitions: 16 }), dispose: () => server.drop(schema) };
};

backendConformance({ name: "postgres, with its history in 16 partitions", describe, it, create, expectHints: true });

const partitionsOf = async (schema: string): Promise<number> =>
  (await server.query(`SELECT count(*)::int AS count FROM pg_inherits WHERE inhparent = '"${schema}".history'::regclass`))[0]?.[
    "count"
  ] as number;

/** The tables of the plan's nodes that the server really ran. */
function tablesRead(node: Readonly<Record<string, unknown>>): readonly string[] {
  const own = typeof node["Relation Name"] === "string" && Number(node["Actual Loops"]) > 0 ? [node["Relation Name"]] : [];
  const below = (node["Plans"] ?? []) as readonly Readonly<Record<string, unknown>>[];
  return [...own, ...below.flatMap(tablesRead)];
}

test("the lines of a run lie in one partition, and no statement reads or writes another", async () => {
  const schema = server.schema();
  const store = await postgres(server.url, { schema, historyPartitions: 16 }).open(runtime);
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
  const effects = effectsOf(driving, { events: [lineOf(1)] });
  const ids = Array.from({ length: 200 }, (_, index) => `w${index}`);
  const started = await store.apply(ids.map((workflowId) => startOf(sampleRun({ workflowId }), { eager: { worker, effects } })));
  const keys = started.map((outcome) => (outcome.status === "started" ? outcome.key : 0));
  await store.apply(keys.map((key) => turnOf({ key, epoch: 1, lastSeq: 1, inboxCount: 0 }, completed)));
  const spread = await server.query(
    `SELECT tableoid::regclass::text AS part, count(DISTINCT run)::int AS runs, count(*)::int AS lines FROM "${schema}".history GROUP BY 1`,
  );
  expect(spread).toHaveLength(16);
  expect(spread.every(({ runs, lines }) => lines === 2 * (runs as number))).toBe(true);

  const { history, find } = statementsOf(schema);
  const explain = async (text: string, types: string, values: string): Promise<readonly string[]> => {
    await server.query(`${pinsOf("SET")} PREPARE asked(${types}) AS ${text}`);
    const [row] = await server.query(`EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked(${values})`);
    await server.query("DEALLOCATE asked");
    const plans = row?.["QUERY PLAN"] as readonly { readonly Plan: Readonly<Record<string, unknown>> }[];
    return plans.flatMap(({ Plan: plan }) => tablesRead(plan)).filter((table) => table.startsWith("history"));
  };
  expect(await explain(history.text, "bigint, integer, bigint", `${keys[7]}, 1, 100`)).toHaveLength(1);
  expect(await explain(find.text, "text[], text[], text[]", "ARRAY['w7'], ARRAY[NULL], ARRAY[NULL]")).toHaveLength(1);
  await store.close();
});

test("only who makes the tables decides; all others take them as they are", async () => {
  const schema = server.schema();
  for (const historyPartitions of [4, 8, 1, undefined]) {
    const options = { schema, ...(historyPartitions !== undefined && { historyPartitions }) };
    const store = await postgres(server.url, options).open(runtime);
    const [outcome] = await store.apply([startOf(sampleRun({ workflowId: `with ${historyPartitions}` }))]);
    expect(outcome.status).toBe("started");
    expect(await partitionsOf(schema)).toBe(4);
    await store.close();
  }
  const bare = server.schema();
  await (await postgres(server.url, { schema: bare }).open(runtime)).close();
  await (await postgres(server.url, { schema: bare, historyPartitions: 4 }).open(runtime)).close();
  expect(await partitionsOf(bare)).toBe(0);
});

test("migrationSql makes them as well", async () => {
  const schema = server.schema();
  await server.query(migrationSql({ schema, historyPartitions: 3 }));
  expect(await partitionsOf(schema)).toBe(3);
  expect(migrationSql({ schema })).not.toContain("PARTITION BY HASH");
});

test.each([0, -1, 1.5, 257, Number.NaN, "16", null])("%j is no number of partitions", (historyPartitions) => {
  const options = { historyPartitions } as { historyPartitions: number };
  expect(() => postgres("postgresql://h/d", options)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  expect(() => migrationSql(options)).toThrow(/whole number from 1/);
});
