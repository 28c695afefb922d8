// The whole engine on MariaDB, in several engines that share a database as processes would.
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { activity, connect, launch, message, workflow, type Client } from "perdure";
import type { Backend } from "perdure/backend";
import { mysql } from "perdure/mysql";
import { mariadbServer } from "../support/mariadb-server.js";

const server = await mariadbServer();
afterAll(() => server?.stop());

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

describe.runIf(server !== undefined)("the engine on MariaDB", () => {
  if (server === undefined) return;
  const backend = async (): Promise<Backend> => {
    const { url, drop } = await server.database();
    disposals.push(drop);
    return mysql(url);
  };
  const keep = <C extends Client>(client: C): C => {
    disposals.push(() => client.close());
    return client;
  };

  test("a client elsewhere starts runs, sends to them and is told of their ends; activities run where they are served", async () => {
    const shared = await backend();
    const name = message<string>("name");
    const shout = activity("shout", async (text: string) => text.toUpperCase());
    const greet = workflow("greet", async (ctx, greeting: string) => {
      const who = await ctx.receive(name);
      await ctx.sleep(50);
      const loud = await ctx.activity(shout, `${greeting} ${who}`);
      return ctx.step("punctuate", () => `${loud}!`);
    });
    keep(await launch({ backend: shared, workflows: [greet] }));
    keep(await launch({ backend: shared, activities: [shout] }));
    const client = keep(await connect({ backend: shared }));
    const handles = await Promise.all(["a", "b", "c"].map((id) => client.start(greet, "hello", { id })));
    for (const handle of handles) await handle.send(name, `from ${handle.id}`);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(["HELLO FROM A!", "HELLO FROM B!", "HELLO FROM C!"]);
    expect((await client.get("a").describe()).status).toBe("completed");
  });

  test("a worker that takes over goes on after the last step that was recorded", async () => {
    const shared = await backend();
    const ran: string[] = [];
    const go = message<null>("go");
    const two = workflow("two", async (ctx) => {
      await ctx.step("one", () => void ran.push("one"));
      await ctx.receive(go);
      await ctx.step("two", () => void ran.push("two"));
      return ran.length;
    });
    const first = await launch({ backend: shared, workflows: [two], warmRuns: 0 });
    await first.start(two, undefined, { id: "x" });
    const client = keep(await connect({ backend: shared }));
    await client.get("x").send(go, null);
    await first.close();
    keep(await launch({ backend: shared, workflows: [two] }));
    expect(await client.get("x").result()).toBe(2);
    expect(ran).toEqual(["one", "two"]);
  });

  test("timers of many runs fire once each, none early, and a cancel reaches a sleeper", async () => {
    const shared = await backend();
    const nap = workflow("nap", async (ctx, ms: number) => {
      const began = ctx.now().getTime();
      await ctx.sleep(ms);
      return ctx.now().getTime() - began;
    });
    const engine = keep(await launch({ backend: shared, workflows: [nap], warmRuns: 0 }));
    const sleeper = await engine.start(nap, 3_600_000, { id: "sleeper" });
    const slept = await Promise.all(Array.from({ length: 50 }, (_, index) => engine.execute(nap, 50 + index, { id: `nap ${index}` })));
    for (const [index, ms] of slept.entries()) expect(ms).toBeGreaterThanOrEqual(50 + index);
    await sleeper.cancel("enough");
    await expect(sleeper.result()).rejects.toMatchObject({ code: "cancelled" });
    for (const id of ["nap 0", "nap 7", "nap 49"]) {
      const kinds = (await engine.get(id).history()).map(({ kind }) => kind);
      expect(kinds).toEqual(["started", "timer_fired", "run_completed"]);
    }
  });
});
