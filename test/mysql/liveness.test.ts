// Who is alive, by real processes: killed, stopped, and on a server that is restarted. Leases last an hour here, so only locks can tell.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { mysql } from "perdure/mysql";
import type { Store } from "perdure/backend";
import { systemRuntime } from "../../src/platform/runtime.js";
import { driving, effectsOf, lineOf, sampleRun, startOf } from "../../src/testing/conformance/samples.js";
import { renew } from "../../src/testing/conformance/renew.js";
import { mariadbServer } from "../support/mariadb-server.js";
import { mysqlProxy } from "../support/mysql-proxy.js";

const server = await mariadbServer({ own: true });
afterAll(() => server?.stop());

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

const hourMs = 3_600_000;
const none = { workers: 0, runs: 0, tasks: 0 };

describe.runIf(server !== undefined)("liveness", () => {
  if (server === undefined) return;

  const worker = async (url: string, workflowId: string): Promise<ChildProcess> => {
    const child = spawn(process.execPath, ["test/fixtures/mysql-process.mjs", url, workflowId], { stdio: ["pipe", "pipe", "inherit"] });
    disposals.push(async () => void child.kill("SIGKILL"));
    await once(createInterface({ input: child.stdout }), "line");
    return child;
  };
  const observer = async (): Promise<{ readonly url: string; readonly name: string; readonly store: Store; readonly self: number }> => {
    const { url, name, drop } = await server.database();
    disposals.push(drop);
    const store = await mysql(url).open(systemRuntime());
    disposals.push(() => store.close());
    const { worker: self } = await store.registerWorker({ workerId: "observer", leaseMs: hourMs });
    return { url, name, store, self };
  };
  const recovered = async (
    store: Store,
    self: number,
    withinMs: number,
  ): Promise<{ readonly workers: number; readonly runs: number; readonly ms: number }> => {
    const startedMs = performance.now();
    for (;;) {
      const { workers, runs } = await store.recover(self);
      const ms = performance.now() - startedMs;
      if (workers > 0 || ms > withinMs) return { workers, runs, ms };
    }
  };

  test("a killed worker is found dead within a second, and its run is free", async () => {
    const { url, store, self } = await observer();
    const child = await worker(url, "w");
    expect(await store.recover(self)).toEqual(none);
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    const { ms, ...found } = await recovered(store, self, 5000);
    expect(found).toEqual({ workers: 1, runs: 1 });
    expect(ms).toBeLessThan(1000);
    expect((await store.claimRuns({ worker: self, routes: ["order"], limit: 1, suspects: 0 })).runs).toMatchObject([
      { workflowId: "w", crashCount: 1, epoch: 3 },
    ]);
  });

  test("a stopped worker is alive, as far as its lock can tell", async () => {
    const { url, store, self } = await observer();
    const child = await worker(url, "w");
    expect(await store.recover(self)).toEqual(none);
    child.kill("SIGSTOP");
    for (let looks = 0; looks < 20; looks += 1) expect(await store.recover(self)).toEqual(none);
  });

  test("a worker whose connection is cut comes back before it is taken for dead", async () => {
    const { url, name, store, self } = await observer();
    await worker(url, "w");
    expect(await store.recover(self)).toEqual(none);
    const locks = await server.execute(`SELECT lock_name FROM ${name}.perdure_worker WHERE id <> ${self}`);
    const holder = async (): Promise<unknown> =>
      (await server.execute(`SELECT IS_USED_LOCK('${String(locks[0]?.["lock_name"])}') AS id`))[0]?.["id"] ?? null;
    for (let cut = 0; cut < 5; cut += 1) {
      const before = await holder();
      await server.execute(`KILL ${String(before)}`);
      expect(await store.recover(self)).toEqual(none);
      // Another connection of the worker has it now.
      await expect.poll(async () => ![null, before].includes(await holder()), { timeout: 5000 }).toBe(true);
    }
  });

  test("a restart of the server is no death", { timeout: 60_000 }, async () => {
    const { url, store, self } = await observer();
    const child = await worker(url, "w");
    expect(await store.recover(self)).toEqual(none);
    // It cannot come back by itself, so that what is tested is not a race that it wins.
    child.kill("SIGSTOP");
    await server.kill();
    await server.start();
    await expect.poll(() => renew(store, self, hourMs).catch(() => false), { timeout: 10_000 }).toBe(true);
    for (let looks = 0; looks < 10; looks += 1) expect(await store.recover(self)).toEqual(none);
    child.kill("SIGCONT");
  });

  /** A worker whose process has gone before anybody looked. */
  const gone = async (url: string): Promise<number> => {
    const other = await mysql(url).open(systemRuntime());
    const { worker: key } = await other.registerWorker({ workerId: "other", leaseMs: hourMs });
    await other.apply([
      startOf(sampleRun({ workflowId: "w" }), { eager: { worker: key, effects: effectsOf(driving, { events: [lineOf(1)] }) } }),
    ]);
    await other.close();
    return key;
  };
  const lockIsFree = async (name: string, key: number): Promise<void> => {
    const holder = `SELECT IS_USED_LOCK(lock_name) AS id FROM ${name}.perdure_worker WHERE id = ${key}`;
    await expect.poll(async () => (await server.execute(holder))[0]?.["id"], { timeout: 5000 }).toBeNull();
  };

  test("a process that has just come finds those that died before it", async () => {
    const { url, name, store: first } = await observer();
    const key = await gone(url);
    await lockIsFree(name, key);
    await first.close();
    const store = await mysql(url).open(systemRuntime());
    disposals.push(() => store.close());
    const { ms, ...found } = await recovered(store, 0, 5000);
    // The observer, who has closed its store, as well.
    expect(found).toEqual({ workers: 2, runs: 1 });
    expect(ms).toBeLessThan(1000);
  });

  test("of workers that die together, one that comes afterwards finds every one within a second", async () => {
    const { url, name, store: first } = await observer();
    const children = await Promise.all(["v", "w", "x"].map((id) => worker(url, id)));
    await first.close();
    await server.execute(`DELETE FROM ${name}.perdure_worker WHERE worker_key = 'observer'`);
    const exited = children.map((child) => once(child, "exit"));
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(exited);
    const diedMs = performance.now();
    const store = await mysql(url).open(systemRuntime());
    disposals.push(() => store.close());
    const { worker: self } = await store.registerWorker({ workerId: "newcomer", leaseMs: hourMs });
    let freed = 0;
    while (freed < children.length && performance.now() - diedMs < 5000) freed += (await store.recover(self)).runs;
    expect(freed).toBe(children.length);
    expect(performance.now() - diedMs).toBeLessThan(1000);
  });

  test("a lock that was taken before the server's last start is left to its lease", { timeout: 60_000 }, async () => {
    // Two starts within one second are one to it, and the test before this one has just started the server.
    const uptime = async (): Promise<number> => Number((await server.execute("SHOW GLOBAL STATUS LIKE 'Uptime'"))[0]?.["Value"]);
    await expect.poll(uptime, { timeout: 10_000 }).toBeGreaterThan(1);
    const { url, name, store, self } = await observer();
    const key = await gone(url);
    await server.kill();
    await server.start();
    await expect.poll(() => renew(store, self, hourMs).catch(() => false), { timeout: 10_000 }).toBe(true);
    await lockIsFree(name, key);
    expect(await recovered(store, self, 500)).toMatchObject({ workers: 0, runs: 0 });
    await server.execute(`UPDATE ${name}.perdure_worker SET lease_until = 1 WHERE id = ${key}`);
    expect(await store.recover(self)).toEqual({ workers: 1, runs: 1, tasks: 0 });
  });

  test("a lock that was taken on another server is left to its lease", async () => {
    const { url, name, store, self } = await observer();
    const key = await gone(url);
    await lockIsFree(name, key);
    // As a replica has it that was promoted.
    await server.execute(`UPDATE ${name}.perdure_worker SET locked_on = 'elsewhere/3306/1/1' WHERE id = ${key}`);
    expect(await recovered(store, self, 500)).toMatchObject({ workers: 0, runs: 0 });
  });

  test("behind a pooler, locks say nothing", async () => {
    const { url, drop } = await server.database();
    disposals.push(drop);
    const proxy = await mysqlProxy(url, { isPooler: true });
    disposals.push(proxy.close);
    const store = await mysql(proxy.url).open(systemRuntime());
    disposals.push(() => store.close());
    const { worker: self } = await store.registerWorker({ workerId: "observer", leaseMs: hourMs });
    const child = await worker(url, "w");
    expect(await store.recover(self)).toEqual(none);
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    expect(await recovered(store, self, 500)).toMatchObject({ workers: 0, runs: 0 });
  });
});
