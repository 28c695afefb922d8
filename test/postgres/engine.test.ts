// The whole engine on PostgreSQL, in several engines that share a database as processes would.
import { afterEach, expect, test } from "vitest";
import { activity, connect, launch, message, workflow, type Client, type Engine } from "perdure";
import { postgres } from "perdure/postgres";
import { postgresServer } from "../support/postgres.js";

const server = postgresServer({ isOwn: true });

const opened: Client[] = [];
afterEach(async () => {
  for (const client of opened.splice(0)) await client.close();
});
const keep = <C extends Client>(client: C): C => {
  opened.push(client);
  return client;
};

test("a client elsewhere starts a run, sends to it and is told of its end; activities run where they are served", async () => {
  const backend = postgres(server.url, { schema: server.schema() });
  const name = message<string>("name");
  const shout = activity("shout", async (text: string) => text.toUpperCase());
  const greet = workflow("greet", async (ctx, greeting: string) => {
    const who = await ctx.receive(name);
    await ctx.sleep(50);
    const loud = await ctx.activity(shout, `${greeting} ${who}`);
    return ctx.step("punctuate", () => `${loud}!`);
  });
  keep(await launch({ backend, workflows: [greet] }));
  keep(await launch({ backend, activities: [shout] }));
  const client = keep(await connect({ backend }));
  const handles = await Promise.all(["a", "b", "c"].map((id) => client.start(greet, "hello", { id })));
  for (const handle of handles) await handle.send(name, `from ${handle.id}`);
  expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(["HELLO FROM A!", "HELLO FROM B!", "HELLO FROM C!"]);
  expect((await client.get("a").describe()).status).toBe("completed");
});

test("a worker that takes over goes on after the last step that was recorded", async () => {
  const backend = postgres(server.url, { schema: server.schema() });
  const ran: string[] = [];
  const go = message<null>("go");
  const two = workflow("two", async (ctx) => {
    await ctx.step("one", () => void ran.push("one"));
    await ctx.receive(go);
    await ctx.step("two", () => void ran.push("two"));
    return ran.length;
  });
  const first: Engine = await launch({ backend, workflows: [two], warmRuns: 0 });
  const handle = await first.start(two, undefined, { id: "x" });
  const client = keep(await connect({ backend }));
  await client.get("x").send(go, null);
  await first.close();
  keep(await launch({ backend, workflows: [two] }));
  expect(await client.get("x").result()).toBe(2);
  expect(ran).toEqual(["one", "two"]);
  expect(handle.id).toBe("x");
});

test("turns of drivers touch no index", async () => {
  const schema = server.schema();
  const steps = workflow("steps", async (ctx, n: number) => {
    for (let step = 0; step < 20; step += 1) await ctx.step(`step ${step}`, () => n);
    return n;
  });
  const engine = keep(await launch({ backend: postgres(server.url, { schema }), workflows: [steps] }));
  await Promise.all(Array.from({ length: 50 }, (_, n) => engine.execute(steps, n)));
  await engine.close();
  const updates = async () =>
    (
      await server.query(
        `SELECT n_tup_upd::int AS all, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE schemaname = '${schema}' AND relname = 'run'`,
      )
    )[0];
  // A connection's counts arrive when it ends.
  await expect.poll(async () => (await updates())?.["all"]).toBe(20 * 50);
  // The last turn of each run gives it up, which the index of owned runs has to know.
  expect((await updates())?.["hot"]).toBeGreaterThanOrEqual(18 * 50);
});
