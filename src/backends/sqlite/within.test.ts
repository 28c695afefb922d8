import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Operation, Store } from "../../backend/index.js";
import { loadBuiltin } from "../../platform/load-builtin.js";
import { systemRuntime } from "../../platform/runtime.js";
import { driving, effectsOf, lineOf, messageOf, sampleRun, sendOf, startOf, taskOf, turnOf } from "../../testing/conformance/samples.js";
import type { SqliteDriverName } from "./driver.js";
import { loadDriver } from "./drivers/load-driver.js";
import { openSqliteStore } from "./store.js";
import { applyWithin } from "./within.js";

/** What an application has in its hands, as far as these tests use it. */
interface Handle {
  exec(sql: string): unknown;
  prepare(sql: string): { all(): unknown[] };
  close(): unknown;
}

const require = createRequire(import.meta.url);
const construct = (module: unknown, path: string): Handle => new (module as new (path: string) => Handle)(path);
const fromPackage = (name: string, path: string): Handle => construct(require(name), path);
const openers: Readonly<Record<Exclude<SqliteDriverName, "bun:sqlite">, (path: string) => Handle>> = {
  "node:sqlite": (path) => construct((loadBuiltin("node:sqlite") as { DatabaseSync: unknown }).DatabaseSync, path),
  "better-sqlite3": (path) => fromPackage("better-sqlite3", path),
  libsql: (path) => fromPackage("libsql", path),
};
const usable = (Object.keys(openers) as (keyof typeof openers)[]).filter((name) => {
  try {
    return loadDriver(name).name === name;
  } catch {
    return false;
  }
});

