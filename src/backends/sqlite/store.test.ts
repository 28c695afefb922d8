import { copyFileSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NewRun, Operation, Store } from "../../backend/index.js";
import { systemRuntime } from "../../platform/runtime.js";
import { driving, effectsOf, lineOf, sampleRun, sendOf, startOf, taskOf, turnOf } from "../../testing/conformance/samples.js";
import type { SqliteConnection, SqliteDriver, SqliteOpenOptions } from "./driver.js";
import { loadDriver } from "./drivers/load-driver.js";
import { SqliteError } from "./sqlite-error.js";
import { sqlite } from "./sqlite.js";
import { openSqliteStore } from "./store.js";

const runtime = systemRuntime();
const plainDriver = loadDriver();
let folder: string;
let path: string;
let stores: Store[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "perdure-store-"));
  path = join(folder, "a.db");
  stores = [];
});
afterEach(async () => {
  for (const store of stores) await store.close();
  rmSync(folder, { recursive: true, force: true });
});

async function open(driver: SqliteDriver = plainDriver, waitMaxMs = 5000): Promise<Store> {
  const store = await openSqliteStore(runtime, { driver, path, synchronous: "full", waitMaxMs });
  stores.push(store);
  return store;
}

/** Hands the connections out, so that a test can do to them what a disk or an administrator would. */
function watchedDriver(onExec: (sql: string, connection: SqliteConnection) => void = () => {}): {
  readonly driver: SqliteDriver;
  readonly opened: SqliteConnection[];
} {
  const opened: SqliteConnection[] = [];
  return {
    opened,
    driver: {
      name: plainDriver.name,
      open(file: string, options?: SqliteOpenOptions): SqliteConnection {
        const connection = plainDriver.open(file, options);
        if (file !== path) return connection;
        opened.push(connection);
        return Object.create(connection, {
          inTransaction: { get: () => connection.inTransaction },
          exec: {
            value(sql: string) {
              onExec(sql, connection);
              connection.exec(sql);
            },
          },
        }) as SqliteConnection;
      },
    },
  };
}

let lastId = 0;
const newRun = (run: Partial<NewRun> = {}): Operation => startOf(sampleRun({ workflowId: `w${(lastId += 1)}`, ...run }));
const countOf = async (store: Store): Promise<number> => (await store.listRuns({ limit: 100_000 })).length;
const failureOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (failure: unknown) => failure,
  );

