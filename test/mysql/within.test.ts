// Operations inside a transaction of the application's own: what it commits counts, nothing else does, and it holds up nobody but those it concerns.
import { afterAll, afterEach, describe, expect, test } from "vitest";
import callbackMysql from "mysql2";
import promiseMysql from "mysql2/promise";
import type { Connection, RowDataPacket } from "mysql2/promise";
import type { Operation, Outcome, Store } from "perdure/backend";
import { mysql } from "perdure/mysql";
import { systemRuntime } from "../../src/platform/runtime.js";
import {
  driving,
  effectsOf,
  finishOf,
  idle,
  lineOf,
  messageOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  turnOf,
} from "../../src/testing/conformance/samples.js";
import { mariadbServer } from "../support/mariadb-server.js";

const server = await mariadbServer();
afterAll(() => server?.stop());

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

const hourMs = 3_600_000;
const statusesOf = (outcomes: readonly Outcome[]): readonly string[] => outcomes.map(({ status }) => status);
const newRun = (workflowId: string, runId = `run of ${workflowId}`) => sampleRun({ workflowId, runId });
const termination = { event: '{"kind":"run_terminated"}', payload: null, tasks: [] };

describe.runIf(server !== undefined)("within a transaction of the application", () => {
  if (server === undefined) return;

  const setUp = async (): Promise<{ readonly url: string; readonly name: string; readonly store: Store; readonly worker: number }> => {
    const { url, name, drop } = await server.database();
    disposals.push(drop);
    const store = await mysql(url).open(systemRuntime());
    disposals.push(() => store.close());
    const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
    return { url, name, store, worker };
  };
  const connect = async (url: string, ...statements: readonly string[]): Promise<Connection> => {
    const connection = await promiseMysql.createConnection(url);
    disposals.push(async () => connection.destroy());
    for (const statement of statements) await connection.query(statement);
    return connection;
  };
  const begin = (url: string, level = "REPEATABLE READ"): Promise<Connection> =>
    connect(
      url,
      "CREATE TABLE IF NOT EXISTS orders (id INT PRIMARY KEY)",
      `SET SESSION TRANSACTION ISOLATION LEVEL ${level}`,
      "START TRANSACTION",
      // From here on, a transaction that repeats reads sees what there was now.
      "SELECT COUNT(*) FROM orders",
    );
  const find = async (store: Store, workflowId: string) => (await store.findRuns([{ workflowId }]))[0]?.run ?? null;
  const count = async (url: string, table: string): Promise<number> => {
    const connection = await connect(url);
    const [rows] = await connection.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`);
    return Number(rows[0]?.["n"]);
  };

  test.each(["promise connection", "callback connection", "promise pool", "callback pool"])("it is written with a %s", async (kind) => {
    const { url, store } = await setUp();
    await connect(url, "CREATE TABLE orders (id INT PRIMARY KEY)");
    const pool = callbackMysql.createPool(url);
    disposals.push(() => pool.promise().end());
    const promised = kind.endsWith("pool") ? await pool.promise().getConnection() : await promiseMysql.createConnection(url);
    disposals.push(async () => promised.destroy());
    await promised.beginTransaction();
    await promised.query("INSERT INTO orders VALUES (1)");
    const transaction: unknown = kind.startsWith("promise")
      ? promised
      : (promised as unknown as { readonly connection: unknown }).connection;
    const outcomes = await store.applyWithin(transaction, [startOf(newRun("w"), { attributes: [{ name: "city", value: "Oslo" }] })]);
    expect(outcomes).toMatchObject([{ status: "started", owned: false, inboxCount: 1 }]);
    expect(await find(store, "w")).toBeNull();
    await promised.commit();
    expect(await find(store, "w")).toMatchObject({ status: "running", inboxUnread: 1, attributes: [{ name: "city", value: "Oslo" }] });
    expect(await count(url, "orders")).toBe(1);
  });

  test.each(["REPEATABLE READ", "READ COMMITTED", "SERIALIZABLE"])("a rollback leaves nothing, at %s", async (level) => {
    const { url, store } = await setUp();
    await store.apply([startOf(newRun("known"))]);
    const connection = await begin(url, level);
    const outcomes = await store.applyWithin(connection, [
      startOf(newRun("new")),
      sendOf({ workflowId: "known" }, "k"),
      sendOf({ workflowId: "new" }, "k"),
    ]);
    expect(statusesOf(outcomes)).toEqual(["started", "sent", "sent"]);
    await connection.query("ROLLBACK");
    expect(await find(store, "new")).toBeNull();
    expect(await find(store, "known")).toMatchObject({ inboxCount: 1 });
    expect(statusesOf(await store.apply([sendOf({ workflowId: "known" }, "k")]))).toEqual(["sent"]);
  });

  test("what others have committed since the transaction began is seen", async () => {
    const { url, store, worker } = await setUp();
    await store.apply([startOf(newRun("ended")), startOf(newRun("sent")), startOf(newRun("worked"))]);
    const connection = await begin(url);
    // All of it later than what the transaction sees without locks.
    const { runs } = await store.claimRuns({ worker, routes: ["order"], limit: 10, suspects: 0 });
    const held = new Map(runs.map((run) => [run.workflowId, run] as const));
    const [ended, sent, worked] = ["ended", "sent", "worked"].map((id) => held.get(id));
    if (ended === undefined || sent === undefined || worked === undefined) throw new Error("not claimed");
    const over = { consumed: [1] };
    await store.apply([
      turnOf(ended, { state: "continued", run: newRun("ended", "its follower"), input: '"x"', dueAt: null }, over),
      sendOf({ workflowId: "sent" }, "key"),
      turnOf(worked, driving, { tasks: [taskOf(1)], chunks: [] }),
      startOf(newRun("late")),
    ]);
    expect(await store.claimTasks({ worker, routes: ["charge"], limit: 1 })).toMatchObject({ tasks: [{ command: 1 }] });
    const outcomes = await store.applyWithin(connection, [
      sendOf({ workflowId: "ended" }, "a"),
      sendOf({ chainOf: ended.runId }, "b"),
      sendOf({ runId: ended.runId }, "c"),
      sendOf({ workflowId: "sent" }, "key"),
      sendOf({ workflowId: "late" }, "d"),
      startOf(newRun("late", "another")),
      finishOf({ key: 0, epoch: 0 }, { task: { runId: worked.runId, command: 1, attempt: 1 } }),
    ]);
    expect(statusesOf(outcomes)).toEqual(["sent", "sent", "not_running", "duplicate", "sent", "exists", "finished"]);
    await connection.query("COMMIT");
    expect(await find(store, "ended")).toMatchObject({ runId: "its follower", inboxCount: 4 });
    expect(await find(store, "late")).toMatchObject({ inboxCount: 2 });
    expect((await store.inspectOwned(worker)).tasks).toEqual([]);
  });

  test("calls in one transaction see one another, also when they are made at once", async () => {
    const { url, store } = await setUp();
    const connection = await begin(url);
    const [[started], [first], [second]] = await Promise.all([
      store.applyWithin(connection, [startOf(newRun("w"))]),
      store.applyWithin(connection, [sendOf({ workflowId: "w" }, "one")]),
      store.applyWithin(connection, [sendOf({ workflowId: "w" }, "two")]),
    ]);
    expect([started.status, first, second]).toMatchObject(["started", { position: 2 }, { position: 3 }]);
    expect(await store.applyWithin(connection, [sendOf({ workflowId: "w" }, "one")])).toMatchObject([{ status: "duplicate" }]);
    const again = await store.applyWithin(connection, [startOf(newRun("w", "second"), { reuse: "always", terminates: termination })]);
    expect(again).toMatchObject([{ status: "started" }]);
    await connection.query("COMMIT");
    expect(await find(store, "w")).toMatchObject({ runId: "second", inboxCount: 1 });
  });

  test.each(["REPEATABLE READ", "READ COMMITTED"])(
    "it holds up nobody whom it does not concern, at %s",
    { timeout: 20_000 },
    async (level) => {
      const { url, store, worker } = await setUp();
      const eager = { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) };
      const ids = ["b", "d"];
      const outcomes = await store.apply(
        ids.map((id) => startOf(newRun(id), { eager, messages: [messageOf("1"), messageOf("2"), messageOf("3")] })),
      );
      // One that has something to tidy up, between the rows of the others.
      const old = { worker, effects: effectsOf(driving, { events: [lineOf(1)], tasks: [taskOf(1), taskOf(2)] }) };
      await store.apply([startOf(newRun("b3"), { eager: old })]);
      await store.apply([startOf(newRun("b1"), { eager: old }), sendOf({ workflowId: "b1" }, "j"), sendOf({ workflowId: "b1" }, "k")]);
      const held = outcomes.map((outcome) => ({
        key: outcome.status === "started" ? outcome.key : 0,
        epoch: 1,
        lastSeq: 1,
        inboxCount: 3,
      }));
      const connection = await begin(url, level);
      const within = await store.applyWithin(connection, [
        sendOf({ workflowId: "b" }, "k"),
        sendOf({ workflowId: "nobody" }, "k"),
        startOf(newRun("c")),
        startOf(newRun("c2")),
        { type: "terminate", target: { workflowId: "b1" }, termination },
        finishOf({ key: 0, epoch: 0 }, { task: { runId: "run of b3", command: 1, attempt: 1 } }),
      ]);
      expect(statusesOf(within)).toEqual(["sent", "not_found", "started", "started", "terminated", "finished"]);
      const [b, d] = held;
      if (b === undefined || d === undefined) throw new Error("not started");
      const startedMs = performance.now();
      const around = ["a", "b2", "c1", "c3", "e", "nobody", "nobody 2", "zz"].map((id) => startOf(newRun(id), { eager }));
      const others: readonly Operation[] = [
        ...around,
        sendOf({ workflowId: "e" }, "k"),
        turnOf(b, driving),
        turnOf(d, driving, { tasks: [taskOf(1)], consumed: [1, 2, 3] }),
        sendOf({ workflowId: "d" }, "k"),
      ];
      expect(statusesOf(await store.apply(others))).toEqual([...around.map(() => "started"), "sent", "locked", "committed", "sent"]);
      // Another application's transaction beside it: neither waits, and so neither is a victim.
      const second = await begin(url, level);
      expect(statusesOf(await store.applyWithin(second, [sendOf({ workflowId: "d" }, "l"), startOf(newRun("c22"))]))).toEqual([
        "sent",
        "started",
      ]);
      expect(statusesOf(await store.applyWithin(connection, [startOf(newRun("c21")), startOf(newRun("zzz"))]))).toEqual([
        "started",
        "started",
      ]);
      // Less than the wait for a lock, after which a batch fails.
      expect(performance.now() - startedMs).toBeLessThan(1900);
      await connection.query("COMMIT");
      await second.query("COMMIT");
      expect(statusesOf(await store.apply([turnOf(b, idle())]))).toEqual(["committed"]);
      expect(await find(store, "c21")).toMatchObject({ status: "running" });
      expect(await find(store, "b1")).toMatchObject({ status: "terminated", inboxUnread: 2 });
      expect(await store.claimTasks({ worker, routes: ["charge"], limit: 9 })).toMatchObject({
        tasks: [{ runId: "run of b3", command: 2 }, { runId: "run of d" }],
      });
      expect(await count(url, "perdure_dedupe")).toBe(4);
    },
  );

  test("of a call that fails nothing stays, even if the application commits what it has", async () => {
    const { url, store, worker } = await setUp();
    const eager = { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) };
    await store.apply([startOf(newRun("kept"), { eager })]);
    const keeper = await connect(url, "START TRANSACTION", "SELECT id FROM perdure_run FOR UPDATE");
    const connection = await begin(url);
    await connection.query("SET SESSION innodb_lock_wait_timeout = 1");
    await connection.query("INSERT INTO orders VALUES (7)");
    await expect(store.applyWithin(connection, [startOf(newRun("new")), sendOf({ workflowId: "kept" }, "k")])).rejects.toMatchObject({
      name: "StoreFailure",
      outcome: "none",
      code: "backend_unavailable",
    });
    await connection.query("COMMIT");
    await keeper.query("ROLLBACK");
    expect(await count(url, "orders")).toBe(1);
    expect(await count(url, "perdure_run_fact")).toBe(1);
    expect(statusesOf(await store.apply([startOf(newRun("new"))]))).toEqual(["started"]);
  });

  test("settings of the session stay as they are, and odd ones lose nothing", async () => {
    const { url, store } = await setUp();
    const modes = "NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT";
    const connection = await connect(url, `SET SESSION sql_mode='${modes}'`, "START TRANSACTION");
    const settings = async (): Promise<unknown> =>
      (await connection.query("SELECT @@sql_mode, @@tx_isolation, @@autocommit, @@innodb_lock_wait_timeout, @@character_set_client"))[0];
    const before = await settings();
    const input = JSON.stringify({ text: 'a \\ back\'slash "quoted" 😀\n' });
    await store.applyWithin(connection, [startOf(newRun("w"), { input })]);
    expect(await settings()).toEqual(before);
    // Nor does a call that fails half-way leave them changed.
    const bad = { ...newRun("bad"), deadlineAt: Number.NaN };
    await expect(store.applyWithin(connection, [startOf(bad)])).rejects.toMatchObject({ code: "internal", outcome: "none" });
    expect(await settings()).toEqual(before);
    await connection.query("COMMIT");
    const key = (await find(store, "w"))?.key ?? 0;
    expect(await store.loadInboxes([{ key, above: 0 }])).toMatchObject([[{ payload: input }]]);
    expect((await connection.query("SELECT @@in_transaction AS it"))[0]).toEqual([{ it: 0 }]);
  });

  test("what is no transaction of this database is refused, and told apart", async () => {
    const { url, store } = await setUp();
    const refused = async (transaction: unknown, message: RegExp): Promise<void> => {
      await expect(store.applyWithin(transaction, [startOf(newRun("w"))])).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.stringMatching(message),
      });
    };
    for (const nothing of [undefined, null, "mysql://u@h/d", 7, {}, { query: () => undefined }])
      await refused(nothing, /no connection of mysql2/);
    const pool = promiseMysql.createPool(url);
    disposals.push(() => pool.end());
    await refused(pool, /a pool will not do/);
    await refused(await connect(url), /in no transaction/);
    await refused(await connect((await server.database()).url, "START TRANSACTION"), /another server or database/);
    const latin = await promiseMysql.createConnection({ uri: url, charset: "LATIN1_SWEDISH_CI" });
    disposals.push(async () => latin.destroy());
    await latin.query("START TRANSACTION");
    await refused(latin, /character set latin1/);
    expect(await find(store, "w")).toBeNull();
    // Without autocommit there is always one.
    const connection = await connect(url, "SET autocommit=0");
    expect(statusesOf(await store.applyWithin(connection, [startOf(newRun("w"))]))).toEqual(["started"]);
    expect(await find(store, "w")).toBeNull();
    await connection.commit();
    expect(await find(store, "w")).not.toBeNull();
  });

  test("a connection that is lost has rolled its transaction back", async () => {
    const { url, store } = await setUp();
    const connection = await begin(url);
    connection.on("error", () => undefined);
    await store.applyWithin(connection, [startOf(newRun("w"))]);
    await server.execute(`KILL ${String(connection.threadId)}`);
    await expect(store.applyWithin(connection, [startOf(newRun("v"))])).rejects.toMatchObject({
      code: "backend_unavailable",
      outcome: "none",
    });
    await expect.poll(() => store.apply([startOf(newRun("w"))]).then(statusesOf)).toEqual(["started"]);
  });
});