describe.each(usable)("a transaction of the application's own on %s", (name) => {
  let folder: string;
  let path: string;
  let store: Store;
  let application: Handle;
  const others: { close(): unknown }[] = [];

  const open = (): Promise<Store> =>
    openSqliteStore(systemRuntime(), { driver: loadDriver(name), path, synchronous: "normal", waitMaxMs: 5000 });

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "perdure-within-"));
    path = join(folder, "a.db");
    store = await open();
    application = openers[name](path);
    application.exec("CREATE TABLE customer_order (id TEXT)");
  });
  afterEach(async () => {
    for (const other of others.splice(0)) await other.close();
    application.close();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const newRun = (workflowId: string, workflow = "order"): Operation => startOf(sampleRun({ workflowId, name: workflow }));
  const idsOf = async (): Promise<readonly string[]> => (await store.listRuns({ limit: 100 })).map(({ workflowId }) => workflowId);
  const orders = (): readonly unknown[] => application.prepare("SELECT id FROM customer_order").all();
  const failureOf = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => undefined,
      (failure: unknown) => failure,
    );

  it("commits both, or neither", async () => {
    application.exec("BEGIN IMMEDIATE; INSERT INTO customer_order VALUES ('1')");
    const [started, sent] = await store.applyWithin(application, [
      startOf(sampleRun({ workflowId: "w1" })),
      sendOf({ workflowId: "w1" }, "k"),
    ]);
    expect([started.status, sent.status]).toEqual(["started", "sent"]);
    expect(await idsOf()).toEqual([]);
    application.exec("ROLLBACK");
    expect([await idsOf(), orders()]).toEqual([[], []]);

    application.exec("BEGIN IMMEDIATE; INSERT INTO customer_order VALUES ('2')");
    await store.applyWithin(application, [newRun("w2")]);
    application.exec("COMMIT");
    expect([await idsOf(), orders()]).toEqual([["w2"], [{ id: "2" }]]);
  });

  it("has written before the call returns, for transactions that cannot wait", async () => {
    application.exec("BEGIN IMMEDIATE");
    const call = store.applyWithin(application, [newRun("w")]);
    application.exec("COMMIT");
    expect((await call).map(({ status }) => status)).toEqual(["started"]);
    expect(await idsOf()).toEqual(["w"]);
  });

  it("uses no name and no key that was rolled back", async () => {
    application.exec("BEGIN IMMEDIATE; SAVEPOINT mine");
    await store.applyWithin(application, [newRun("w1", "first")]);
    await store.applyWithin(application, [newRun("w2", "first")]);
    application.exec("ROLLBACK TO mine");
    await store.applyWithin(application, [newRun("w3", "second")]);
    application.exec("ROLLBACK");
    await store.apply([newRun("w4", "third")]);
    application.exec("BEGIN IMMEDIATE");
    await store.applyWithin(application, [newRun("w5", "first"), newRun("w6", "second")]);
    application.exec("COMMIT");
    await store.apply([newRun("w7", "second")]);
    const listed = await store.listRuns({ limit: 10 });
    expect(listed.map((run) => [run.key, run.workflowId, run.name])).toEqual([
      [4, "w7", "second"],
      [3, "w6", "second"],
      [2, "w5", "first"],
      [1, "w4", "third"],
    ]);
    const again = await open();
    others.push(again);
    expect((await again.listRuns({ name: "second", limit: 10 })).map((run) => run.workflowId)).toEqual(["w7", "w6"]);
  });

  it("can hold every kind of operation, and claim what it wakes", async () => {
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    const claimFor = { worker, routes: ["order"] };
    const effects = effectsOf({ state: "idle", dueAt: null }, { events: [lineOf(1)], tasks: [taskOf(1, { dueAt: 1 })] });
    await store.apply([startOf(sampleRun({ workflowId: "w", runId: "r" }), { eager: { worker, effects } }), newRun("x")]);
    const { tasks } = await store.claimTasks({ worker, routes: ["charge"], limit: 1 });
    const [task] = tasks;
    if (task === undefined) throw new Error("no task");
    application.exec("BEGIN IMMEDIATE");
    const outcomes = await store.applyWithin(application, [
      sendOf({ chainOf: "r" }, "k", { item: messageOf(new Uint8Array([0, 255])), claimFor }),
      {
        type: "append",
        on: { task: task.key, epoch: task.epoch },
        chunks: [{ stream: "s", writer: "1", number: 1, restartAt: null, payload: "a" }],
      },
      { type: "touch_task", key: task.key, epoch: task.epoch, details: "half", detach: false },
      { type: "finish_task", task: { key: task.key, epoch: task.epoch }, kind: "activity_completed", payload: "1", claimFor },
      { type: "terminate", target: { workflowId: "x" }, termination: { event: "{}", payload: null, tasks: [] } },
      { type: "resume", target: { workflowId: "x" } },
      turnOf({ key: task.runKey, epoch: 2, lastSeq: 1, inboxCount: 2 }, driving),
    ]);
    application.exec("COMMIT");
    expect(outcomes.map(({ status }) => status)).toEqual([
      "sent",
      "appended",
      "touched",
      "finished",
      "terminated",
      "not_parked",
      "committed",
    ]);
    expect(outcomes[0]).toMatchObject({ claimed: { runId: "r", epoch: 2 }, owner: worker });
    const [inbox] = await store.loadInboxes([{ key: task.runKey, above: 0 }]);
    expect(inbox?.map(({ kind, payload }) => [kind, typeof payload === "string" ? payload : [...(payload ?? [])]])).toEqual([
      ["message", [0, 255]],
      ["activity_completed", "1"],
    ]);
  });

  it("keeps writers waiting, without holding up the event loop, until it is over", async () => {
    application.exec("BEGIN IMMEDIATE");
    await store.applyWithin(application, [newRun("w1")]);
    let isDone = false;
    const other = store.apply([newRun("w2")]).then(() => (isDone = true));
    expect(await store.findRuns([{ workflowId: "w1" }])).toEqual([null]);
    expect(isDone).toBe(false);
    application.exec("COMMIT");
    await other;
    expect(await idsOf()).toEqual(["w2", "w1"]);
  });

  it("is news for other processes once it has committed", async () => {
    const other = await open();
    others.push(other);
    application.exec("BEGIN IMMEDIATE");
    await store.applyWithin(application, [newRun("w")]);
    const hinted = new Promise<unknown>((resolve) => other.onHint(resolve));
    application.exec("COMMIT");
    await hinted;
    expect(await other.findRuns([{ workflowId: "w" }])).toMatchObject([{ run: { workflowId: "w" } }]);
  });

  it("is as it was before a call that fails", async () => {
    const { worker } = await store.registerWorker({ workerId: "a", leaseMs: 60_000 });
    await store.apply([startOf(sampleRun({ workflowId: "w", runId: "r" }), { eager: { worker, effects: effectsOf(driving) } })]);
    application.exec("BEGIN IMMEDIATE; INSERT INTO customer_order VALUES ('1')");
    const failing = [
      newRun("lost"),
      turnOf(
        { key: 1, epoch: 1, lastSeq: 0, inboxCount: 0 },
        { state: "continued", run: sampleRun({ workflowId: "w", runId: "r" }), input: "1", dueAt: null },
      ),
    ];
    expect(await failureOf(store.applyWithin(application, failing))).toMatchObject({ code: "internal", outcome: "none", transient: false });
    await store.applyWithin(application, [newRun("kept")]);
    application.exec("COMMIT");
    expect([await idsOf(), orders()]).toEqual([["kept", "w"], [{ id: "1" }]]);
    expect(await store.findRuns([{ runId: "r" }])).toMatchObject([{ run: { status: "running", lastSeq: 0 } }]);
  });

  it("says that the file is locked, as SQLite says it, and leaves the waiting to the application", async () => {
    const other = openers[name](path);
    others.push(other);
    // Its snapshot is older than what the other one commits.
    application.exec("PRAGMA busy_timeout = 0; BEGIN");
    application.prepare("SELECT * FROM customer_order").all();
    other.exec("INSERT INTO customer_order VALUES ('1')");
    expect(await failureOf(store.applyWithin(application, [newRun("w")]))).toMatchObject({
      code: "backend_unavailable",
      outcome: "none",
      transient: true,
    });
    application.exec("ROLLBACK");
  });

  it("may be of a connection that wants its own integers as bigints", async () => {
    (application as unknown as { defaultSafeIntegers?: (on: boolean) => void }).defaultSafeIntegers?.(true);
    application.exec("BEGIN IMMEDIATE");
    const [started] = await store.applyWithin(application, [startOf(sampleRun({ workflowId: "w" }))]);
    application.exec("COMMIT");
    expect(started).toMatchObject({ key: 1, inboxCount: 1 });
  });

  it("may reach the file by another path, with other files attached", async () => {
    symlinkSync(path, join(folder, "link.db"));
    const linked = openers[name](join(folder, "link.db"));
    others.push(linked);
    linked.exec(
      `ATTACH '${join(folder, "other.db")}' AS other; CREATE TABLE other.run (id); BEGIN IMMEDIATE; INSERT INTO other.run VALUES (1)`,
    );
    await store.applyWithin(linked, [newRun("w")]);
    linked.exec("COMMIT");
    expect(await idsOf()).toEqual(["w"]);
  });

  it("is refused if it is none, or not on the file of the store", async () => {
    const refusal = async (transaction: unknown): Promise<unknown> => failureOf(store.applyWithin(transaction, [newRun("w")]));
    const invalid = (message: RegExp): unknown =>
      expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(message) });
    expect(await refusal(application)).toEqual(invalid(/no transaction open/));
    for (const value of [undefined, null, "BEGIN", 1, {}, () => {}])
      expect(await refusal(value)).toEqual(invalid(/not a database opened with/));
    for (const file of [join(folder, "b.db"), ":memory:"]) {
      const other = openers[name](file);
      others.push(other);
      other.exec(`ATTACH '${path}' AS store; BEGIN IMMEDIATE`);
      expect(await refusal(other)).toEqual(invalid(/not a connection to the file of the store/));
      other.exec("COMMIT");
    }
    const closed = openers[name](path);
    closed.exec("BEGIN");
    closed.close();
    expect(await refusal(closed)).toMatchObject({ code: "invalid_argument" });
    expect(await idsOf()).toEqual([]);
  });

  it("is refused if its library is not the one that the store uses", async () => {
    application.exec("BEGIN IMMEDIATE");
    const identity = { path, device: 1n, inode: 1n };
    expect(() => applyWithin({ identity, driverName: "bun:sqlite" }, 0, application, [])).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(`driver: "${name}"`) }),
    );
    application.exec("COMMIT");
  });

  it("is refused after the store was closed", async () => {
    application.exec("BEGIN IMMEDIATE");
    await store.close();
    expect(await failureOf(store.applyWithin(application, [newRun("w")]))).toMatchObject({ code: "closed" });
    application.exec("ROLLBACK");
  });
});
