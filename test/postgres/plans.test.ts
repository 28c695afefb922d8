// The plan of every hot statement reaches its rows by an index, however the tables grew and whatever the server knows of them. A prepared plan lasts as long
// as its connection: one that was made while the tables were empty is still there when they are large.
import pg from "pg";
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
  await store.pulse({ worker, leaseMs: 100 * hourMs, runRoutes: ["busy", "order"], taskRoutes: ["charge"] });
  await store.recover(worker);
  await store.retryParked(["busy", "order"]);
  const ends = claimed.runs.map((run) => turnOf(run, { state: "ended", status: "completed" }));
  expect((await store.apply(ends)).every(({ status }) => status === "committed")).toBe(true);
  return 10 * size;
}

/** What the workflow language has beyond steps and messages; returns how many operations and calls that were. */
async function workOnShelves(store: Store, worker: number, mark: string, client: pg.Client): Promise<number> {
  const size = 50;
  const ids = Array.from({ length: size }, (_, index) => `${mark} ${index}`);
  const attributes = [{ name: "customer", value: mark }];
  const chunk = (writer: string, number: number) => ({ stream: "log", writer, number, restartAt: number === 2 ? 0 : null, payload: "x" });
  const runs = ids.map((workflowId) => sampleRun({ workflowId, name: "rare", parentRunId: `parent of ${mark}` }));
  const effects = effectsOf(driving, {
    events: [lineOf(1)],
    tasks: [taskOf(1, { route: "rare", heartbeatMs: 1 }), taskOf(2, { route: "rare" }), taskOf(3, { route: "never", expiresAt: 1 })],
    entries: [{ name: "state", payload: "1" }],
    chunks: [chunk("", 0)],
  });
  const started = await store.apply(runs.map((run) => startOf(run, { attributes, reuse: "always", eager: { worker, effects } })));
  const held = started.map((outcome) => ({ key: outcome.status === "started" ? outcome.key : 0, epoch: 1, lastSeq: 1, inboxCount: 0 }));
  const { tasks } = await store.claimTasks({ worker, routes: ["rare"], limit: 2 * size });
  expect(tasks).toHaveLength(2 * size);
  await store.apply(tasks.map(({ key, epoch }) => ({ type: "touch_task", key, epoch, details: "d", detach: false })));
  await store.apply(
    tasks.map(({ key: task, epoch }) => ({ type: "append", on: { task, epoch }, chunks: [1, 2, 3].map((n) => chunk("1", n)) })),
  );
  await store.apply(held.map(({ key: run, epoch }) => ({ type: "append", on: { run, epoch }, chunks: [chunk("2", 1)] })));
  const seconds = tasks.filter(({ command }) => command === 2);
  await store.apply(seconds.map((task) => finishOf(task, { task: { runId: task.runId, command: 2, attempt: 1 }, kind: "done" })));
  let expired = 0;
  while (expired < 2 * size) expired += await store.expireTasks();
  const turned = await store.apply(
    held.map((run, index) => {
      const follower = sampleRun({ workflowId: ids[index]!, runId: `next of ${ids[index]}`, name: "rare" });
      const next = { state: "continued", run: follower, input: "again", dueAt: null } as const;
      return turnOf(run, next, {
        cancelledTasks: [1],
        entries: [{ name: "state", payload: "2" }],
        attributes: [{ name: "other", value: "x" }],
      });
    }),
  );
  expect(turned.every(({ status }) => status === "committed")).toBe(true);
  await client.query("BEGIN");
  await store.applyWithin(
    client,
    ids.map((workflowId) => sendOf({ workflowId }, "k")),
  );
  await client.query("COMMIT");
  await store.apply(runs.map(({ runId }) => sendOf({ chainOf: runId }, "k 2")));
  for (const { runId } of runs.slice(0, 10)) {
    const target = { chainOf: runId };
    expect(await store.readEntries({ target, names: ["state", "none"] })).toHaveLength(2);
    expect((await store.readChunks({ target, stream: "log", from: 0, limit: 100 }))?.chunks).toHaveLength(5);
  }
  for (const { key } of held.slice(0, 10)) await store.readStreamTail({ key, stream: "log", writer: "1" });
  await store.findRuns(runs.map(({ runId }) => ({ chainOf: runId })));
  expect(await store.listRuns({ parentRunId: `parent of ${mark}`, limit: 1000 })).toHaveLength(size);
  expect(await store.listRuns({ attributes, limit: 1000 })).toHaveLength(2 * size);
  const termination = { event: "{}", payload: null, tasks: [] };
  const ended = await store.apply([
    ...ids.slice(0, 25).map((workflowId) => ({ type: "terminate" as const, target: { workflowId }, termination })),
    ...ids.slice(25).map((workflowId) => startOf(sampleRun({ workflowId, runId: `last of ${workflowId}` }), { terminates: termination })),
  ]);
  expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(["terminated", "started"]));
  return 15 * size;
}

/** Has the plans of a connection made when the tables have this many rows, and the server knows it. */
async function makePlansAt(store: Store, worker: number, rows: number, client: pg.Client): Promise<void> {
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
  if (rows > 0) return;
  // With the tables as empty as they are found.
  await client.query("BEGIN");
  await store.applyWithin(client, [sendOf({ workflowId: "nobody" }, "k"), turnOf(none, driving)]);
  await client.query("COMMIT");
  const target = { chainOf: "nobody" };
  await store.apply([sendOf(target, "k"), { type: "append", on: { run: 0, epoch: 1 }, chunks: [] }]);
  await store.expireTasks();
  await store.readEntries({ target, names: ["state"] });
  await store.readChunks({ target, stream: "log", from: 0, limit: 1 });
  await store.readStreamTail({ key: 0, stream: "log", writer: "1" });
  await store.listRuns({ parentRunId: "nobody", limit: 1 });
  await store.listRuns({ attributes: [{ name: "customer", value: "nobody" }], limit: 1 });
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
    // An application's own connection, on which nothing is pinned.
    const client = new pg.Client({ connectionString: server.url });
    try {
      const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
      await client.connect();
      if (vacuumAt !== null) await makePlansAt(store, worker, vacuumAt, client);
      let before = await reads(server, schema);
      let size = vacuumAt ?? 0;
      for (const target of sizes) {
        await grow(store, worker, target - size, size);
        size = target;
        const grown = target === 0 ? before : await reads(server, schema);
        const operations =
          (await work(store, worker, `busy at ${target}`)) + (await workOnShelves(store, worker, `rare at ${target}`, client));
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
      await client.end();
      await store.close();
      await server.drop(schema);
    }
  },
);
