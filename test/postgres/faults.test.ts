// The store where things go wrong in small: a connection is cut, a row is held by somebody else, a worker is killed. Outages under load: outages.test.ts.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { launch, workflow, type Logger } from "perdure";
import { postgres, type PostgresPool } from "perdure/postgres";
import type { Store } from "perdure/backend";
import { systemRuntime } from "../../src/platform/runtime.js";
import {
  driving,
  finishOf,
  hourMs,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  turnOf,
  effectsOf,
  lineOf,
} from "../../src/testing/conformance/samples.js";
import { renew } from "../../src/testing/conformance/renew.js";
import { postgresServer } from "../support/postgres.js";
import { transactionPooler } from "../support/transaction-pooler.js";

const server = postgresServer({ isOwn: true });
const runtime = systemRuntime();
const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => void runtime.setTimer(resolve, ms, { keepAlive: true }));

async function until<Found>(what: string, probe: () => Promise<Found | undefined | false | null>, maxMs = 10_000): Promise<Found> {
  for (const endMs = runtime.monotonicMs() + maxMs; runtime.monotonicMs() < endMs; await pause(20)) {
    const found = await probe();
    if (found !== undefined && found !== false && found !== null) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}

async function open(schema: string): Promise<Store> {
  const store = await postgres(server.url, { schema }).open(runtime);
  closers.push(() => store.close());
  return store;
}

test("the tables and a worker's key survive a crash of the server in the next moment", { timeout: 30_000 }, async () => {
  const schema = server.schema();
  const [store, peer] = [await open(schema), await open(schema)];
  const crash = (): void => {
    server.own?.stop("immediate");
    server.own?.start();
  };
  crash();
  const keys = new Set<number>();
  for (let round = 0; round < 3; round += 1) {
    const one = await until("the server", () => store.registerWorker({ workerId: `one ${round}`, leaseMs: hourMs }).catch(() => null));
    crash();
    const other = await until("the server", () => peer.registerWorker({ workerId: `other ${round}`, leaseMs: hourMs }).catch(() => null));
    keys.add(one.worker).add(other.worker);
  }
  expect(keys.size).toBe(6);
});

test("somebody who holds a run's row holds up that run alone", async () => {
  const schema = server.schema();
  const store = await open(schema);
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
  const effects = effectsOf(driving, { events: [lineOf(1)] });
  const names = ["held", "free"];
  const started = await store.apply(names.map((workflowId) => startOf(sampleRun({ workflowId }), { eager: { worker, effects } })));
  const [held, free] = started.map((outcome) => ({
    key: outcome.status === "started" ? outcome.key : 0,
    epoch: 1,
    lastSeq: 1,
    inboxCount: 0,
  }));
  const holder = new pg.Client({ connectionString: server.url });
  await holder.connect();
  closers.push(() => holder.end());
  await holder.query(`BEGIN; SELECT 1 FROM "${schema}".run WHERE key = ${held!.key} FOR UPDATE`);

  // Turns alone never wait.
  const turns = await store.apply([turnOf(held!, driving), turnOf(free!, driving), turnOf({ ...held!, key: 4711 }, driving)]);
  expect(turns.map(({ status }) => status)).toEqual(["locked", "committed", "fenced"]);
  // With others in the batch, what has no such outcome is done as soon as it can be; the rest is there before.
  const mixed = store.apply([
    sendOf({ workflowId: "held" }, "k"),
    turnOf(held!, driving),
    turnOf({ ...free!, lastSeq: 2 }, driving),
    sendOf({ workflowId: "free" }, "k"),
  ]);
  await until("the other run's turn", async () => (await store.findRuns([{ workflowId: "free" }]))[0]?.run.lastSeq === 3);
  expect((await store.findRuns([{ workflowId: "held" }]))[0]?.run.inboxCount).toBe(0);
  await holder.query("COMMIT");
  expect((await mixed).map(({ status }) => status)).toEqual(["sent", "locked", "committed", "sent"]);
  expect((await store.apply([turnOf({ ...held!, inboxCount: 1 }, driving)]))[0].status).toBe("committed");
  // A row keeps the mark of whoever locked it last and changed nothing.
  for (const end of ["COMMIT", "ROLLBACK"]) {
    await holder.query(`BEGIN; SELECT 1 FROM "${schema}".run WHERE key = ${free!.key} FOR UPDATE; ${end}`);
  }
  expect((await store.apply([turnOf({ ...free!, lastSeq: 3, inboxCount: 1 }, driving)]))[0].status).toBe("committed");
});

test("batches that write to one another's runs at once do not deadlock", { timeout: 30_000 }, async () => {
  const schema = server.schema();
  const stores = [await open(schema), await open(schema)];
  const { worker } = await stores[0]!.registerWorker({ workerId: "w", leaseMs: hourMs });
  const ids = Array.from({ length: 20 }, (_, index) => `w${index}`);
  const effects = effectsOf(driving, { events: [lineOf(1)], tasks: [taskOf(1)] });
  await stores[0]!.apply(ids.map((workflowId) => startOf(sampleRun({ workflowId }), { eager: { worker, effects } })));
  const before = await server.query("SELECT deadlocks::int FROM pg_stat_database WHERE datname = 'postgres'");
  let sent = 0;
  await Promise.all(
    stores.map(async (store, side) => {
      for (let round = 0; round < 30; round += 1) {
        const order = side === 0 ? ids : ids.toReversed();
        const outcomes = await store.apply(order.map((workflowId) => sendOf({ workflowId }, `${side} ${round}`)));
        sent += outcomes.filter(({ status }) => status === "sent").length;
      }
    }),
  );
  const { tasks } = await stores[0]!.claimTasks({ worker, routes: ["charge"], limit: 100 });
  expect((await stores[1]!.apply(tasks.map((task) => finishOf(task)))).every(({ status }) => status === "finished")).toBe(true);
  expect(sent).toBe(20 * 30 * 2);
  expect(await server.query("SELECT deadlocks::int FROM pg_stat_database WHERE datname = 'postgres'")).toEqual(before);
});

interface WorkerProcess {
  readonly child: ChildProcess;
  readonly runs: readonly string[];
}

async function startWorker(schema: string, name: string): Promise<WorkerProcess> {
  const fixture = fileURLToPath(new URL("../fixtures/postgres-process.mjs", import.meta.url));
  const child = spawn(process.execPath, [fixture, server.url, schema, name], { stdio: ["pipe", "pipe", "inherit"] });
  closers.push(() => void child.kill("SIGKILL"));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { child, runs: (JSON.parse(line.toString()) as { runs: readonly string[] }).runs };
}

test("a killed worker's runs are free within two seconds; a stopped one's are left alone", { timeout: 30_000 }, async () => {
  const schema = server.schema();
  const store = await open(schema);
  const { worker } = await store.registerWorker({ workerId: "peer", leaseMs: hourMs });
  await store.apply(["killed", "stopped"].map((name) => startOf(sampleRun({ workflowId: name, name }))));
  const [killed, stopped] = [await startWorker(schema, "killed"), await startWorker(schema, "stopped")];
  expect([killed.runs, stopped.runs]).toEqual([["run-of-killed"], ["run-of-stopped"]]);
  expect(await store.recover(worker)).toEqual({ workers: 0, runs: 0, tasks: 0 });
  stopped.child.kill("SIGSTOP");
  killed.child.kill("SIGKILL");
  const killedAt = runtime.monotonicMs();
  const recovered = await until("the death to be noticed", async () => {
    await pause(380);
    const found = await store.recover(worker);
    return found.workers > 0 && found;
  });
  expect(recovered).toEqual({ workers: 1, runs: 1, tasks: 0 });
  expect(runtime.monotonicMs() - killedAt).toBeLessThan(2000);
  expect((await store.findRuns([{ workflowId: "killed" }, { workflowId: "stopped" }])).map((found) => found?.run.ownerId === null)).toEqual(
    [true, false],
  );
  for (let look = 0; look < 3; look += 1) {
    await pause(250);
    expect((await store.recover(worker)).workers).toBe(0);
  }
});

test("neither cut connections nor a restart of the server are taken for a death", { timeout: 30_000 }, async () => {
  const schema = server.schema();
  const store = await open(schema);
  const peer = await open(schema);
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
  const { worker: other } = await peer.registerWorker({ workerId: "peer", leaseMs: hourMs });
  const lookAround = async (): Promise<number> => {
    let deaths = 0;
    for (let look = 0; look < 4; look += 1) {
      deaths += (await until("the server", () => peer.recover(other).catch(() => undefined))).workers;
      await pause(150);
    }
    return deaths;
  };
  await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perdure' AND query LIKE '%LISTEN%'");
  expect(await lookAround()).toBe(0);
  await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perdure'");
  expect(await lookAround()).toBe(0);
  server.own?.stop("fast");
  server.own?.start();
  expect(await lookAround()).toBe(0);
  expect(await until("the lease", () => renew(store, worker, hourMs).catch(() => undefined))).toBe(true);
});

test("an answer that is lost leaves the outcome open, and a re-claim settles it", { timeout: 30_000 }, async () => {
  const schema = server.schema();
  const store = await open(schema);
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
  const effects = effectsOf(driving, { events: [lineOf(1)] });
  const [started] = await store.apply([startOf(sampleRun({ workflowId: "w" }), { eager: { worker, effects } })]);
  const run = { key: started.status === "started" ? started.key : 0, epoch: 1, lastSeq: 1, inboxCount: 0 };
  // The commit is under way for long.
  await server.query(`CREATE FUNCTION "${schema}".dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
    CREATE TRIGGER dawdle BEFORE INSERT ON "${schema}".history FOR EACH ROW EXECUTE FUNCTION "${schema}".dawdle()`);
  const commit = store.apply([turnOf(run, driving)]).catch((error: unknown) => error);
  const sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
  await until("the commit to be under way", async () => (await server.query(`SELECT 1 ${sleeping}`)).length > 0);
  await server.query(`SELECT pg_terminate_backend(pid) ${sleeping}`);
  expect(await commit).toMatchObject({ name: "StoreFailure", outcome: "unknown", transient: true });
  await server.query(`DROP TRIGGER dawdle ON "${schema}".history`);
  const claimed = await until("the re-claim", () => store.reclaimRun({ worker, key: run.key, epoch: 1 }));
  expect([claimed.epoch, claimed.lastSeq]).toEqual([2, 1]);
  expect((await store.apply([turnOf(run, driving), turnOf({ ...run, epoch: 2 }, driving)])).map(({ status }) => status)).toEqual([
    "fenced",
    "committed",
  ]);
});

test("a pool can be handed in, with or without pipelining, and gets its connections back", async () => {
  for (const pipeline of [false, true]) {
    const schema = server.schema();
    const pool = new pg.Pool({ connectionString: server.url, max: 4, ...{ pipeline } });
    const greet = workflow("greet", async (ctx, name: string) => ctx.step("greet", () => `hello ${name}`));
    const engine = await launch({ backend: postgres(pool satisfies PostgresPool, { schema }), workflows: [greet], logger: quiet });
    expect(await Promise.all(["a", "b", "c"].map((name) => engine.execute(greet, name)))).toEqual(["hello a", "hello b", "hello c"]);
    expect((await pool.query<{ plain: string }>("SHOW enable_seqscan")).rows).toEqual([{ enable_seqscan: "on" }]);
    await engine.close();
    expect(pool.totalCount - pool.idleCount).toBe(0);
    await pool.end();
  }
});

test("behind a transaction pooler it works without sessions", async () => {
  const schema = server.schema();
  const pool = transactionPooler(server.url, 3);
  const greet = workflow("greet", async (ctx, name: string) => ctx.step("greet", () => `hello ${name}`));
  const engine = await launch({ backend: postgres(pool, { schema }), workflows: [greet], logger: quiet });
  expect(await Promise.all(["a", "b", "c"].map((name) => engine.execute(greet, name)))).toEqual(["hello a", "hello b", "hello c"]);
  expect(await server.query(`SELECT locked_on FROM "${schema}".worker`)).toEqual([{ locked_on: null }]);
  expect(await server.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'")).toEqual([]);
  await engine.close();
  await pool.end();
});
