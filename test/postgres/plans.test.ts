// The plan of every hot statement reaches its rows by an index, however the tables grew and whatever the server knows of them. A prepared plan lasts as long
// as its connection: one that was made while the tables were empty is still there when they are large.
import { expect, test } from "vitest";
import { postgres } from "perdure/postgres";
import type { Operation, Store } from "perdure/backend";
import { systemRuntime } from "../../src/platform/runtime.js";
import {
  driving,
  effectsOf,
  finishOf,
  hourMs,
  idle,
  lineOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  turnOf,
} from "../../src/testing/conformance/samples.js";
import { postgresServer, type TestServer } from "../support/postgres.js";

const server = postgresServer({ isOwn: true, settings: ["autovacuum=off"] });

const batch = 1000;

/** How many rows and index entries the server has read so far, by table. */
async function reads(of: TestServer, schema: string): Promise<ReadonlyMap<string, { readonly scanned: number; readonly fetched: number }>> {
  // Statistics of other connections arrive with a delay of a second at most; then they are complete.
  await new Promise<void>((resolve) => void systemRuntime().setTimer(resolve, 1200, { keepAlive: true }));
  const rows = await of.query(`SELECT t.relname AS name, t.seq_tup_read::float8 AS scanned,
    (SELECT coalesce(sum(i.idx_tup_read), 0)::float8 FROM pg_stat_user_indexes i WHERE i.relid = t.relid) AS fetched
    FROM pg_stat_user_tables t WHERE t.schemaname = '${schema}'`);
  return new Map(rows.map(({ name, scanned, fetched }) => [name as string, { scanned: scanned as number, fetched: fetched as number }]));
}

/** Starts runs that sleep for long, and leaves them be. */
async function grow(store: Store, worker: number, count: number, from: number): Promise<void> {
  for (let done = 0; done < count; done += batch) {
    const effects = effectsOf(idle(store.now() + hourMs), { events: [lineOf(1)] });
    await store.apply(
      Array.from({ length: Math.min(batch, count - done) }, (_, index) =>
        startOf(sampleRun({ workflowId: `sleeper ${from + done + index}` }), { eager: { worker, effects } }),
      ),
    );
  }
}

/** A bit of everything that a worker does all day; returns how many operations and calls that were. */
async function work(store: Store, worker: number, mark: string): Promise<number> {
  const size = 100;
  const workflows = Array.from({ length: size }, (_, index) => sampleRun({ workflowId: `${mark} ${index}`, name: "busy" }));
  const started = await store.apply(
    workflows.map((run) => startOf(run, { eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)], tasks: [taskOf(1)] }) } })),
  );
  let runs = started.map((outcome) => ({ key: outcome.status === "started" ? outcome.key : 0, epoch: 1, lastSeq: 1, inboxCount: 0 }));
  for (let turn = 0; turn < 3; turn += 1) {
    const outcomes = await store.apply(runs.map((run) => turnOf(run, driving)));
    expect(outcomes.every(({ status }) => status === "committed")).toBe(true);
    runs = runs.map((run) => ({ ...run, lastSeq: run.lastSeq + 1 }));
  }
  const { tasks } = await store.claimTasks({ worker, routes: ["charge"], limit: size });
  expect(tasks).toHaveLength(size);
  const finishes: Operation[] = tasks.map((task) => finishOf(task));
  await store.apply([...finishes, ...workflows.map((run) => sendOf({ workflowId: run.workflowId }, "k"))]);
  await store.apply(runs.map((run) => turnOf({ ...run, inboxCount: 2 }, idle(1), { consumed: [1, 2], inboxSeen: 2 })));
  const claimed = await store.claimRuns({ worker, routes: ["busy", "order"], limit: size, suspects: 1 });
  expect(claimed.runs).toHaveLength(size);
  await store.loadInboxes(claimed.runs.map(({ key }) => ({ key, above: 0 })));
  await store.findRuns(workflows.map(({ workflowId }) => ({ workflowId })));
  for (const { key } of claimed.runs.slice(0, 10)) await store.loadHistory({ key, fromSeq: 1, limit: 100 });
  await store.inspectOwned(worker);
  await store.recover(worker);
  await store.retryParked(["busy", "order"]);
  const ends = claimed.runs.map((run) => turnOf(run, { state: "ended", status: "completed" }));
  expect((await store.apply(ends)).every(({ status }) => status === "committed")).toBe(true);
  return 10 * size;
}

/** Has the plans of a connection made when the tables have this many rows, and the server knows it. */
async function makePlansAt(store: Store, worker: number, rows: number): Promise<void> {
  const effects = effectsOf(driving, { events: [lineOf(1)], tasks: [taskOf(1)] });
  const runs = Array.from({ length: rows }, (_, index) =>
    startOf(sampleRun({ workflowId: `first ${index}`, name: "first" }), { eager: { worker, effects } }),
  );
  const outcomes = await store.apply(runs);
  await server.query("VACUUM ANALYZE");
  const held = outcomes.map((outcome) => ({ key: outcome.status === "started" ? outcome.key : 0, epoch: 1, lastSeq: 1, inboxCount: 0 }));
  const none = { key: 0, epoch: 1, lastSeq: 0, inboxCount: 0 };
  // Twice: the second time as the engine does it later, with the plan of the first.
  for (let turn = 0; turn < 2; turn += 1)
    await store.apply([...held, none].map((run) => turnOf({ ...run, lastSeq: run.lastSeq + turn }, driving)));
  await store.claimRuns({ worker, routes: ["busy", "order"], limit: 100, suspects: 1 });
  await store.claimTasks({ worker, routes: ["none"], limit: 100 });
  await store.findRuns([{ workflowId: "first 0" }]);
}

test.each([
  { title: "never analysed", vacuumAt: null, sizes: [0, 10, 1000, 20_000, 100_000] },
  { title: "analysed and vacuumed when they were empty", vacuumAt: 0, sizes: [0, 20_000] },
  { title: "analysed and vacuumed when they had two rows", vacuumAt: 2, sizes: [2, 20_000] },
])(
  "tables that were $title are read by index only, however large they grow: $sizes runs",
  { timeout: 120_000 },
  async ({ vacuumAt, sizes }) => {
    const schema = server.schema();
    const store = await postgres(server.url, { schema }).open(systemRuntime());
    try {
      const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
      if (vacuumAt !== null) {
        await makePlansAt(store, worker, vacuumAt);
      }
      let before = await reads(server, schema);
      let size = vacuumAt ?? 0;
      for (const target of sizes) {
        await grow(store, worker, target - size, size);
        size = target;
        const grown = target === 0 ? before : await reads(server, schema);
        const operations = await work(store, worker, `busy at ${target}`);
        const after = await reads(server, schema);
        for (const [table, { scanned, fetched }] of after) {
          const base = grown.get(table);
          // A row for each process is no table that grows.
          if (table === "worker" || table === "migration") continue;
          expect(scanned - (base?.scanned ?? 0), `rows of ${table} read without an index, at ${target} runs`).toBe(0);
          // Ten looks at an index for each operation are many; a scan of an index of 1,000 entries for each batch would be more.
          expect((fetched - (base?.fetched ?? 0)) / operations, `index entries of ${table} per operation, at ${target} runs`).toBeLessThan(
            10,
          );
        }
        before = after;
      }
    } finally {
      await store.close();
      await server.drop(schema);
    }
  },
);
