// The SQLite store between real processes: what was acknowledged is there whoever dies, and nobody is refused because somebody else writes.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "perdure/backend";
import { loadDriver } from "../../src/backends/sqlite/drivers/load-driver.js";
import { sqlite } from "perdure/sqlite";
import { systemRuntime } from "../../src/platform/runtime.js";
import { sampleRun, startOf } from "../../src/testing/conformance/samples.js";

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.mjs`, import.meta.url));
const runtime = systemRuntime();
let folder: string;
let path: string;
let store: Store;
let children: ChildProcess[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "perdure-store-processes-"));
  path = join(folder, "a.db");
  store = await sqlite(path).open(runtime);
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map(kill));
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Process {
  readonly child: ChildProcess;
  /** Everything it says until it ends. */
  readonly lines: AsyncIterableIterator<Record<string, unknown>>;
}

function start(program: string, role: string, ...rest: string[]): Process {
  const child = spawn(process.execPath, [fixture(program), role, path, ...rest], { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  const input = createInterface({ input: child.stdout });
  async function* parse(): AsyncIterableIterator<Record<string, unknown>> {
    for await (const line of input) yield JSON.parse(line) as Record<string, unknown>;
  }
  return { child, lines: parse() };
}

function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}

const nextOf = async ({ lines }: Process): Promise<Record<string, unknown>> => {
  const next = await lines.next();
  if (next.done === true) throw new Error("the process ended");
  return next.value;
};

/** Reads what a process was told is stored; kills it after so many batches. */
async function ackedBy(writer: Process, killAfter = Infinity): Promise<readonly string[]> {
  const acked: string[] = [];
  let batches = 0;
  for await (const line of writer.lines) {
    if (line["done"] === true) break;
    acked.push(...(line["acked"] as string[]));
    if ((batches += 1) === killAfter) writer.child.kill("SIGKILL");
  }
  return acked;
}

function integrityOf(): unknown {
  const connection = loadDriver().open(path);
  try {
    return connection.prepare("PRAGMA integrity_check").get()?.["integrity_check"];
  } finally {
    connection.close();
  }
}

describe("a writer that is killed", () => {
  it("leaves a sound file in which everything acknowledged is whole, beside writers that live", { timeout: 60_000 }, async () => {
    const acked: string[] = [];
    for (let round = 0; round < 4; round++) {
      const [killed, living] = [
        start("store-process", "write", `k${round}`, "20", "100000"),
        start("store-process", "write", `l${round}`, "20", "30"),
      ];
      const lists = await Promise.all([ackedBy(killed, 4 + round * 5), ackedBy(living)]);
      expect(lists[1]).toHaveLength(600);
      acked.push(...lists.flat());
    }
    expect(integrityOf()).toBe("ok");
    for (let from = 0; from < acked.length; from += 200) {
      const found = await store.findRuns(acked.slice(from, from + 200).map((runId) => ({ runId })));
      for (const outcome of found) expect(outcome?.run).toMatchObject({ inboxCount: 2, inboxUnread: 2, status: "running" });
    }
    // Whole or not at all: a batch that nobody was told of is in the file with all of its runs or with none.
    const sizes = new Map<string, number>();
    for (const { runId, inboxCount } of await store.listRuns({ limit: 100_000 })) {
      const batch = runId.slice(0, runId.lastIndexOf("-"));
      sizes.set(batch, (sizes.get(batch) ?? 0) + 1);
      expect(inboxCount).toBe(2);
    }
    expect(new Set(sizes.values())).toEqual(new Set([20]));
  });
});

describe("two processes that write at once", () => {
  it("are both served, and refuse each other nothing", { timeout: 60_000 }, async () => {
    const writers = ["a", "b"].map((prefix) => start("store-process", "write", prefix, "10", "200"));
    const lists = await Promise.all(writers.map((writer) => ackedBy(writer)));
    expect(lists.map((list) => list.length)).toEqual([2000, 2000]);
    expect(await store.listRuns({ limit: 10_000 })).toHaveLength(4000);
    expect(integrityOf()).toBe("ok");
  });
});

describe("several processes that open a new file at once", () => {
  it("make one set of tables, which all of them use", { timeout: 60_000 }, async () => {
    path = join(folder, "fresh.db");
    const writers = ["a", "b", "c", "d"].map((prefix) => start("store-process", "write", prefix, "5", "5"));
    const lists = await Promise.all(writers.map((writer) => ackedBy(writer)));
    expect(lists.map((list) => list.length)).toEqual([25, 25, 25, 25]);
    expect(integrityOf()).toBe("ok");
  });
});

describe("a worker process that is killed", () => {
  it("is found by its peers long before its lease ends, and its runs are taken over", async () => {
    for (let index = 0; index < 5; index += 1) await store.apply([startOf(sampleRun({ workflowId: `w${index}` }))]);
    const { worker } = await store.registerWorker({ workerId: "peer", leaseMs: 60_000 });
    const victim = start("store-process", "claim");
    expect(await nextOf(victim)).toMatchObject({ claimed: 5 });
    expect(await store.recover(worker)).toEqual({ workers: 0, runs: 0, tasks: 0 });
    await kill(victim.child);
    expect(await store.recover(worker)).toEqual({ workers: 1, runs: 5, tasks: 0 });
    const { runs } = await store.claimRuns({ worker, routes: ["order"], limit: 10, suspects: 0 });
    expect(runs.map(({ crashCount }) => crashCount)).toEqual([1, 1, 1, 1, 1]);
  });

  it("is left alone while it is merely stopped", async () => {
    await store.apply([startOf(sampleRun({ workflowId: "w" }))]);
    const victim = start("store-process", "claim");
    await nextOf(victim);
    victim.child.kill("SIGSTOP");
    for (let look = 0; look < 50; look += 1) expect(await store.recover(null)).toEqual({ workers: 0, runs: 0, tasks: 0 });
  });
});

describe("a file that another process keeps locked", () => {
  it("is waited for without blocking the event loop, and reads go on", async () => {
    await store.apply([startOf(sampleRun({ workflowId: "before" }))]);
    const holder = start("sqlite-process", "lock");
    expect(await nextOf(holder)).toEqual({ locked: true });
    let isDone = false;
    const waiting = store.apply([startOf(sampleRun({ workflowId: "while" }))]).then((outcomes) => ((isDone = true), outcomes));
    // The loop turns, and what was committed can be read.
    for (let turn = 0; turn < 20; turn += 1) expect(await store.listRuns({ limit: 10 })).toHaveLength(1);
    expect(isDone).toBe(false);
    holder.child.stdin?.write("\n");
    expect((await waiting)[0].status).toBe("started");
  });

  it("is reported after the time that was chosen, as a failure that passes", async () => {
    const holder = start("sqlite-process", "lock");
    await nextOf(holder);
    const hasty = await sqlite(path, { busyWaitMs: 50 }).open(runtime);
    const failure: unknown = await hasty.apply([startOf(sampleRun({ workflowId: "w" }))]).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({
      code: "backend_unavailable",
      outcome: "none",
      transient: true,
      message: expect.stringMatching(/another process/),
    });
    await kill(holder.child);
    expect((await hasty.apply([startOf(sampleRun({ workflowId: "w" }))]))[0].status).toBe("started");
    await hasty.close();
  });
});

describe("a process that waits for news", () => {
  it("is woken by a start, a message and an end that concern it", async () => {
    const listener = start("store-process", "listen");
    expect(await nextOf(listener)).toEqual({ ready: true });
    for (let round = 0; round < 3; round += 1) {
      const [outcome] = await store.apply([startOf(sampleRun({ workflowId: `w${round}` }))]);
      expect(outcome.status).toBe("started");
      expect(await nextOf(listener)).toHaveProperty("atMs");
    }
  });
});
