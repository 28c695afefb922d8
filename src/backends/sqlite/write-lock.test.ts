import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StoreFailure } from "../../backend/failures.js";
import { systemRuntime } from "../../platform/runtime.js";
import type { SqliteConnection } from "./driver.js";
import { loadDriver } from "./drivers/load-driver.js";
import { openDatabase, stampSchemaVersion } from "./open-database.js";
import type { BusyRuntime } from "./retry-busy.js";
import { SqliteError } from "./sqlite-error.js";
import { waitMark } from "./wait-mark.js";
import type { WriteLock, WriteLockOptions } from "./write-lock.js";
import { writeLock } from "./write-lock.js";

const driver = loadDriver();
const runtime = systemRuntime();
let folder: string;
let path: string;
let connection: SqliteConnection;
let other: SqliteConnection;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "perdure-lock-"));
  path = join(folder, "a.db");
  connection = await connect();
  other = await connect();
  connection.exec("CREATE TABLE t (n INTEGER PRIMARY KEY)");
  stampSchemaVersion(connection, 1);
});
afterEach(() => {
  connection.close();
  other.close();
  rmSync(folder, { recursive: true, force: true });
});

async function connect(): Promise<SqliteConnection> {
  return (await openDatabase(driver, runtime, { path, synchronous: "normal", waitMaxMs: 1000 })).connection;
}

function lockOn(using: SqliteConnection, options: Partial<WriteLockOptions> = {}): WriteLock {
  return writeLock({ connection: using, path, runtime, mark: undefined, synchronous: "full", waitMaxMs: 10_000, ...options });
}

const rows = (): unknown[] =>
  other
    .prepare("SELECT n FROM t ORDER BY n")
    .all<{ n: number }>()
    .map((row) => row.n);
const insert = (n: number) => (): void => connection.exec(`INSERT INTO t VALUES (${n})`);

/** A connection whose statement fails once, before or after it was executed. */
function failing(sql: string, error: SqliteError, when: "before" | "after"): SqliteConnection {
  let failed = false;
  return {
    driverName: connection.driverName,
    get inTransaction() {
      return connection.inTransaction;
    },
    prepare: (text) => connection.prepare(text),
    close: () => connection.close(),
    exec(text) {
      if (text !== sql || failed) return connection.exec(text);
      failed = true;
      if (when === "after") connection.exec(text);
      throw error;
    },
  };
}

async function failureOf(promise: Promise<unknown>): Promise<StoreFailure> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StoreFailure)) throw new Error(`expected a StoreFailure, got ${String(error)}`);
  return error;
}

describe("a free lock", () => {
  it("is taken at once, in the same tick", async () => {
    const lock = lockOn(connection);
    let ran = false;
    const result = lock.run(() => {
      ran = connection.inTransaction;
      insert(1)();
      return 7;
    });
    expect([ran, connection.inTransaction, rows()]).toEqual([true, false, [1]]);
    expect(await result).toBe(7);
  });

  it("rolls back what throws and goes on", async () => {
    const lock = lockOn(connection);
    const mine = new Error("mine");
    await expect(
      lock.run(() => {
        insert(1)();
        throw mine;
      }),
    ).rejects.toBe(mine);
    await lock.run(insert(2));
    expect((await failureOf(lock.run(insert(2)))).message).toContain("SQLITE_CONSTRAINT_PRIMARYKEY");
    expect([rows(), lock.broken]).toEqual([[2], false]);
  });
});

