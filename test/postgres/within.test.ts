// Writes inside a transaction of the application's own, and what goes on beside one that is open.
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { isPerdureError } from "perdure";
import { postgres } from "perdure/postgres";
import { StoreFailure, type Operation, type Outcome, type Store } from "perdure/backend";
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
import { renew } from "../../src/testing/conformance/renew.js";
import { postgresServer } from "../support/postgres.js";

const server = postgresServer();
const runtime = systemRuntime();

const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function open(schema: string): Promise<Store> {
  const store = await postgres(server.url, { schema }).open(runtime);
  closers.push(() => store.close());
  return store;
}

async function connect(url = server.url): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  closers.push(() => client.end());
  return client;
}

async function make(): Promise<{ readonly store: Store; readonly client: pg.Client; readonly worker: number; readonly schema: string }> {
  const schema = server.schema();
  const store = await open(schema);
  closers.push(() => server.drop(schema));
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
  return { store, client: await connect(), worker, schema };
}

const statusesOf = (outcomes: readonly Outcome[]): readonly string[] => outcomes.map(({ status }) => status);
const start = (workflowId: string) => startOf(sampleRun({ workflowId }));
const find = async (store: Store, workflowId: string) => (await store.findRuns([{ workflowId }]))[0]?.run;

/** A run that `worker` drives, with one line. */
async function drive(store: Store, worker: number, workflowId: string) {
  const effects = effectsOf(driving, { events: [lineOf(1)], tasks: [taskOf(1, { heartbeatMs: hourMs })] });
  const [outcome] = await store.apply([startOf(sampleRun({ workflowId }), { eager: { worker, effects } })]);
  return { key: outcome.status === "started" ? outcome.key : 0, epoch: 1, lastSeq: 1, inboxCount: 0 };
}

const continuing = (workflowId: string) =>
  ({ state: "continued", run: sampleRun({ workflowId, runId: `next of ${workflowId}` }), input: '"again"', dueAt: null }) as const;

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable("it went through"),
    (error: unknown) => error,
  );
}

test("what is written counts when the transaction commits, and is gone if it does not", async () => {
  const { store, client, worker, schema } = await make();
  const held = await drive(store, worker, "driven");
  const { tasks } = await store.claimTasks({ worker, routes: ["charge"], limit: 1 });
  const operations: Operation[] = [
    start("a"),
    sendOf({ workflowId: "a" }, "k"),
    sendOf({ workflowId: "nobody" }, "k"),
    turnOf(held, idle()),
    finishOf(tasks[0]!),
    start("a"),
  ];
  const statuses = ["started", "sent", "not_found", "committed", "finished", "exists"];
  await client.query(`CREATE TABLE "${schema}".orders (id text)`);
  for (const end of ["ROLLBACK", "COMMIT"]) {
    await client.query(`BEGIN; INSERT INTO "${schema}".orders VALUES ('${end}')`);
    expect(statusesOf(await store.applyWithin(client, operations))).toEqual(statuses);
    expect(await store.applyWithin(client, [])).toEqual([]);
    expect(await find(store, "a")).toBeUndefined();
    await client.query(end);
    expect((await find(store, "a"))?.inboxCount).toBe(end === "COMMIT" ? 2 : undefined);
    expect((await find(store, "driven"))?.inboxCount).toBe(end === "COMMIT" ? 1 : 0);
  }
  expect(await server.query(`SELECT id FROM "${schema}".orders`)).toEqual([{ id: "COMMIT" }]);
});

test("others hear of it when the transaction commits, and so does the process itself", async () => {
  const { store, client, schema } = await make();
  const other = await open(schema);
  const heard: string[] = [];
  const hints = [store, other].map(
    (one, index) => new Promise<void>((resolve) => one.onHint(() => (heard.push(index === 0 ? "itself" : "another"), resolve()))),
  );
  await client.query("BEGIN");
  await store.applyWithin(client, [start("a")]);
  // Whatever was sent before this answer has arrived before it.
  await Promise.all([store, other].map((one) => renew(one, 0, 1)));
  expect(heard).toEqual([]);
  await client.query("COMMIT");
  await Promise.all(hints);
});

test("the application's settings are as they were, also after an error", async () => {
  const { store, client, schema } = await make();
  const settings = async (): Promise<readonly unknown[]> => {
    const names = "^(enable_.*|jit|plan_cache_mode|search_path|lock_timeout|synchronous_commit)$";
    const { rows } = await client.query<object>(`SELECT name, setting FROM pg_settings WHERE name ~ '${names}' ORDER BY name`);
    return rows;
  };
  await client.query(`SET search_path = "${schema}", public; SET enable_mergejoin = off; SET lock_timeout = '7s'`);
  const before = await settings();
  await client.query("BEGIN");
  await store.applyWithin(client, [start("a")]);
  expect(await settings()).toEqual(before);
  await client.query("SAVEPOINT here");
  await failureOf(store.applyWithin(client, [{ ...start("b"), input: "\0" }]));
  await client.query("ROLLBACK TO here");
  expect(await settings()).toEqual(before);
  await client.query("COMMIT");
  expect(await find(store, "a")).toBeDefined();
  expect(await find(store, "b")).toBeUndefined();
});

