// A primary with a synchronous standby: the primary ends while workflows run, the standby is promoted, and nothing that anybody was told is lost.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { postgres, type PostgresPool } from "perdure/postgres";
import type { PostgresServer, PostgresStandby } from "../../scripts/postgres-server.mjs";
import { systemRuntime } from "../../src/platform/runtime.js";
import { driving, effectsOf, hourMs, lineOf, sampleRun, startOf, turnOf } from "../../src/testing/conformance/samples.js";
import { renew } from "../../src/testing/conformance/renew.js";
import { failoverWork } from "../support/failover-work.js";
import { postgresServer } from "../support/postgres.js";
import { tcpForwarder } from "../support/tcp-forwarder.js";

const server = postgresServer({ isOwn: true });

const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

interface Pair {
  readonly primary: PostgresServer;
  readonly standby: PostgresStandby;
  /** Runs SQL on one of them, on a connection of its own. */
  ask(which: PostgresServer, sql: string): Promise<readonly Record<string, unknown>[]>;
}

/** The test's server with a standby that confirms every commit. */
async function pair(): Promise<Pair> {
  const primary = server.own;
  if (primary === null) throw new Error("no server");
  const standby = primary.standby();
  const ask: Pair["ask"] = async (which, sql) => {
    const client = new pg.Client({ connectionString: which.url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  closers.push(async () => {
    standby.remove();
    // Ready for the next test, wherever this one left it.
    if (!primary.isUp()) primary.start();
    await ask(primary, "ALTER SYSTEM RESET synchronous_standby_names");
  });
  await ask(primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await ask(primary, "SELECT pg_reload_conf()");
  await expect
    .poll(() => ask(primary, "SELECT sync_state FROM pg_stat_replication"), { timeout: 10_000 })
    .toEqual([{ sync_state: "sync" }]);
  return { primary, standby, ask };
}

/** As in docs/growing.md: whichever of the servers takes writes. */
function firstThatWrites(urls: readonly string[]): PostgresPool {
  return {
    async connect() {
      for (const connectionString of urls) {
        const client = new pg.Client({ connectionString });
        client.on("error", () => {});
        try {
          await client.connect();
          const { rows } = await client.query<{ standby: boolean }>("SELECT pg_is_in_recovery() AS standby");
          if (rows[0]?.standby === false) return Object.assign(client, { release: () => void client.end() });
          await client.end();
        } catch {
          // The next one, then.
        }
      }
      throw new Error("no server takes writes");
    },
  };
}

test.each(["by an address that follows the primary", "by a pool that tries both servers"])(
  "workers that connect %s go on after a failover; nothing is lost, doubled, or taken for dead",
  { timeout: 60_000 },
  async (way) => {
    const { primary, standby, ask } = await pair();
    const forwarder = await tcpForwarder({ path: primary.socket });
    closers.push(() => forwarder.close());
    const schema = server.schema();
    const source = way.includes("address")
      ? `postgresql://postgres@127.0.0.1:${forwarder.port}/postgres`
      : firstThatWrites([primary.url, standby.url]);
    const work = await failoverWork([postgres(source, { schema }), postgres(source, { schema })]);
    closers.push(() => work.close());
    await work.progress(50);
    const workers = await ask(primary, `SELECT key, worker_id FROM "${schema}".worker ORDER BY key`);

    await primary.kill();
    // For a while there is none, and then one that does not take writes yet.
    await pause(500);
    forwarder.pointTo({ path: standby.socket });
    await pause(500);
    standby.promote();

    await work.progress(50);
    const report = await work.finish();
    expect(report).toMatchObject({ lost: [], forgotten: [], doubled: [], leasesLost: 0 });
    expect(workers).toHaveLength(2);
    expect(await ask(standby, `SELECT key, worker_id FROM "${schema}".worker ORDER BY key`)).toEqual(workers);
    const lines = `SELECT count(*)::int AS runs FROM "${schema}".run r WHERE r.status <> 2 OR r.last_seq <> (SELECT count(*) FROM "${schema}".history h WHERE h.run = r.key)`;
    expect(await ask(standby, lines)).toEqual([{ runs: 0 }]);
  },
);

test("a primary that was cut off acknowledges nothing: what is written to it then is not on the new one", { timeout: 60_000 }, async () => {
  const { primary, standby, ask } = await pair();
  const schema = server.schema();
  const open = async (of: PostgresServer) => {
    const store = await postgres(of.url, { schema }).open(systemRuntime());
    closers.push(() => store.close());
    return store;
  };
  const stale = await open(primary);
  const { worker } = await stale.registerWorker({ workerId: "w", leaseMs: hourMs });
  const effects = effectsOf(driving, { events: [lineOf(1)] });
  const [started] = await stale.apply([startOf(sampleRun({ workflowId: "w" }), { eager: { worker, effects } })]);
  const run = { key: started.status === "started" ? started.key : 0, epoch: 1, lastSeq: 1, inboxCount: 0 };

  standby.promote();
  const commit = stale.apply([turnOf(run, driving)]).catch((error: unknown) => error);
  const waiting = "SELECT 1 AS one FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
  await expect.poll(() => ask(primary, waiting), { timeout: 10_000 }).toEqual([{ one: 1 }]);
  const fresh = await open(standby);
  const claimed = await fresh.reclaimRun({ worker, key: run.key, epoch: 1 });
  expect([claimed?.epoch, claimed?.lastSeq]).toEqual([2, 1]);
  await primary.kill();
  expect(await commit).toMatchObject({ outcome: "unknown", transient: true });
});

test("a worker that has not come back since the failover is no dead one", { timeout: 60_000 }, async () => {
  const { primary, standby } = await pair();
  const forwarder = await tcpForwarder({ path: primary.socket });
  closers.push(() => forwarder.close());
  const schema = server.schema();
  const url = `postgresql://postgres@127.0.0.1:${forwarder.port}/postgres`;
  const store = await postgres(url, { schema }).open(systemRuntime());
  closers.push(() => store.close());
  const { worker } = await store.registerWorker({ workerId: "peer", leaseMs: hourMs });
  await store.apply([startOf(sampleRun({ workflowId: "w" }))]);
  const fixture = fileURLToPath(new URL("../fixtures/postgres-process.mjs", import.meta.url));
  const child = spawn(process.execPath, [fixture, url, schema, "order"], { stdio: ["pipe", "pipe", "inherit"] });
  closers.push(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  expect((await store.recover(worker)).workers).toBe(0);
  // It lives, and has no chance to take its locks on the new primary.
  child.kill("SIGSTOP");

  await primary.kill();
  standby.promote();
  forwarder.pointTo({ path: standby.socket });
  await expect.poll(() => renew(store, worker, hourMs).catch(() => false), { timeout: 10_000 }).toBe(true);
  for (let look = 0; look < 5; look += 1) {
    expect((await store.recover(worker)).workers).toBe(0);
    await pause(150);
  }
});