describe("a SQLite store", () => {
  it("finds everything again after it was closed", async () => {
    const store = await open();
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    const run = sampleRun({ workflowId: "w", runId: "r" });
    await store.apply([startOf(run, { eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) } })]);
    await store.close();
    const again = await open();
    expect(await again.loadHistory({ key: 1, fromSeq: 1, limit: 10 })).toHaveLength(1);
    expect((await again.findRuns([{ runId: "r" }]))[0]?.run).toMatchObject({ workflowId: "w", ownerId: "a", epoch: 1, lastSeq: 1 });
  });

  it("can be looked at with SQLite's own tools", async () => {
    const store = await open();
    await store.apply([newRun({ workflowId: "order-7", name: "fulfil" })]);
    const other = plainDriver.open(path);
    expect(other.prepare("SELECT workflow_id, name, status, created_at, ended_at, owner FROM runs").all()).toEqual([
      {
        workflow_id: "order-7",
        name: "fulfil",
        status: "running",
        created_at: expect.stringMatching(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        ended_at: null,
        owner: null,
      },
    ]);
    other.close();
  });

  it("can be copied while it is in use, and the copy is a store", async () => {
    const store = await open();
    await store.apply([newRun({ runId: "r" })]);
    const other = plainDriver.open(path);
    other.exec(`VACUUM INTO '${path}.backup'`);
    other.close();
    await store.close();
    path = `${path}.backup`;
    const copy = await open();
    expect((await copy.findRuns([{ runId: "r" }]))[0]?.run.status).toBe("running");
    await copy.apply([newRun()]);
    expect(await countOf(copy)).toBe(2);
  });

  it("gives no key out twice, also after what had it is gone", async () => {
    const store = await open();
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    await store.retireWorker(worker);
    const next = await store.registerWorker({ workerId: "b", leaseMs: 60_000 });
    expect(next.worker).toBeGreaterThan(worker);
  });

  it("tells other processes when it takes work in hand after a rest, and not of all of it", async () => {
    const store = await open();
    const { worker } = await store.registerWorker({ workerId: "w", leaseMs: 10_000 });
    const touchedMs = (): number => statSync(`${path}-wake`, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const begin = (workflowId: string): Promise<unknown> =>
      store.apply([startOf(sampleRun({ workflowId }), { eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) } })]);
    const before = touchedMs();
    await begin("first");
    const told = touchedMs();
    expect(told).toBeGreaterThan(before);
    // Longer than one touch keeps others waiting.
    await new Promise<void>((resolve) => void runtime.setTimer(resolve, 100, { keepAlive: true }));
    await begin("second");
    expect(touchedMs()).toBe(told);
  });

  it("writes nothing for a start that finds its run", async () => {
    const store = await open();
    await store.apply([newRun({ workflowId: "w" })]);
    const other = plainDriver.open(path);
    const dataVersion = other.prepare("PRAGMA data_version");
    const before = dataVersion.get();
    expect((await store.apply([newRun({ workflowId: "w" })]))[0]?.status).toBe("exists");
    expect(dataVersion.get()).toEqual(before);
    await store.apply([newRun({ workflowId: "x" })]);
    expect(dataVersion.get()).not.toEqual(before);
    expect((await store.listRuns({ limit: 10 })).map(({ key }) => key)).toEqual([2, 1]);
    other.close();
  });

  it("refuses calls after it was closed", async () => {
    const store = await open();
    await store.close();
    await store.close();
    expect(await failureOf(store.apply([newRun()]))).toMatchObject({ code: "closed", outcome: "none", transient: false });
    expect(await failureOf(store.listRuns({ limit: 1 }))).toMatchObject({ code: "closed" });
  });

  it("leaves nothing but the file and its two small ones when everybody has gone", async () => {
    const store = await open();
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    expect(readdirSync(folder)).toContain("a.db-worker-a");
    await store.retireWorker(worker);
    expect(readdirSync(folder)).not.toContain("a.db-worker-a");
  });

  it("sweeps up after workers that died long ago", async () => {
    await (await open()).close();
    writeFileSync(join(folder, "a.db-worker-long-dead"), "");
    const store = await open();
    await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    expect(readdirSync(folder)).not.toContain("a.db-worker-long-dead");
  });

  it("lists in pieces whatever the filter leaves", async () => {
    const store = await open();
    const starts = (count: number, name: string): Operation[] => Array.from({ length: count }, () => newRun({ name }));
    await store.apply(starts(3, "rare"));
    for (let batch = 0; batch < 12; batch += 1) await store.apply(starts(1000, "common"));
    const rare = await store.listRuns({ name: "rare", limit: 10 });
    expect(rare.map(({ key }) => key)).toEqual([3, 2, 1]);
    expect(await store.listRuns({ name: "rare", limit: 10, before: 3 })).toHaveLength(2);
    expect(await store.listRuns({ name: "never seen", limit: 10 })).toEqual([]);
    expect(await store.listRuns({ limit: 7, before: 9000 })).toHaveLength(7);
  });

  it("lists the runs with an attribute, whether few have it or many, and so the children of a run", async () => {
    const store = await open();
    const kind = (index: number): string => (index % 1000 === 0 ? "rare" : index % 2 === 0 ? "common" : "other");
    for (let batch = 0; batch < 6; batch += 1) {
      const indexes = Array.from({ length: 1000 }, (_, index) => batch * 1000 + index);
      await store.apply(
        indexes.map((index) => {
          const run = sampleRun({
            workflowId: `w${index}`,
            parentRunId: index % 3 === 0 ? "parent" : null,
            name: index < 10 ? "old" : "new",
          });
          return startOf(run, { attributes: [{ name: "kind", value: kind(index) }] });
        }),
      );
    }
    const idsOf = async (options: Parameters<Store["listRuns"]>[0]): Promise<readonly string[]> =>
      (await store.listRuns(options)).map(({ workflowId }) => workflowId);
    const having = (value: string): Parameters<Store["listRuns"]>[0] => ({ attributes: [{ name: "kind", value }], limit: 5000 });

    expect(await idsOf(having("rare"))).toEqual(["w5000", "w4000", "w3000", "w2000", "w1000", "w0"]);
    expect(await idsOf({ ...having("rare"), limit: 2, before: 4001 })).toEqual(["w3000", "w2000"]);
    expect(await idsOf(having("common"))).toHaveLength(2994);
    expect(await idsOf({ ...having("common"), name: "old" })).toEqual(["w8", "w6", "w4", "w2"]);
    expect(await idsOf({ attributes: [...(having("rare").attributes ?? []), ...(having("common").attributes ?? [])], limit: 9 })).toEqual(
      [],
    );
    expect(await idsOf(having("unknown"))).toEqual([]);

    const children = await idsOf({ parentRunId: "parent", limit: 5000 });
    expect([children.length, children[0], children.at(-1)]).toEqual([2000, "w5997", "w0"]);
    expect(await idsOf({ parentRunId: "parent", name: "old", limit: 5000 })).toEqual(["w9", "w6", "w3", "w0"]);
    expect(await idsOf({ ...having("rare"), parentRunId: "parent" })).toEqual(["w3000", "w0"]);
  });

  it("lets a crowd of tasks expire piece by piece", async () => {
    const store = await open();
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    const tasks = Array.from({ length: 450 }, (_, index) => taskOf(index + 1, { dueAt: 1, expiresAt: 450 - index }));
    const run = sampleRun({ workflowId: "w" });
    await store.apply([startOf(run, { eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)], tasks }) } })]);
    expect([await store.expireTasks(), await store.expireTasks()]).toEqual([450, 0]);
    const [inbox = []] = await store.loadInboxes([{ key: 1, above: 0 }]);
    expect(inbox.map(({ position }) => position)).toEqual(Array.from({ length: 450 }, (_, index) => index + 1));
    expect(new Set(inbox.map(({ command }) => command)).size).toBe(450);
  });

  it("gives streams the same places whichever of two processes appends", async () => {
    const [store, other] = [await open(), await open()];
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    await store.apply([
      startOf(sampleRun({ workflowId: "w" }), { eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) } }),
    ]);
    const appendOf = (writer: string, number: number): Operation => ({
      type: "append",
      on: { run: 1, epoch: 1 },
      chunks: [1, 2].map((half) => ({ stream: "s", writer, number: 2 * number + half, restartAt: null, payload: `${writer} ${number}` })),
    });
    const numbers = Array.from({ length: 20 }, (_, index) => index);
    await Promise.all(numbers.flatMap((number) => [store.apply([appendOf("1", number)]), other.apply([appendOf("2", number)])]));
    const read = await other.readChunks({ target: { workflowId: "w" }, stream: "s", from: 0, limit: 100 });
    expect(read?.chunks.map(({ offset }) => offset)).toEqual(Array.from({ length: 80 }, (_, index) => index));
    expect(await store.readStreamTail({ key: 1, stream: "s", writer: "2" })).toMatchObject({ lastNumber: 40, chunks: 40 });
  });
});