describe("a lock that another connection holds", () => {
  it("is waited for without blocking the event loop, in order, urgent ones first", async () => {
    const lock = lockOn(connection);
    other.exec("BEGIN IMMEDIATE");
    const order: string[] = [];
    const runs = [lock.run(() => order.push("a")), lock.run(() => order.push("b")), lock.run(() => order.push("urgent"), { urgent: true })];
    for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => void setImmediate(resolve));
    expect(order).toEqual([]);
    other.exec("COMMIT");
    await Promise.all(runs);
    expect(order).toEqual(["urgent", "a", "b"]);
  });

  it("is given up after the longest wait; nothing happened", async () => {
    const lock = lockOn(connection, { waitMaxMs: 20 });
    other.exec("BEGIN IMMEDIATE");
    const failure = await failureOf(lock.run(insert(1)));
    expect(failure).toMatchObject({ code: "backend_unavailable", outcome: "none", transient: true });
    other.exec("COMMIT");
    await lock.run(insert(2));
    expect(rows()).toEqual([2]);
  });

  it("is tried for again soon, whoever waits: never later than 20 ms, and each try is jittered", async () => {
    const delays: number[] = [];
    let nowMs = 0;
    const virtual: BusyRuntime = {
      monotonicMs: () => nowMs,
      random: () => 0.5,
      yieldToLoop: (callback) => {
        nowMs += 0.2;
        runtime.yieldToLoop(callback);
      },
      setTimer: (callback, delayMs) => {
        delays.push(delayMs);
        nowMs += delayMs;
        return runtime.setTimer(callback, 0);
      },
    };
    const lock = lockOn(connection, { runtime: virtual, waitMaxMs: 600 });
    other.exec("BEGIN IMMEDIATE");
    await failureOf(lock.run(insert(1)));
    other.exec("COMMIT");
    expect(delays.length).toBeGreaterThan(100);
    expect(Math.max(...delays)).toBeLessThanOrEqual(20);
  });

  it("is left to one that waits: a mark makes a writer stand back", async () => {
    const delays: number[] = [];
    const spying: BusyRuntime = {
      ...runtime,
      setTimer: (callback, delayMs, options) => {
        delays.push(delayMs);
        return runtime.setTimer(callback, delayMs, options);
      },
    };
    const mine = waitMark(`${path}-queue`);
    const theirs = waitMark(`${path}-queue`);
    if (mine === undefined || theirs === undefined) throw new Error("no mark");
    const lock = lockOn(connection, { mark: mine, runtime: spying });
    await lock.run(insert(1));
    mine.leave();
    await lock.run(insert(2));
    expect(delays).toEqual([]);
    // File times have the resolution of the kernel's tick: mark until it shows.
    do theirs.leave();
    while (!mine.seen());
    theirs.leave();
    while (delays.length === 0) {
      theirs.leave();
      await lock.run(() => undefined);
    }
    expect(delays).toEqual([1]);
    mine.close();
    theirs.close();
  });
});

describe("a commit that fails", () => {
  it("of a full disk has not happened", async () => {
    const lock = lockOn(failing("COMMIT", new SqliteError(13, "database or disk is full"), "before"));
    const failure = await failureOf(lock.run(insert(1)));
    expect(failure).toMatchObject({ code: "backend_full", outcome: "none", transient: true });
    await lock.run(insert(2));
    expect(rows()).toEqual([2]);
  });

  it.each(["before", "after"] as const)(
    "of an I/O error %s it took effect has an unknown outcome, and all wait for a new connection",
    async (when) => {
      const lock = lockOn(failing("COMMIT", new SqliteError(1034, "disk I/O error"), when));
      const failure = await failureOf(lock.run(insert(1)));
      expect(failure).toMatchObject({ code: "backend_failed", outcome: "unknown", transient: true });
      expect(lock.broken).toBe(true);
      let ran = false;
      const next = lock.run(() => {
        ran = true;
        insert(2)();
      });
      await new Promise((resolve) => void setImmediate(resolve));
      expect(ran).toBe(false);
      connection.close();
      connection = await connect();
      lock.use(connection);
      await next;
      expect([rows(), lock.broken]).toEqual([when === "after" ? [1, 2] : [2], false]);
    },
  );

  it("before it began has not happened", async () => {
    const lock = lockOn(failing("BEGIN IMMEDIATE", new SqliteError(8, "attempt to write a readonly database"), "before"));
    const failure = await failureOf(lock.run(insert(1)));
    expect(failure).toMatchObject({ code: "backend_readonly", outcome: "none", transient: false });
    await lock.run(insert(2));
    expect(rows()).toEqual([2]);
  });
});

describe("closing", () => {
  it("rejects what waits and what comes", async () => {
    const lock = lockOn(connection);
    other.exec("BEGIN IMMEDIATE");
    const waiting = failureOf(lock.run(insert(1)));
    lock.close();
    other.exec("COMMIT");
    expect((await waiting).code).toBe("closed");
    expect((await failureOf(lock.run(insert(2)))).code).toBe("closed");
    expect(rows()).toEqual([]);
  });
});
