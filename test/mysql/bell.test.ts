// How processes tell one another of news, on a real server. The parts are taken one by one, because stores of one process tell one another without it.
import mysql2 from "mysql2/promise";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { bell, type Bell } from "../../src/backends/mysql/bell.js";
import { Lanes } from "../../src/backends/mysql/lanes.js";
import { liveness } from "../../src/backends/mysql/liveness.js";
import { lockNames } from "../../src/backends/mysql/lock-names.js";
import { bellsMax, ring, ringer, type Ring, type Ringer } from "../../src/backends/mysql/ringer.js";
import { sourceOf } from "../../src/backends/mysql/source.js";
import { tablesOf } from "../../src/backends/mysql/schema.js";
import { mysql } from "perdure/mysql";
import { systemRuntime } from "../../src/platform/runtime.js";
import { mariadbServer, password } from "../support/mariadb-server.js";
import { mysqlProxy } from "../support/mysql-proxy.js";

// Of one's own: it is ended and started again.
const server = await mariadbServer({ own: true });
afterAll(() => server?.stop());

const runtime = systemRuntime();
const workerTable = tablesOf("perdure_").worker;
const disposals: (() => unknown)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

interface Process {
  readonly bell: Bell;
  readonly ringer: Ringer;
  readonly rings: () => number;
  readonly ring: (slot: number) => Promise<Ring>;
  close(): void;
}

