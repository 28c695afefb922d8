// Three nodes of a Galera cluster: one that all workers write to and that is killed, two that are written to at once, and who is taken for dead.
import { afterAll, afterEach, beforeAll, expect, describe, test } from "vitest";
import { mysql } from "perdure/mysql";
import type { Store } from "perdure/backend";
import { systemRuntime } from "../../src/platform/runtime.js";
import { driving, effectsOf, hourMs, lineOf, sampleRun, startOf } from "../../src/testing/conformance/samples.js";
import { renew } from "../../src/testing/conformance/renew.js";
import { failoverWork, type FailoverReport } from "../support/failover-work.js";
import { galeraCluster, hasGalera, type GaleraCluster } from "../support/galera-cluster.js";
import type { MariadbServer } from "../support/mariadb-server.js";
import { tcpForwarder, type TcpForwarder } from "../support/tcp-forwarder.js";

const isThere = hasGalera();
let cluster: GaleraCluster;
beforeAll(async () => {
  if (isThere) cluster = await galeraCluster();
}, 120_000);
afterAll(() => cluster?.stop());

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const none = { workers: 0, runs: 0, tasks: 0 };
const clean: Partial<FailoverReport> = { lost: [], forgotten: [], doubled: [], leasesLost: 0 };

/** An empty database on all nodes, and its address on each. */
async function database(): Promise<{ readonly name: string; readonly urls: readonly [string, string, string] }> {
  const { name, url } = await cluster.nodes[1].database();
  const at = (node: MariadbServer): string => Object.assign(new URL(url), { port: new URL(node.url).port }).href;
  const [first, second, third] = cluster.nodes;
  return { name, urls: [at(first), at(second), at(third)] };
}

async function forwarderTo(url: string): Promise<TcpForwarder & { readonly url: string }> {
  const forwarder = await tcpForwarder(socketOf(url));
  closers.push(forwarder.close);
  return { ...forwarder, url: Object.assign(new URL(url), { port: String(forwarder.port) }).href };
}

const socketOf = (url: string): { readonly host: string; readonly port: number } => ({
  host: "127.0.0.1",
  port: Number(new URL(url).port),
});

async function open(url: string): Promise<Store> {
  const store = await mysql(url).open(systemRuntime());
  closers.push(() => store.close());
  return store;
}

async function statusOf(node: MariadbServer, name: string): Promise<number> {
  const rows = await node.execute(`SHOW STATUS LIKE '${name}'`);
  return Number(rows[0]?.["Value"]);
}

describe.runIf(isThere)("galera", () => {
  test("a worker whose connections moved to another node is no dead one", async () => {
    const { urls } = await database();
    const forwarder = await forwarderTo(urls[1]);
    const [observer, wanderer] = [await open(urls[1]), await open(forwarder.url)];
    const { worker: self } = await observer.registerWorker({ workerId: "observer", leaseMs: hourMs });
    const { worker } = await wanderer.registerWorker({ workerId: "wanderer", leaseMs: hourMs });
    expect(await observer.recover(self)).toEqual(none);
    forwarder.pointTo(socketOf(urls[2]));
    await expect.poll(() => renew(wanderer, worker, hourMs).catch(() => false), { timeout: 10_000 }).toBe(true);
    for (let look = 0; look < 20; look += 1) expect(await observer.recover(self)).toEqual(none);
  });

  test("a worker that died is found by its lease, from any node", async () => {
    const { name, urls } = await database();
    const [observer, other] = [await open(urls[1]), await open(urls[2])];
    const { worker: self } = await observer.registerWorker({ workerId: "observer", leaseMs: hourMs });
    const { worker } = await other.registerWorker({ workerId: "other", leaseMs: hourMs });
    const effects = effectsOf(driving, { events: [lineOf(1)] });
    await other.apply([startOf(sampleRun({ workflowId: "w" }), { eager: { worker, effects } })]);
    await other.close();
    await expect.poll(async () => (await observer.findRuns([{ workflowId: "w" }]))[0]?.run.ownerId).toBe("other");
    expect(await observer.recover(self)).toEqual(none);
    await cluster.nodes[2].execute(`UPDATE ${name}.perdure_worker SET lease_until = 1 WHERE id = ${worker}`);
    await expect.poll(() => observer.recover(self), { timeout: 5000 }).toEqual({ workers: 1, runs: 1, tasks: 0 });
  });

  test("what one node has acknowledged is seen on another at once", async () => {
    const { urls } = await database();
    const [writer, reader] = [await open(urls[1]), await open(urls[2])];
    for (let round = 0; round < 100; round += 1) {
      await writer.apply(Array.from({ length: 20 }, (_, index) => startOf(sampleRun({ workflowId: `${round} ${index}` }))));
      expect(await reader.findRuns([{ workflowId: `${round} 19` }])).not.toContain(null);
    }
  });

  test("two nodes that are written to at once collide, and nothing is lost or doubled", { timeout: 60_000 }, async () => {
    const { urls } = await database();
    const collisions = async (): Promise<number> => {
      let sum = 0;
      for (const node of cluster.nodes)
        for (const name of ["wsrep_local_cert_failures", "wsrep_local_bf_aborts"]) sum += await statusOf(node, name);
      return sum;
    };
    const before = await collisions();
    const work = await failoverWork([mysql(urls[1]), mysql(urls[2])]);
    closers.push(work.close);
    // How soon two transactions meet is chance.
    for (let round = 0; round < 10 && (round === 0 || (await collisions()) === before); round++) await work.progress(300);
    const report = await work.finish();
    expect(report).toMatchObject(clean);
    expect(await collisions()).toBeGreaterThan(before);
  });

  test("the node that all workers write to is killed, and they go on on another one", { timeout: 60_000 }, async () => {
    const { name, urls } = await database();
    const forwarder = await forwarderTo(urls[0]);
    const work = await failoverWork([mysql(forwarder.url), mysql(forwarder.url)], 30_000);
    closers.push(work.close);
    await work.progress(50);
    const workers = await cluster.nodes[0].execute(`SELECT id, worker_key FROM ${name}.perdure_worker ORDER BY id`);
    await cluster.nodes[0].kill();
    forwarder.pointTo(socketOf(urls[1]));
    await work.progress(50);
    const report = await work.finish();
    expect(report).toMatchObject(clean);
    expect(workers).toHaveLength(2);
    expect(await cluster.nodes[2].execute(`SELECT id, worker_key FROM ${name}.perdure_worker ORDER BY id`)).toEqual(workers);
    const odd = `SELECT COUNT(*) AS runs FROM ${name}.perdure_run r WHERE r.status <> 2 OR r.last_seq <> (SELECT COUNT(*) FROM ${name}.perdure_history h WHERE h.run = r.id)`;
    expect(await cluster.nodes[2].execute(odd)).toEqual([{ runs: 0 }]);
  });
});
