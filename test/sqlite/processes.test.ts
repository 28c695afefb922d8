// The SQLite files between real processes: who is alive, who may write, who is woken.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SqliteConnection } from "../../src/backends/sqlite/driver.js";
import { loadDriver } from "../../src/backends/sqlite/drivers/load-driver.js";
import { liveness } from "../../src/backends/sqlite/liveness.js";
import { openDatabase, readPragma, stampSchemaVersion } from "../../src/backends/sqlite/open-database.js";
import { wake } from "../../src/backends/sqlite/wake.js";
import { writeLock } from "../../src/backends/sqlite/write-lock.js";
import { systemRuntime } from "../../src/platform/runtime.js";

const program = fileURLToPath(new URL("../fixtures/sqlite-process.mjs", import.meta.url));
const driver = loadDriver();
const runtime = systemRuntime();

let folder: string;
let path: string;
let connection: SqliteConnection;
let children: ChildProcess[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "perdure-processes-"));
  path = join(folder, "a.db");
  ({ connection } = await openDatabase(driver, runtime, { path, synchronous: "full", waitMaxMs: 1000 }));
  connection.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, who INTEGER, n INTEGER)");
  stampSchemaVersion(connection, 1);
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map((child) => end(child)));
  connection.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Process {
  readonly child: ChildProcess;
  /** The next line that the process says. */
  next(): Promise<Record<string, unknown>>;
  tell(): void;
}

function start(role: string, ...rest: string[]): Process {
  const child = spawn(process.execPath, [program, role, path, ...rest], { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async next() {
      const line = await lines.next();
      if (line.done === true) throw new Error(`the process ${role} ended (${String(child.exitCode ?? child.signalCode)})`);
      return JSON.parse(line.value) as Record<string, unknown>;
    },
    tell: () => void child.stdin.write("\n"),
  };
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}

/** Looks until it is so, as often as the event loop allows; the test's own timeout is the limit. Returns the milliseconds it took. */
async function until(condition: () => boolean): Promise<number> {
  const startedMs = performance.now();
  while (!condition()) await new Promise((resolve) => void setTimeout(resolve, 1));
  return performance.now() - startedMs;
}

describe("the liveness of a worker", () => {
  it("ends within milliseconds of SIGKILL, and its file can be swept", async () => {
    const live = liveness(driver, path, runtime);
    const worker = start("hold", "w1");
    await worker.next();
    expect(live.probe("w1")).toBe("alive");
    worker.child.kill("SIGKILL");
    // Far below a lease; in practice 2 to 10 ms.
    expect(await until(() => live.probe("w1") === "dead")).toBeLessThan(1000);
    live.sweep(new Set(["w1"]));
    expect(live.probe("w1")).toBe("dead");
    live.sweep(new Set());
    expect(live.probe("w1")).toBe("unknown");
    expect(readdirSync(folder).filter((name) => name.includes("worker"))).toEqual([]);
  });

  it("goes on while the process is stopped", async () => {
    const live = liveness(driver, path, runtime);
    const worker = start("hold", "w1");
    await worker.next();
    worker.child.kill("SIGSTOP");
    for (let i = 0; i < 200; i++) expect(live.probe("w1")).toBe("alive");
    live.sweep(new Set());
    expect(existsSync(`${path}-worker-w1`)).toBe(true);
    worker.child.kill("SIGKILL");
    await until(() => live.probe("w1") === "dead");
  });

  it("is seen by other processes, whatever the engines of its own process do with its file", async () => {
    // POSIX: closing any descriptor of a file drops the locks that the process has on it.
    const one = liveness(driver, path, runtime);
    const two = liveness(driver, path, runtime);
    await one.hold("w1");
    await two.hold("w2");
    const observer = start("probe", "w1");
    await observer.next();
    const seen = async (): Promise<unknown> => (observer.tell(), (await observer.next())["seen"]);
    expect(await seen()).toBe("alive");
    expect([one.probe("w1"), one.probe("w2"), two.probe("w1"), two.probe("w2")]).toEqual(["alive", "alive", "alive", "alive"]);
    two.sweep(new Set());
    expect(await seen()).toBe("alive");
    two.close();
    expect(await seen()).toBe("alive");
    expect([one.probe("w2"), existsSync(`${path}-worker-w2`)]).toEqual(["unknown", false]);
    one.close();
    expect(await seen()).toBe("unknown");
  });

  it("survives another copy of a SQLite library in the same process", async () => {
    const others = (["node:sqlite", "better-sqlite3", "libsql"] as const).flatMap((name) => {
      try {
        return [loadDriver(name)];
      } catch {
        return [];
      }
    });
    const live = liveness(driver, path, runtime);
    await live.hold("w1");
    for (const other of others) {
      const theirs = liveness(other, path, runtime);
      expect(theirs.probe("w1")).toBe("alive");
      theirs.sweep(new Set());
      theirs.close();
    }
    const observer = start("probe", "w1");
    await observer.next();
    observer.tell();
    expect((await observer.next())["seen"]).toBe("alive");
    live.close();
  });

  it("leaves alone what is not a worker's file", async () => {
    writeFileSync(`${path}-worker`, "x");
    writeFileSync(join(folder, "b.db-worker-w1"), "");
    const live = liveness(driver, path, runtime);
    live.sweep(new Set());
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(["a.db", "a.db-worker", "b.db-worker-w1"]));
    await expect(Promise.all([live.hold("w1"), live.hold("w1")])).rejects.toThrow(/already registered/);
    live.close();
  });
});

