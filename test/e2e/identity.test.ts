import { expect, it } from "vitest";
import { message, workflow, workflowRef, type Handle } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message("go");

onEveryBackend("the id of a run", (lab) => {
  const counted = () => {
    const ran: string[] = [];
    const wf = workflow("counted", async (ctx, input: { readonly n: number }) => {
      await ctx.step("count", () => void ran.push(ctx.info.id));
      return input.n;
    });
    return { ran, wf };
  };

  it("makes a start idempotent, before and after the end, in this process and others", async () => {
    const { ran, wf } = counted();
    const engine = await lab.launch({ workflows: [wf] });
    const client = await lab.connect();
    const first = await engine.start(wf, { n: 1 }, { id: "a" });
    const again = await client.start(wf, { n: 1 }, { id: "a" });
    expect(await lab.time.run(first.result())).toBe(1);
    expect(await lab.time.run(again.result())).toBe(1);
    expect(await lab.time.run(engine.execute(wf, { n: 1 }, { id: "a" }))).toBe(1);
    expect(ran).toEqual(["a"]);
    expect((await first.describe()).runId).toBe((await again.describe()).runId);
  });

  it("of a run with another input or another workflow is a conflict, and nothing is changed", async () => {
    const { ran, wf } = counted();
    const other = workflow("other", (_ctx, input: { readonly n: number }) => input.n);
    const engine = await lab.launch({ workflows: [wf, other] });
    await lab.time.run(engine.execute(wf, { n: 1 }, { id: "a" }));
    await expect(engine.start(wf, { n: 2 }, { id: "a" })).rejects.toMatchObject({
      code: "id_conflict",
      message: expect.stringContaining("another input"),
    });
    await expect(engine.start(other, { n: 1 }, { id: "a" })).rejects.toMatchObject({
      code: "id_conflict",
      message: expect.stringContaining('"counted"'),
    });
    expect(await engine.get("a").result()).toBe(1);
    expect(ran).toEqual(["a"]);
  });

  it("compares inputs by what they say, not by the order of their keys", async () => {
    const wf = workflow("w", (_ctx, input: object) => Object.keys(input));
    const engine = await lab.launch({ workflows: [wf] });
    const one = await engine.start(wf, { a: 1, b: { c: 2, d: 3 } }, { id: "a" });
    const two = await engine.start(wf, { b: { d: 3, c: 2 }, a: 1 }, { id: "a" });
    expect((await two.describe()).runId).toBe((await one.describe()).runId);
  });

  it("gives one run to fifty starts at once from two engines and a client", async () => {
    const { ran, wf } = counted();
    const starters = [await lab.launch({ workflows: [wf] }), await lab.launch({ workflows: [wf] }), await lab.connect()];
    for (let round = 0; round < 5; round++) {
      const handles: Handle<number>[] = await Promise.all(
        Array.from({ length: 50 }, (_, i) => starters[i % 3]!.start(wf, { n: round }, { id: `id ${round}` })),
      );
      expect(await lab.time.run(Promise.all(handles.map((handle) => handle.result())))).toEqual(Array.from({ length: 50 }, () => round));
      expect(new Set(await Promise.all(handles.map(async (handle) => (await handle.describe()).runId))).size).toBe(1);
    }
    expect(ran).toEqual(Array.from({ length: 5 }, (_, round) => `id ${round}`));
  });

  it("comes from the start, the definition or chance", async () => {
    const wf = workflow("w", async (ctx, _input: { readonly order: number }) => ctx.info.id, { id: (input) => `order-${input.order}` });
    const plain = workflow("plain", async (ctx) => ctx.info.id);
    const engine = await lab.launch({ workflows: [wf, plain] });
    expect(await lab.time.run(engine.execute(wf, { order: 7 }))).toBe("order-7");
    expect(await lab.time.run(engine.execute(wf, { order: 7 }, { id: "mine" }))).toBe("mine");
    expect(await lab.time.run(engine.execute(plain))).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("may be any text that stores can keep", async () => {
    const wf = workflow("w", async (ctx) => ctx.info.id);
    const engine = await lab.launch({ workflows: [wf] });
    for (const id of ["order/17?x=1#y", "漢字 😀", "'; DROP TABLE runs; --", "__proto__", "%_\\", "x".repeat(1000), " "]) {
      expect(await lab.time.run(engine.execute(wf, undefined, { id }))).toBe(id);
      expect(await engine.get(id).describe()).toMatchObject({ id });
    }
    expect(
      await engine
        .get("ID")
        .describe()
        .catch((error: unknown) => (error as { code: string }).code),
    ).toBe("not_found");
  });

  it("is all that another process needs to look at a run", async () => {
    const wf = workflow("w", async (ctx, n: number) => {
      await ctx.receive(go);
      return { n };
    });
    const engine = await lab.launch({ workflows: [wf] });
    const client = await lab.connect();
    const started = await client.start(workflowRef<typeof wf>("w"), 5, { id: "a" });
    expect(started.id).toBe("a");
    await lab.waits(client.get("a"), "message", "go");
    await client.get("a").send(go);
    expect(await lab.time.run(client.get(wf, "a").result())).toEqual({ n: 5 });
    await lab.close(engine);
    expect(await lab.time.run(client.get("a").result())).toEqual({ n: 5 });
  });
});