test("what only wraps a client will do, however it answers and whatever the application's types are", async () => {
  const { store, client } = await make();
  await client.query("BEGIN");
  const query = async (text: string, values: unknown[]) => (await client.query(text, values)).rows as unknown[];
  expect(statusesOf(await store.applyWithin({ query }, [start("a"), start("b")]))).toEqual(["started", "started"]);
  await client.query("COMMIT");
});

test("what is no transaction of this database is refused, and nothing is written", async () => {
  const { store, client } = await make();
  await server.query("CREATE DATABASE elsewhere").catch(() => undefined);
  const elsewhere = await connect(server.url.replace("/postgres?", "/elsewhere?"));
  await elsewhere.query("BEGIN");
  const pool = new pg.Pool({ connectionString: server.url });
  closers.push(() => pool.end());
  for (const [given, says] of [
    [undefined, "a client of pg"],
    [7, "a client of pg"],
    [{}, "a client of pg"],
    [{ query: async () => undefined }, "a client of pg"],
    [{ query: async () => [] }, "a client of pg"],
    [client, "in no transaction"],
    [pool, "in no transaction"],
    [elsewhere, "another database"],
  ] as const) {
    const error = await failureOf(store.applyWithin(given, [start("a")]));
    expect(isPerdureError(error) && [error.code, error.message.includes(says)], String(error)).toEqual(["invalid_argument", true]);
  }
  expect(await find(store, "a")).toBeUndefined();
});

test("a transaction that fails is told what to make of it: nothing was done, and some are worth another try", async () => {
  const { store, client } = await make();
  await store.apply([start("a")]);
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1");
  await store.apply([sendOf({ workflowId: "a" }, "k")]);
  const collided = await failureOf(store.applyWithin(client, [sendOf({ workflowId: "a" }, "k 2")]));
  expect(collided).toBeInstanceOf(StoreFailure);
  expect(collided).toMatchObject({ code: "backend_unavailable", outcome: "none", transient: true });
  expect(await failureOf(store.applyWithin(client, [start("b")]))).toMatchObject({ outcome: "none", transient: false });
  await client.query("ROLLBACK");
});

test("an open transaction holds up its runs alone; what is meant for them comes through when it ends", async () => {
  const { store, client, worker } = await make();
  const [held, free] = [await drive(store, worker, "held"), await drive(store, worker, "free")];
  const { tasks } = await store.claimTasks({ worker, routes: ["charge"], limit: 2 });
  await client.query("BEGIN");
  await store.applyWithin(client, [sendOf({ workflowId: "held" }, "inside"), start("new")]);

  const heartbeat = tasks.find(({ runKey }) => runKey === held.key)!;
  const [touched] = await store.apply([{ type: "touch_task", key: heartbeat.key, epoch: heartbeat.epoch, details: '"on"', detach: false }]);
  expect(touched).toEqual({ status: "touched", cancelRequested: false });
  let isOver = false;
  const waiting = store
    .apply([sendOf({ workflowId: "held" }, "outside"), start("new"), turnOf(free, driving), turnOf(held, driving), start("other")])
    .finally(() => (isOver = true));
  // Neither do later batches wait behind it.
  for (let turn = 2; turn < 20; turn += 1) {
    const next = { ...free, lastSeq: turn };
    await expect.poll(async () => (await store.apply([turnOf(next, driving)]))[0].status).toBe("committed");
  }
  expect(await find(store, "other")).toBeDefined();
  expect(isOver).toBe(false);
  await client.query("COMMIT");
  expect(statusesOf(await waiting)).toEqual(["sent", "exists", "committed", "locked", "started"]);
  expect((await find(store, "held"))?.inboxCount).toBe(2);
});

test("a batch of starts waits for no transaction that has started one of them", async () => {
  const { store, client } = await make();
  await client.query("BEGIN");
  await store.applyWithin(client, [start("w 13")]);
  let isOver = false;
  const waiting = store.apply(Array.from({ length: 30 }, (_, n) => start(`w ${n}`))).finally(() => (isOver = true));
  await expect.poll(async () => (await store.listRuns({ limit: 100 })).length).toBe(29);
  expect(isOver).toBe(false);
  await client.query("ROLLBACK");
  expect(new Set(statusesOf(await waiting))).toEqual(new Set(["started"]));
});

test("a turn that runs into a row which somebody holds is refused as locked, and the rest of its batch is not", async () => {
  const { store, client, worker } = await make();
  const [held, free] = [await drive(store, worker, "held"), await drive(store, worker, "free")];
  const { tasks } = await store.claimTasks({ worker, routes: ["charge"], limit: 2 });
  await client.query("BEGIN");
  const beat = tasks.find(({ runKey }) => runKey === held.key)!;
  await store.applyWithin(client, [{ type: "touch_task", key: beat.key, epoch: beat.epoch, details: null, detach: false }]);
  const outcomes = await store.apply([held, free].map((run) => turnOf(run, driving, { withdrawnTasks: [1] })));
  expect(statusesOf(outcomes)).toEqual(["locked", "committed"]);
  await client.query("COMMIT");
});