describe.runIf(server !== undefined)("bells", () => {
  if (server === undefined) return;

  const place = async (): Promise<{ readonly url: string; readonly name: string }> => {
    const { url, name, drop } = await server.database();
    disposals.push(drop);
    // Makes the tables.
    await (await mysql(url).open(runtime)).close();
    return { url, name };
  };
  /** As another process has them. */
  const processAt = (url: string, { scope = url, hears = true } = {}): Process => {
    const source = sourceOf(url, runtime);
    const lanes = new Lanes({ source, runtime, max: 2 });
    const locks = lockNames(scope);
    const live = liveness({ source, runtime, workerTable });
    let rings = 0;
    const ringHere = (slot: number): Promise<Ring> => ring(lanes, locks, slot);
    const here = bell({
      source,
      runtime,
      locks,
      hasRoom: true,
      workerTable,
      live,
      ring: ringHere,
      onRing: () => (rings += 1),
    });
    // Of all that hang, only those of others are rung: here the others are those of one that hears nothing itself.
    const others = ringer({ lanes, locks, runtime, isOwn: () => hears, onDenied: () => here.confess() });
    const close = (): void => {
      for (const part of [here, others, live, lanes]) part.close();
    };
    disposals.push(close);
    if (hears) here.hang();
    return { bell: here, ringer: others, rings: () => rings, ring: ringHere, close };
  };
  const trusted = (one: Process): Promise<void> => expect.poll(() => one.bell.isTrusted(), { timeout: 10_000 }).toBe(true);
  /** Whether it hears, well before any other statement of its would end. */
  const hears = async (one: Process, teller: Process): Promise<boolean> => {
    const before = one.rings();
    teller.ringer.tellOthers();
    for (const endMs = performance.now() + 1000; performance.now() < endMs;) {
      if (one.rings() > before) return true;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return false;
  };
  /** Somebody with the least rights. */
  const newcomer = async (url: string, name: string): Promise<string> => {
    const user = `user_${name}`;
    await server.execute(
      `CREATE USER ${user}@'%' IDENTIFIED BY '${password}'`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${name}.* TO ${user}@'%'`,
    );
    disposals.push(() => server.execute(`DROP USER ${user}@'%'`));
    const theirs = new URL(url);
    theirs.username = user;
    return theirs.href;
  };

  test("everybody hears every ring, whatever their number", async () => {
    const { url } = await place();
    const listeners = [processAt(url), processAt(url), processAt(url)];
    for (const one of listeners) await trusted(one);
    const teller = processAt(url, { hears: false });
    for (let round = 0; round < 100; round += 1)
      expect(await Promise.all(listeners.map((one) => hears(one, teller)))).toEqual([true, true, true]);
  });

  test("a user with the least rights rings its own", async () => {
    const { url, name } = await place();
    const theirs = await newcomer(url, name);
    const listener = processAt(theirs, { scope: url });
    await trusted(listener);
    expect(await hears(listener, processAt(theirs, { scope: url, hears: false }))).toBe(true);
  });

  test("what was committed before a ring is seen by a look that comes after it, however fast they follow each other", async () => {
    const { url } = await place();
    const [listener, tellers] = [processAt(url), [processAt(url, { hears: false }), processAt(url, { hears: false })]];
    await trusted(listener);
    for (let round = 0; round < 200; round += 1) {
      const teller = tellers[round % 2];
      // The second falls into the moment in which the bell is hung up again after the first.
      expect(await hears(listener, teller ?? listener)).toBe(true);
    }
  });

  test("who may not ring a bell says so, and then nobody relies on his own", async () => {
    const { url, name } = await place();
    const theirs = await newcomer(url, name);
    const listener = processAt(url);
    await trusted(listener);
    const stranger = processAt(theirs, { scope: url });
    const teller = ringer({
      lanes: new Lanes({ source: sourceOf(theirs, runtime), runtime, max: 1 }),
      locks: lockNames(url),
      runtime,
      isOwn: () => false,
      onDenied: () => stranger.bell.confess(),
    });
    disposals.push(() => teller.close());
    await trusted(stranger);
    teller.tellOthers();
    await expect.poll(() => stranger.bell.isTrusted(), { timeout: 5000 }).toBe(false);
    // The other one learns it when it hangs its bell up again.
    expect(await hears(listener, processAt(url, { hears: false }))).toBe(true);
    await expect.poll(() => listener.bell.isTrusted(), { timeout: 5000 }).toBe(false);
  });

  test(
    "a bell whose connection is cut, or whose server is restarted, hangs again and is relied on again",
    { timeout: 60_000 },
    async () => {
      const { url } = await place();
      const listener = processAt(url);
      const teller = processAt(url, { hears: false });
      for (const blow of ["cut", "restart"]) {
        await trusted(listener);
        const before = listener.rings();
        if (blow === "cut") await server.execute(`KILL ${await holderOf(url)}`);
        else {
          await server.kill();
          await server.start();
        }
        // It rings for itself when it hangs again: what was said in between is unknown.
        await expect.poll(listener.rings, { timeout: 10_000 }).toBeGreaterThan(before);
        await trusted(listener);
        expect(await hears(listener, teller)).toBe(true);
      }
    },
  );
  const holderOf = async (scope: string): Promise<number> => {
    const used = Array.from({ length: bellsMax }, (_, slot) => `IS_USED_LOCK('${lockNames(scope).bell(slot)}')`);
    const [row] = await server.execute(`SELECT COALESCE(${used.join(",")}) AS id`);
    return Number(row?.["id"]);
  };

  test("nobody's other statement is ever ended, least of all by a name whose bell is gone", { timeout: 60_000 }, async () => {
    const { url } = await place();
    const teller = processAt(url, { hears: false });
    const others = await Promise.all(Array.from({ length: 20 }, () => mysql2.createConnection(url)));
    disposals.push(...others.map((one) => () => one.destroy()));
    const slept = Promise.all(others.map(async (one) => (await one.query("SELECT SLEEP(4) AS ended"))[0]));
    let isOver = false;
    void slept.finally(() => (isOver = true)).catch(() => undefined);
    let gone = 0;
    for (let round = 0; !isOver; round += 1) {
      const listener = processAt(url);
      await expect.poll(listener.rings, { interval: 1 }).toBeGreaterThan(0);
      listener.close();
      for (let slot = 0; slot < 4; slot += 1) gone += (await teller.ring(slot)) === "away" ? 1 : 0;
      teller.ringer.tellOthers();
    }
    expect(gone).toBeGreaterThan(0);
    expect(await slept).toEqual(others.map(() => [{ ended: 0 }]));
  });

  test("behind a pooler no bell hangs, and none is relied on", async () => {
    const { url } = await place();
    const proxy = await mysqlProxy(url, { isPooler: true });
    disposals.push(proxy.close);
    const behind = processAt(proxy.url, { scope: url });
    const beside = processAt(url);
    await trusted(beside);
    expect(behind.bell.isTrusted()).toBe(false);
    expect(behind.rings()).toBe(0);
    // It rings those of others.
    expect(await hears(beside, processAt(proxy.url, { scope: url, hears: false }))).toBe(true);
  });

  test("a pool that has no room for a bell keeps its connections for the rest", async () => {
    const { url, name } = await place();
    const sessions = async (): Promise<number> => {
      const [row] = await server.execute(
        `SELECT COUNT(*) AS n FROM information_schema.processlist WHERE db='${name}' AND info LIKE '%pillow%' AND info LIKE 'DO %'`,
      );
      return Number(row?.["n"]);
    };
    for (const [connectionLimit, bells] of [
      [6, 1],
      [5, 0],
    ] as const) {
      const pool = mysql2.createPool({ uri: url, connectionLimit });
      const store = await mysql(pool).open(runtime);
      store.onHint(() => undefined);
      await store.registerWorker({ workerId: `worker ${connectionLimit}`, leaseMs: 60_000 });
      // By then it would be there.
      await store.pulse({ worker: 1, leaseMs: null, runRoutes: [], taskRoutes: [] });
      if (bells === 1) await expect.poll(sessions, { timeout: 5000 }).toBe(1);
      else expect(await sessions()).toBe(0);
      await store.close();
      await pool.end();
      await expect.poll(sessions, { timeout: 10_000 }).toBe(0);
    }
  });
});