describe("options of sqlite()", () => {
  it.each([
    [[":memory:"], /perdure\/memory/],
    [[""], /path of a database file/],
    [["a\0b"], /path of a database file/],
    [["file:a.db"], /plain path/],
    [[undefined], /path of a database file/],
    [["a.db", { synchronous: "off" }], /synchronous .* Give "full" or "normal"/],
    [["a.db", { busyWaitMs: -1 }], /busyWaitMs/],
    [["a.db", { sync: "full" }], /no option "sync"/],
    [["a.db", null], /must be an object/],
  ])("refuses %j", (args, message) => {
    const call = (): unknown => (sqlite as (...given: unknown[]) => unknown)(...args);
    expect(call).toThrow(expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(message) }));
  });

  it("says which driver is unknown when it is opened", async () => {
    const backend = sqlite(path, { driver: "sqlite3" as "libsql" });
    expect(await failureOf(backend.open(runtime))).toMatchObject({ code: "invalid_argument" });
  });
});

describe("a file that is no store", () => {
  it("is left alone if it is not a database", async () => {
    writeFileSync(path, "This is somebody's letter. ".repeat(100));
    expect(await failureOf(open())).toMatchObject({
      code: "backend_mismatch",
      message: expect.stringMatching(/not a SQLite database.*another path/),
    });
  });

  it("is left alone if it is another application's", async () => {
    const other = plainDriver.open(path);
    other.exec("CREATE TABLE letter (text)");
    other.close();
    expect(await failureOf(open())).toMatchObject({ code: "backend_mismatch", message: expect.stringMatching(/another application/) });
  });

  it("is left alone if a newer version made it", async () => {
    await (await open()).close();
    const newer = plainDriver.open(path);
    newer.exec("PRAGMA user_version = 999");
    newer.close();
    expect(await failureOf(open())).toMatchObject({
      code: "backend_mismatch",
      message: expect.stringMatching(/version 999.*Update perdure/),
    });
  });

  it("is reported if its folder is missing", async () => {
    path = join(folder, "no", "such", "a.db");
    expect(await failureOf(open())).toMatchObject({ code: "backend_failed", message: expect.stringMatching(/does not exist. Create it/) });
  });
});