/** Begins a transaction that waits for one that is open, and sees it wait. */
async function waitWith(store: Store, operation: Operation): Promise<{ readonly outcome: Promise<Outcome> }> {
  const client = await connect();
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  await client.query("BEGIN");
  const outcome = store.applyWithin(client, [operation]).then(async ([first]) => {
    await client.query("COMMIT");
    return first;
  });
  const isWaiting = async () =>
    (await server.query(`SELECT wait_event_type FROM pg_stat_activity WHERE pid = ${rows[0]!.pid}`))[0]?.["wait_event_type"];
  await expect.poll(isWaiting).toBe("Lock");
  return { outcome };
}

test("a message that has waited for a run which went on with another reaches that one", async () => {
  const { store, client, worker } = await make();
  const held = await drive(store, worker, "w");
  await client.query("BEGIN");
  const [turned] = await store.applyWithin(client, [turnOf(held, continuing("w"))]);
  const key = turned.status === "committed" ? turned.continued?.key : undefined;
  const targets = [{ workflowId: "w" }, { chainOf: "run-of-w" }, { runId: "run-of-w" }];
  const waiting: Promise<Outcome>[] = [];
  for (const [index, target] of targets.entries()) waiting.push((await waitWith(store, sendOf(target, `${index}`))).outcome);
  await client.query("COMMIT");
  const outcomes = await Promise.all(waiting);
  expect(outcomes.map((outcome) => [outcome.status, outcome.status === "sent" ? outcome.key : null])).toEqual([
    ["sent", key],
    ["sent", key],
    ["not_running", null],
  ]);
});

test("a start that has waited for another one, which ended the run before it, ends that one's", async () => {
  const { store, client } = await make();
  await store.apply([start("w")]);
  const terminates = { event: '{"kind":"run_terminated"}', payload: null, tasks: [] };
  const again = (runId: string) => startOf(sampleRun({ workflowId: "w", runId }), { reuse: "never", terminates });
  await client.query("BEGIN");
  expect(statusesOf(await store.applyWithin(client, [again("second")]))).toEqual(["started"]);
  const { outcome } = await waitWith(store, again("third"));
  await client.query("COMMIT");
  expect((await outcome).status).toBe("started");
  const found = await store.findRuns([{ runId: "run-of-w" }, { runId: "second" }, { runId: "third" }]);
  expect(found.map((one) => one?.run.status)).toEqual(["terminated", "terminated", "running"]);
});

test("tasks of a run that somebody holds expire when it is free, the others at once", async () => {
  const { store, client, worker, schema } = await make();
  const effects = effectsOf(idle(), { events: [lineOf(1)], tasks: [taskOf(1, { expiresAt: 1 }), taskOf(2, { expiresAt: 1 })] });
  await store.apply(["held", "free"].map((workflowId) => startOf(sampleRun({ workflowId }), { eager: { worker, effects } })));
  const other = await open(schema);
  await client.query("BEGIN");
  await store.applyWithin(client, [sendOf({ workflowId: "held" }, "k")]);
  const expired = await Promise.all([store.expireTasks(), other.expireTasks()]);
  expect(expired.toSorted()).toEqual([0, 2]);
  await client.query("COMMIT");
  expect(await store.expireTasks()).toBe(2);
  const keys = (await store.listRuns({ limit: 2 })).map(({ key }) => ({ key, above: 0 }));
  const items = (await store.loadInboxes(keys)).map((inbox) => inbox.map(({ kind, command }) => `${kind} ${command}`));
  expect(items).toEqual([
    ["activity_expired 1", "activity_expired 2"],
    ["message null", "activity_expired 1", "activity_expired 2"],
  ]);
});

test("of what a dead worker owned, only what somebody holds has to wait; its suspects are charged and no others", async () => {
  const { store, client, worker, schema } = await make();
  const { worker: dead } = await store.registerWorker({ workerId: "dead", leaseMs: hourMs });
  for (const id of ["held", "free", "suspect"]) await drive(store, dead, id);
  const { key } = (await find(store, "suspect"))!;
  await server.query(`UPDATE "${schema}".run SET is_suspect = true WHERE key = ${key}`);
  await client.query("BEGIN");
  await store.applyWithin(client, [sendOf({ workflowId: "held" }, "k")]);

  await renew(store, dead, 1);
  const freed: number[] = [];
  const recover = async () => {
    const { runs } = await store.recover(worker);
    if (runs > 0) freed.push(runs);
    return freed;
  };
  await expect.poll(recover).toEqual([1]);
  expect((await find(store, "free"))?.ownerId).toBeNull();
  await client.query("COMMIT");
  await expect.poll(recover).toEqual([1, 2]);
  const records = await Promise.all(["held", "free", "suspect"].map((id) => find(store, id)));
  expect(records.map((run) => [run?.ownerId, run?.crashCount])).toEqual([
    [null, 0],
    [null, 0],
    [null, 1],
  ]);
});
