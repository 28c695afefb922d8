import { afterAll, afterEach, describe, expect, test } from "vitest";
import { inspect } from "node:util";
import callbackMysql from "mysql2";
import promiseMysql from "mysql2/promise";
import { launch, workflow } from "perdure";
import { isPerdureError } from "perdure";
import type { Store } from "perdure/backend";
import { mysql, mysqlSchema } from "perdure/mysql";
import { systemRuntime } from "../../src/platform/runtime.js";
import { driving, effectsOf, idle, lineOf, sampleRun, sendOf, startOf, turnOf, type Held } from "../../src/testing/conformance/samples.js";
import { renew } from "../../src/testing/conformance/renew.js";
import { mariadbServer, password } from "../support/mariadb-server.js";
import { mysqlProxy } from "../support/mysql-proxy.js";

// Of one's own: it is ended and started again.
const server = await mariadbServer({ own: true });
afterAll(() => server?.stop());

const runtime = systemRuntime();
const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

const steps = workflow("five-steps", async (ctx, input: number) => {
  let sum = 0;
  for (let index = 0; index < 5; index += 1) sum += await ctx.step(`step ${index}`, () => input + index);
  return sum;
});
const sumOf = (input: number): number => 5 * input + 10;

describe.runIf(server !== undefined)("faults", () => {
  if (server === undefined) return;
  const database = async () => {
    const made = await server.database();
    disposals.push(made.drop);
    return made;
  };
  const open = async (target: Parameters<typeof mysql>[0], options?: Parameters<typeof mysql>[1]): Promise<Store> => {
    const store = await mysql(target, options).open(runtime);
    disposals.push(() => store.close());
    return store;
  };
  const drive = async (store: Store, workflowId = "w"): Promise<Held & { readonly worker: number }> => {
    const { worker } = await store.registerWorker({ workerId: `worker of ${workflowId}`, leaseMs: 3_600_000 });
    const effects = effectsOf(driving, { events: [lineOf(1)] });
    const [outcome] = await store.apply([startOf(sampleRun({ workflowId }), { eager: { worker, effects } })]);
    if (outcome.status !== "started") throw new Error(`not started: ${outcome.status}`);
    return { worker, key: outcome.key, epoch: 1, lastSeq: 1, inboxCount: 0 };
  };
  const quietLogger = { debug() {}, info() {}, warn() {}, error() {} };

  test("a workflow runs on it", async () => {
    const { url } = await database();
    const hello = workflow("hello", async (ctx, name: string) => ctx.step("greet", () => `hello, ${name}`));
    const engine = await launch({ backend: mysql(url), workflows: [hello] });
    try {
      expect(await engine.execute(hello, "world", { id: "a" })).toBe("hello, world");
    } finally {
      await engine.close();
    }
  });

  test("workflows outlive connections that are killed under them", { timeout: 60_000 }, async () => {
    const { url, name } = await database();
    const engine = await launch({ backend: mysql(url), workflows: [steps], logger: quietLogger });
    let kills = 0;
    const results = Promise.all(Array.from({ length: 200 }, (_, index) => engine.execute(steps, index, { id: `run ${index}` })));
    let isDone = false;
    void results.finally(() => (isDone = true)).catch(() => undefined);
    while (!isDone) {
      const sessions = await server.execute(`SELECT id FROM information_schema.processlist WHERE db = '${name}'`);
      for (const { id, ID } of sessions)
        kills += await server.execute(`KILL ${String(id ?? ID)}`).then(
          () => 1,
          () => 0,
        );
    }
    expect(await results).toEqual(Array.from({ length: 200 }, (_, index) => sumOf(index)));
    expect(kills).toBeGreaterThan(5);
    await engine.close();
  });

  test("workflows outlive a crash of the server", { timeout: 60_000 }, async () => {
    const { url } = await database();
    const engine = await launch({ backend: mysql(url), workflows: [steps], logger: quietLogger });
    // Once before, so that there is a definition and a worker in the tables.
    await engine.execute(steps, 0);
    const results = Promise.all(Array.from({ length: 100 }, (_, index) => engine.execute(steps, index, { id: `run ${index}` })));
    await server.kill();
    await server.start();
    expect(await results).toEqual(Array.from({ length: 100 }, (_, index) => sumOf(index)));
    await engine.close();
  });

  test.each(["before", "after"] as const)(
    "a commit that is cut off %s the server acts has an unknown outcome, which a re-claim resolves",
    async (when) => {
      const { url } = await database();
      const proxy = await mysqlProxy(url);
      disposals.push(proxy.close);
      const store = await open(proxy.url);
      const run = await drive(store);
      proxy.cutNext(when);
      const failure = await store.apply([turnOf(run, driving)]).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).toMatchObject({ name: "StoreFailure", outcome: "unknown", transient: true });
      const claimed = await store.reclaimRun({ worker: run.worker, key: run.key, epoch: run.epoch });
      expect(claimed).toMatchObject({ epoch: 2, lastSeq: when === "after" ? 2 : 1 });
      // Whatever happened: the turn of the old epoch counts no more.
      expect(await store.apply([turnOf(run, driving)])).toEqual([{ status: "fenced" }]);
    },
  );

  test("a process that hangs in the middle of a commit keeps its rows for two seconds, and its work is not lost", async () => {
    const { url } = await database();
    const proxy = await mysqlProxy(url);
    disposals.push(proxy.close);
    const [hung, other] = [await open(proxy.url), await open(url)];
    const run = await drive(hung);
    proxy.hangNext();
    const commit = hung.apply([turnOf(run, driving)]).catch((error: unknown) => error);
    await expect.poll(() => proxy.cuts).toBe(1);
    const hungMs = performance.now();
    await expect.poll(() => other.reclaimRun(run).catch(() => null), { timeout: 10_000 }).not.toBeNull();
    expect(performance.now() - hungMs).toBeGreaterThan(1000);
    expect(await commit).toMatchObject({ outcome: "unknown", transient: true });
  });

  test("cut-off commits neither lose nor repeat anything that workflows see", { timeout: 60_000 }, async () => {
    const { url } = await database();
    const proxy = await mysqlProxy(url);
    disposals.push(proxy.close);
    const engine = await launch({ backend: mysql(proxy.url), workflows: [steps], logger: quietLogger });
    for (let index = 0; index < 30; index += 1) {
      proxy.cutNext(index % 2 === 0 ? "before" : "after");
      expect(await engine.execute(steps, index, { id: `run ${index}` })).toBe(sumOf(index));
    }
    expect(proxy.cuts).toBeGreaterThanOrEqual(30);
    await engine.close();
  });

  test("a row that an application keeps locked is told apart from one that was lost, and holds up no other", async () => {
    const { url } = await database();
    const store = await open(url);
    const [kept, free] = [await drive(store, "kept"), await drive(store, "free")];
    const other = await promiseMysql.createConnection(url);
    try {
      await other.query("START TRANSACTION");
      await other.query(`SELECT id FROM perdure_run WHERE id = ${kept.key} FOR UPDATE`);
      const second = turnOf({ ...kept, lastSeq: 2 }, driving);
      const stale = turnOf({ ...kept, epoch: 0 }, driving);
      const outcomes = await store.apply([turnOf(kept, driving), turnOf(free, driving), second, stale]);
      expect(outcomes.map(({ status }) => status)).toEqual(["locked", "committed", "locked", "fenced"]);
      // A message has to wait for the row; it is refused in the end, with nothing written.
      await expect(store.apply([sendOf({ workflowId: "kept" }, "k")])).rejects.toMatchObject({
        outcome: "none",
        transient: true,
        code: "backend_unavailable",
      });
      await other.query("ROLLBACK");
    } finally {
      other.destroy();
    }
    const [again, sent] = await store.apply([turnOf(kept, driving), sendOf({ workflowId: "kept" }, "k")]);
    expect([again.status, sent.status]).toEqual(["committed", "sent"]);
  });

  test.each([
    ["a wrong password", (url: URL) => (url.password = `wrong-${password}`), "backend_failed", /refused the user or the password/],
    ["a database that does not exist", (url: URL) => (url.pathname = "/nowhere"), "backend_failed", /does not exist/],
    ["a host that does not exist", (url: URL) => (url.hostname = "host.invalid"), "backend_unavailable", /host\.invalid/],
    ["a port where nobody listens", (url: URL) => (url.port = "1"), "backend_unavailable", /out of reach/],
  ])("%s is explained, without the password", async (_, change, code, text) => {
    const url = new URL((await database()).url);
    change(url);
    const error: unknown = await mysql(url.href)
      .open(runtime)
      .then(
        () => undefined,
        (failure: unknown) => failure,
      );
    expect(isPerdureError(error) && error.code).toBe(code);
    expect(String(error)).toMatch(text);
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(password);
  });

  test("a server that is too old is refused", async () => {
    // It says so of itself and is not: no server of those days can be had.
    const old = await mariadbServer({ own: true, settings: ["--version=10.6.21-MariaDB"] });
    disposals.push(async () => old?.stop());
    await expect(mysql((await old!.database()).url).open(runtime)).rejects.toMatchObject({
      code: "backend_mismatch",
      message: expect.stringContaining("needs MariaDB 10.11"),
    });
  });

  test("a pooler that forgets what a session was set to is refused", async () => {
    const { url } = await database();
    const pool = callbackMysql.createPool(url);
    disposals.push(() => pool.promise().end());
    const lent = {
      on: () => undefined,
      destroy: () => undefined,
      query: (query: callbackMysql.QueryOptions, answered: (error: unknown, result?: unknown) => void) =>
        pool.getConnection((error, connection) => {
          if (error !== null) return answered(error);
          connection.query(query, (failure, result) => connection.reset(() => (connection.release(), answered(failure, result))));
        }),
    };
    const forgetful = { getConnection: (lend: (error: null, connection: object) => void) => lend(null, lent) };
    await expect(mysql(forgetful).open(runtime)).rejects.toMatchObject({
      code: "backend_mismatch",
      message: expect.stringContaining("do not stick"),
    });
  });

  test.each([["not an address"], ["postgres://u@h/d"], ["mysql://u:secret-word@h"], [{}], [undefined]])("%j is no address", (target) => {
    expect(() => mysql(target as string)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.not.stringContaining("secret-word") }),
    );
  });

  test.each([["1abc"], ["a-b"], ["a`; DROP TABLE x; --"], [""], ["x".repeat(41)]])("%j is no prefix", (prefix) => {
    expect(() => mysql("mysql://u@h/d", { prefix })).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });

  test("a user without the right to create tables needs them made, and then no more than to read and write", async () => {
    const { url, name } = await database();
    const user = `limited_${name}`.slice(0, 30);
    await server.execute(
      `CREATE OR REPLACE USER ${user}@'%' IDENTIFIED BY 'limited-pass'`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${name}.* TO ${user}@'%'`,
    );
    const limited = new URL(url);
    limited.username = user;
    limited.password = "limited-pass";
    await expect(mysql(limited.href).open(runtime)).rejects.toMatchObject({
      code: "backend_failed",
      message: expect.stringContaining("mysqlSchema()"),
    });
    const admin = await promiseMysql.createConnection({ uri: url, multipleStatements: true });
    await admin.query(mysqlSchema());
    admin.destroy();
    const store = await open(limited.href);
    const run = await drive(store);
    expect(await store.apply([turnOf(run, idle())])).toMatchObject([{ status: "committed", owned: false }]);
    await server.execute(`DROP USER ${user}@'%'`);
  });

  test("a server that takes no writes any more is left for whoever answers at its address", async () => {
    const { url, name } = await database();
    await (await open(url)).close();
    const user = `writer_${name}`.slice(0, 30);
    await server.execute(`CREATE OR REPLACE USER ${user}@'%'`, `GRANT SELECT, INSERT, UPDATE, DELETE ON ${name}.* TO ${user}@'%'`);
    const location = Object.assign(new URL(url), { username: user, password: "" });
    const store = await open(location.href);
    const run = await drive(store);
    const connections = async (): Promise<ReadonlySet<unknown>> =>
      new Set((await server.execute(`SELECT ID AS id FROM information_schema.processlist WHERE user = '${user}'`)).map(({ id }) => id));
    const before = await connections();
    expect(before.size).toBeGreaterThanOrEqual(2);
    await server.execute("SET GLOBAL read_only = 1");
    try {
      await expect(store.apply([turnOf(run, driving)])).rejects.toMatchObject({
        code: "backend_readonly",
        outcome: "none",
        transient: true,
      });
      await expect(renew(store, run.worker, 1000)).rejects.toMatchObject({ code: "backend_readonly" });
    } finally {
      await server.execute("SET GLOBAL read_only = 0");
    }
    expect(await store.apply([turnOf(run, driving)])).toMatchObject([{ status: "committed" }]);
    expect(await renew(store, run.worker, 1000)).toBe(true);
    const after = await connections();
    expect([...before].filter((id) => after.has(id))).toEqual([]);
  });

  test("a row that is too large for the server is refused by itself, before it is sent", async () => {
    const { url } = await database();
    const before = Number((await server.execute("SELECT @@GLOBAL.max_allowed_packet AS bytes"))[0]?.["bytes"]);
    await server.execute("SET GLOBAL max_allowed_packet = 1048576");
    try {
      const store = await open(url);
      const run = await drive(store);
      const payload = JSON.stringify("ä".repeat(700_000));
      const tooLarge = turnOf(run, driving, { events: [lineOf(2, { payload })] });
      await expect(store.apply([tooLarge])).rejects.toMatchObject({
        code: "backend_failed",
        outcome: "none",
        transient: false,
        message: expect.stringContaining("max_allowed_packet"),
      });
      const fitting = turnOf(run, driving, { events: [lineOf(2, { payload: payload.slice(0, 400_000) })] });
      expect(await store.apply([fitting])).toMatchObject([{ status: "committed" }]);
    } finally {
      await server.execute(`SET GLOBAL max_allowed_packet = ${before}`);
    }
  });

  test("tables of a newer perdure are left alone", async () => {
    const { url, name } = await database();
    await (await open(url)).close();
    await server.execute(`INSERT INTO ${name}.perdure_migration VALUES (99, 'from the future')`);
    await expect(mysql(url).open(runtime)).rejects.toMatchObject({ code: "backend_mismatch" });
  });

  test("closing ends what is under way, and refuses what comes after", async () => {
    const { url } = await database();
    const store = await open(url);
    const run = await drive(store);
    const other = await promiseMysql.createConnection(url);
    disposals.push(async () => other.destroy());
    await other.query("START TRANSACTION");
    await other.query(`SELECT id FROM perdure_run WHERE id = ${run.key} FOR UPDATE`);
    const sent = store.apply([sendOf({ workflowId: "w" }, "k")]).catch((error: unknown) => error);
    const isWaiting = async (): Promise<boolean> => {
      const rows = await server.execute("SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'");
      return rows.length > 0;
    };
    // InnoDB renews what it says here only if nobody has asked for 100 ms: who asks more often is told the same for ever.
    await expect.poll(isWaiting, { timeout: 5000, interval: 150 }).toBe(true);
    await store.close();
    expect(await sent).toMatchObject({ name: "StoreFailure", outcome: "none" });
    await expect(store.findRuns([{ workflowId: "w" }])).rejects.toMatchObject({ code: "closed", outcome: "none" });
  });

  test("two applications share a database, apart", async () => {
    const { url } = await database();
    const [first, second] = [await open(url, { prefix: "one_" }), await open(url, { prefix: "two_" })];
    await drive(first);
    expect(await second.findRuns([{ workflowId: "w" }])).toEqual([null]);
    expect((await first.findRuns([{ workflowId: "w" }]))[0]?.run.workflowId).toBe("w");
  });

  test("opening at once makes the tables once", async () => {
    const { url } = await database();
    const stores = await Promise.all(Array.from({ length: 6 }, () => open(url)));
    await drive(stores[0] as Store);
    expect(await Promise.all(stores.map(async (store) => (await store.listRuns({ limit: 5 })).length))).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test.each(["promise", "callback"] as const)("a pool can be handed in (%s), and never gets a connection back changed", async (kind) => {
    const { url } = await database();
    const pool = kind === "promise" ? promiseMysql.createPool(url) : callbackMysql.createPool(url);
    const settings = async (): Promise<unknown> => {
      const promised = "promise" in pool ? pool.promise() : pool;
      return (await promised.query("SELECT @@sql_mode, @@tx_isolation, @@innodb_lock_wait_timeout, @@autocommit"))[0];
    };
    const before = await settings();
    const store = await mysql(pool).open(runtime);
    const run = await drive(store);
    expect(await store.apply([turnOf(run, idle())])).toMatchObject([{ status: "committed" }]);
    expect(await settings()).toEqual(before);
    await store.close();
    expect(await settings()).toEqual(before);
    await (pool as { end(): Promise<void> | void }).end();
  });

  test("a pool of another character set loses no character", async () => {
    const { url } = await database();
    const pool = promiseMysql.createPool({ uri: url, charset: "LATIN1_SWEDISH_CI" });
    const store = await mysql(pool).open(runtime);
    const run = await drive(store, "é 😀");
    expect(await store.apply([turnOf(run, driving, { events: [lineOf(2, { payload: '"ж 😀"' })] })])).toMatchObject([
      { status: "committed" },
    ]);
    expect((await store.findRuns([{ workflowId: "é 😀" }]))[0]?.run.workflowId).toBe("é 😀");
    expect((await store.loadHistory({ key: run.key, fromSeq: 2, limit: 1 }))[0]?.payload).toBe('"ж 😀"');
    await store.close();
    await pool.end();
  });
});