describe("a file that fails", () => {
  it("goes on when the full disk has room again, with nothing lost and nothing half written", async () => {
    const { driver, opened } = watchedDriver();
    const store = await open(driver);
    await store.apply([newRun()]);
    opened[0]?.exec("PRAGMA max_page_count = 1");
    const big = (): Operation[] =>
      Array.from({ length: 50 }, () => startOf(sampleRun({ workflowId: `big ${(lastId += 1)}` }), { input: "x".repeat(10_000) }));
    const failure = await failureOf(store.apply(big()));
    expect(failure).toMatchObject({
      code: "backend_full",
      outcome: "none",
      transient: true,
      message: expect.stringMatching(/Free some space/),
    });
    expect(await countOf(store)).toBe(1);
    opened[0]?.exec("PRAGMA max_page_count = 1000000");
    await store.apply(big());
    expect(await countOf(store)).toBe(51);
  });

  it("says that it cannot be written, and is read all the same", async () => {
    const { driver, opened } = watchedDriver();
    const store = await open(driver);
    await store.apply([newRun()]);
    opened[0]?.exec("PRAGMA query_only = 1");
    const failure = await failureOf(store.apply([newRun()]));
    expect(failure).toMatchObject({
      code: "backend_readonly",
      outcome: "none",
      transient: false,
      message: expect.stringMatching(/permissions/),
    });
    expect(await countOf(store)).toBe(1);
    opened[0]?.exec("PRAGMA query_only = 0");
    await store.apply([newRun()]);
    expect(await countOf(store)).toBe(2);
  });

  it("forgets the names that went with a commit, also for what is written right behind it", async () => {
    let isFull = false;
    const { driver } = watchedDriver((sql) => {
      if (sql !== "COMMIT" || !isFull) return;
      isFull = false;
      throw new SqliteError(13, "database or disk is full");
    });
    const store = await open(driver);
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    isFull = true;
    const calls = ["first", "second", "first"].map((name) => store.apply([newRun({ name })]));
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
    const { runs } = await store.claimRuns({ worker, routes: ["first", "second"], limit: 10, suspects: 0 });
    expect(runs.map(({ name }) => name)).toEqual(["second", "first"]);
    const other = await open();
    expect((await other.listRuns({ limit: 10 })).map(({ name }) => name)).toEqual(["first", "second"]);
  });

  it("refuses every call once the file was deleted, and goes on when it is back", async () => {
    const store = await open();
    await store.apply([newRun()]);
    for (const suffix of ["", "-wal", "-shm"]) renameSync(path + suffix, `${path}.away${suffix}`);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(await failureOf(store.apply([newRun()]))).toMatchObject({
        code: "backend_mismatch",
        outcome: "none",
        transient: false,
        message: expect.stringMatching(/deleted or moved.*Put it back/),
      });
    }
    expect(existsSync(path)).toBe(false);
    for (const suffix of ["", "-wal", "-shm"]) renameSync(`${path}.away${suffix}`, path + suffix);
    await store.apply([newRun()]);
    expect(await countOf(store)).toBe(2);
  });

  it("refuses to write into a file that somebody put in its place", async () => {
    const store = await open();
    await store.apply([newRun()]);
    copyFileSync(path, `${path}.copy`);
    unlinkSync(path);
    renameSync(`${path}.copy`, path);
    expect(await failureOf(store.apply([newRun()]))).toMatchObject({
      code: "backend_mismatch",
      outcome: "none",
      message: expect.stringMatching(/replaced/),
    });
  });

  it("does not acknowledge what was committed to a file that was deleted meanwhile", async () => {
    const { driver } = watchedDriver((sql) => {
      if (sql === "COMMIT" && armed) unlinkSync(path);
    });
    let armed = false;
    const store = await open(driver);
    armed = true;
    expect(await failureOf(store.apply([newRun()]))).toMatchObject({ code: "backend_mismatch", outcome: "unknown" });
  });

  it("does not know what became of a commit that the disk failed, and opens the file anew", async () => {
    let fault: "none" | "before" | "after" = "none";
    const { driver, opened } = watchedDriver((sql, connection) => {
      if (sql !== "COMMIT" || fault === "none") return;
      if (fault === "after") connection.exec("COMMIT");
      fault = "none";
      throw new SqliteError(1034, "disk I/O error");
    });
    const store = await open(driver);
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    const run = sampleRun({ workflowId: "w", runId: "r" });
    await store.apply([startOf(run, { eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) } })]);
    const held = { key: 1, epoch: 1, lastSeq: 1, inboxCount: 0 };
    for (const when of ["before", "after"] as const) {
      fault = when;
      const turn = store.apply([turnOf(held, driving)]);
      const behind = store.apply([sendOf({ runId: "r" }, when)]);
      expect(await failureOf(turn)).toMatchObject({ code: "backend_failed", outcome: "unknown", transient: true });
      expect((await behind)[0].status).toBe("sent");
      // The engine finds out by claiming the run again.
      const reclaimed = await store.reclaimRun({ worker, key: held.key, epoch: held.epoch });
      expect(reclaimed?.lastSeq).toBe(held.lastSeq + (when === "after" ? 1 : 0));
      held.lastSeq = reclaimed?.lastSeq ?? 0;
      held.epoch = reclaimed?.epoch ?? 0;
    }
    expect(opened).toHaveLength(3);
    await store.apply([newRun()]);
    for (const pragma of ["synchronous = 2", "foreign_keys = 0", "busy_timeout = 0"]) {
      const [name = "", value] = pragma.split(" = ");
      expect(Object.values(opened.at(-1)?.prepare(`PRAGMA ${name}`).get() ?? {})[0]).toBe(Number(value));
    }
    expect((await store.findRuns([{ runId: "r" }]))[0]?.run).toMatchObject({ lastSeq: 2, inboxCount: 2 });
  });

  it("rejects what waits if it cannot be opened anew, and goes on once it can", async () => {
    let isFailing = false;
    const { driver, opened } = watchedDriver((sql) => {
      if (sql === "COMMIT" && isFailing) throw new SqliteError(1034, "disk I/O error");
    });
    let isGone = false;
    const store = await open({
      ...driver,
      open(file, options) {
        if (isGone && file === path) throw new SqliteError(14, "unable to open database file");
        return driver.open(file, options);
      },
    });
    isFailing = true;
    isGone = true;
    const [first, second] = [store.apply([newRun()]), store.apply([newRun()])];
    expect(await failureOf(first)).toMatchObject({ outcome: "unknown" });
    expect(await failureOf(store.listRuns({ limit: 1 }))).toMatchObject({ code: "backend_failed", outcome: "none" });
    expect(await failureOf(second)).toMatchObject({ code: "backend_failed", outcome: "none" });
    isFailing = false;
    isGone = false;
    await store.apply([newRun()]);
    expect(opened).toHaveLength(2);
  });
});