describe("the write lock", () => {
  it("is shared fairly by two processes that write without pause, and blocks neither", async () => {
    const writers = [start("write", "100", "1000"), start("write", "100", "1000")];
    for (const writer of writers) await writer.next();
    for (const writer of writers) writer.tell();
    const results = (await Promise.all(writers.map((writer) => writer.next()))) as {
      commits: number;
      waitMaxMs: number;
      busyP90Ms: number;
    }[];
    const commits = results.map((result) => result.commits);
    expect(Math.min(...commits)).toBeGreaterThan(Math.max(...commits) / 3);
    // No attempt waits inside SQLite; the slowest tenth is left to a machine that is busy with other things.
    for (const { busyP90Ms, waitMaxMs } of results) {
      expect(busyP90Ms).toBeLessThan(20);
      // Without turns one of them waits for seconds; the rest of the bound is for a disk and cores that others use too.
      expect(waitMaxMs).toBeLessThan(1500);
    }
    const total = commits.reduce((sum, n) => sum + n, 0);
    expect(connection.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: total * 100 });
  });

  it("is free once its holder is killed in the middle of a transaction", async () => {
    const holder = start("lock");
    await holder.next();
    const lock = writeLock({ connection, path, runtime, mark: undefined, synchronous: "full", waitMaxMs: 10_000 });
    let done = false;
    const run = lock.run(() => {
      done = true;
    });
    expect(done).toBe(false);
    holder.child.kill("SIGKILL");
    await run;
    expect(done).toBe(true);
  });
});

describe("a wake hint", () => {
  const dataVersion = (): number => Number(readPragma(connection, "data_version"));

  it("of another process's commit comes by the watched file, long before the poll", async () => {
    const signal = wake({ file: `${path}-wake`, runtime, dataVersion, pollMs: 60_000, idlePollMs: 60_000 });
    const writer = start("touch");
    await writer.next();
    let wakes = 0;
    for (let round = 0; round < 3; round++) {
      const woken = new Promise<void>((resolve) => {
        const { stop } = signal.onWake(() => {
          stop();
          wakes++;
          resolve();
        });
      });
      writer.tell();
      await writer.next();
      await woken;
    }
    expect(wakes).toBe(3);
    signal.close();
  });

  it("comes by polling alone where nothing can be watched", async () => {
    const signal = wake({ file: `${path}-wake`, runtime, dataVersion, pollMs: 20, watching: false });
    let wakes = 0;
    signal.onWake(() => void wakes++);
    const writer = start("touch");
    await writer.next();
    writer.tell();
    await writer.next();
    await until(() => wakes > 0);
    expect(wakes).toBe(1);
    signal.close();
  });
});
