// Who is told of news: nobody where nobody else listens, and whoever has come from then on.
import pg from "pg";
import { expect, test } from "vitest";
import { postgres } from "perdure/postgres";
import type { Hint, Store } from "perdure/backend";
import { systemRuntime } from "../../src/platform/runtime.js";
import { driving, effectsOf, hourMs, lineOf, sampleRun, startOf } from "../../src/testing/conformance/samples.js";
import { postgresServer } from "../support/postgres.js";

const server = postgresServer({ isOwn: true });

const openStore = (schema: string): Promise<Store> => postgres(server.url, { schema }).open(systemRuntime());

test("a process that is alone tells nobody, until another one comes", async () => {
  const { url } = server;
  const schema = server.schema();
  const stores: Store[] = [];
  const open = async (): Promise<Store> => {
    const store = await openStore(schema);
    stores.push(store);
    return store;
  };
  // Hears all, and is not known to anybody.
  const witness = new pg.Client({ connectionString: url });
  await witness.connect();
  try {
    const heard: string[] = [];
    witness.on("notification", ({ payload }) => heard.push(payload ?? ""));
    const alone = await open();
    await witness.query(`LISTEN "perdure_${schema}"`);
    const { worker } = await alone.registerWorker({ workerId: "alone", leaseMs: hourMs });
    const pulse = (): Promise<unknown> => alone.pulse({ worker, leaseMs: null, runRoutes: [], taskRoutes: [] });
    const start = (workflowId: string): Promise<unknown> => alone.apply([startOf(sampleRun({ workflowId }))]);
    await pulse();
    await start("unheard");
    await pulse();
    await witness.query("SELECT 1");
    expect(heard).toEqual([]);

    const other = await open();
    let hints = 0;
    other.onHint(() => (hints += 1));
    await expect.poll(() => heard.length, { timeout: 5000 }).toBe(1);
    await start("heard at once");
    await expect.poll(() => hints, { timeout: 5000 }).toBe(1);
    await pulse();
    await start("heard after a pulse");
    await expect.poll(() => hints, { timeout: 5000 }).toBe(2);

    await other.close();
    await expect
      .poll(
        async () => {
          await pulse();
          const before = heard.length;
          await start(`again unheard ${before} ${Math.floor(performance.now())}`);
          await pulse();
          await witness.query("SELECT 1");
          return heard.length - before;
        },
        { timeout: 5000 },
      )
      .toBe(0);
  } finally {
    await witness.end();
    for (const store of stores) await store.close().catch(() => undefined);
  }
});

test("who takes work in hand after a rest says so, once, and has nobody look for any", async () => {
  const schema = server.schema();
  const [one, other] = [await openStore(schema), await openStore(schema)];
  try {
    const { worker } = await one.registerWorker({ workerId: "one", leaseMs: hourMs });
    const heard: Hint[] = [];
    other.onHint((hint) => heard.push(hint));
    const begin = (workflowId: string): Promise<unknown> =>
      one.apply([startOf(sampleRun({ workflowId }), { eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) } })]);
    await begin("first");
    await expect.poll(() => heard.length, { timeout: 5000 }).toBe(1);
    expect(Object.values(heard[0] ?? {})).toEqual([false, false, false, false, false]);
    await begin("second");
    // Of something else all hear, and of nothing before it.
    await one.apply([startOf(sampleRun({ workflowId: "for others" }))]);
    await expect.poll(() => heard.length, { timeout: 5000 }).toBe(2);
    expect(heard[1]?.runs).toBe(true);
  } finally {
    await one.close();
    await other.close();
  }
});

test("a hint says what it is about, and one without a subject says everything", async () => {
  const schema = server.schema();
  const [one, other] = [await openStore(schema), await openStore(schema)];
  const notifier = new pg.Client({ connectionString: server.url });
  await notifier.connect();
  try {
    const heard: Hint[] = [];
    other.onHint((hint) => heard.push(hint));
    const nothing = { runs: false, tasks: false, mail: false, ends: false, shown: false };
    await one.apply([startOf(sampleRun({ workflowId: "due" }))]);
    await expect.poll(() => heard.splice(0), { timeout: 5000 }).toEqual([{ ...nothing, runs: true }]);
    // As of a transaction of an application, or of a process with another version of perdure.
    await notifier.query(`NOTIFY "perdure_${schema}"`);
    await expect.poll(() => heard.splice(0), { timeout: 5000 }).toEqual([{ runs: true, tasks: true, mail: true, ends: true, shown: true }]);
  } finally {
    await notifier.end();
    await Promise.all([one.close(), other.close()]);
  }
});
