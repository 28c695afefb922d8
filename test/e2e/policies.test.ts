import { expect, it } from "vitest";
import { message, stream, update, workflow, type StartOptions } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message<string>("go");
const ask = update<string, string>("ask");
const tokens = stream<string>("tokens");
const wf = workflow("w", async (ctx, input: string) => {
  const told = await ctx.receive(go);
  if (told === "fail") throw new Error("told to");
  return `${input} ${told}`;
});

onEveryBackend("identity", (lab) => {
  const open = async (input = "a", options: StartOptions = {}) => {
    const engine = await lab.launch({ workflows: [wf] });
    return { engine, handle: await engine.start(wf, input, { id: "1", ...options }) };
  };

  it("of an open run: use it, fail, or end it and start", async () => {
    const { engine, handle } = await open();
    const first = (await handle.describe()).runId;
    const used = await engine.start(wf, "a", { id: "1" });
    expect((await used.describe()).runId).toBe(first);
    await expect(engine.start(wf, "b", { id: "1" })).rejects.toMatchObject({ code: "id_conflict" });
    await expect(engine.start(wf, "a", { id: "1", onExisting: "fail" })).rejects.toMatchObject({ code: "already_exists" });
    const fresh = await engine.start(wf, "b", { id: "1", onExisting: "terminate" });
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "terminated" });
    await fresh.send(go, "x");
    expect(await lab.time.run(fresh.result())).toBe("b x");
    expect(await lab.time.run(engine.get("1").result())).toBe("b x");
  });

  it("of an ended run: it counts, unless another start is allowed", async () => {
    const { engine, handle } = await open();
    await handle.send(go, "x");
    await lab.time.run(handle.result());
    const same = await engine.start(wf, "a", { id: "1" });
    expect(await lab.time.run(same.result())).toBe("a x");
    const afterFailure = await engine.start(wf, "a", { id: "1", reuse: "after-failure" });
    expect(await lab.time.run(afterFailure.result())).toBe("a x");
    await expect(engine.start(wf, "a", { id: "1", onExisting: "fail" })).rejects.toMatchObject({ code: "already_exists" });
    const again = await engine.start(wf, "b", { id: "1", reuse: "always" });
    await again.send(go, "fail");
    await expect(lab.time.run(again.result())).rejects.toMatchObject({ code: "run_failed" });
    const third = await engine.start(wf, "c", { id: "1", reuse: "after-failure" });
    await third.send(go, "y");
    expect(await lab.time.run(third.result())).toBe("c y");
    expect(await lab.time.run(handle.result())).toBe("a x");
  });

  it("means one run to whoever waits for its answer or follows its stream, though another is started in its place", async () => {
    const { engine } = await open();
    const asked = engine.get("1").update(ask, "anybody there?");
    const read = async (): Promise<readonly string[]> => {
      const chunks = [];
      for await (const chunk of engine.get("1").stream(tokens)) chunks.push(chunk);
      return chunks;
    };
    const followed = read();
    const outcomes = Promise.allSettled([asked, followed]);
    await lab.time.until(async () => (await engine.get("1").describe()).unreadMessages > 0);
    await engine.start(wf, "b", { id: "1", onExisting: "terminate" });
    const [answer, chunks] = await lab.time.run(outcomes);
    expect(answer).toMatchObject({ status: "rejected", reason: { code: "not_running" } });
    expect(chunks).toEqual({ status: "fulfilled", value: [] });
    expect((await engine.get("1").describe()).status).toBe("waiting");
  });

  it("of many starts at once there is one run, also where an ended one may be followed", async () => {
    const { engine, handle } = await open();
    await handle.send(go, "x");
    await lab.time.run(handle.result());
    const client = await lab.connect();
    const starts = await lab.time.run(
      Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? engine : client).start(wf, "b", { id: "1", reuse: "always" }))),
    );
    const runs = new Set(await Promise.all(starts.map(async (one) => (await one.describe()).runId)));
    expect(runs.size).toBe(1);
  });

  it("terminate ends a run without asking its code, whoever drives it", async () => {
    let finished = false;
    let told: unknown;
    const stubborn = workflow("stubborn", async (ctx) => {
      try {
        await ctx.step(
          "long",
          ({ signal }) =>
            new Promise((_, reject) =>
              signal.addEventListener("abort", () => {
                told = (signal.reason as { readonly code?: string }).code;
                reject(signal.reason as Error);
              }),
            ),
        );
      } finally {
        finished = true;
      }
    });
    const engine = await lab.launch({ workflows: [stubborn] });
    const client = await lab.connect();
    const handle = await engine.start(stubborn, undefined, { id: "s" });
    await lab.time.settle();
    await client.get("s").terminate("enough");
    await expect(lab.time.run(client.get("s").result())).rejects.toMatchObject({ code: "terminated" });
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "terminated", message: expect.stringContaining("enough") });
    expect(await handle.describe()).toMatchObject({ status: "terminated" });
    expect((await handle.history()).at(-1)).toMatchObject({ kind: "run_terminated" });
    await expect(handle.terminate()).rejects.toMatchObject({ code: "not_running" });
    await expect(client.get("nobody").terminate()).rejects.toMatchObject({ code: "not_found" });
    // The body is told, though the code is not.
    await lab.time.advance(3000);
    expect([told, finished]).toEqual(["lease_lost", false]);
  });
});

onEveryBackend("attributes", (lab) => {
  it("are set at the start and from inside, shown, and searched by type and value", async () => {
    const order = workflow("order", async (ctx, total: number) => {
      ctx.setAttributes({ total, large: total > 100, at: new Date(0), customer: null });
      await ctx.receive(go);
    });
    const engine = await lab.launch({ workflows: [order] });
    for (const total of [50, 500]) await engine.start(order, total, { id: `o-${total}`, attributes: { customer: "c", region: "eu" } });
    await lab.time.until(async () => (await engine.get("o-500").describe()).status === "waiting");
    expect((await engine.get("o-500").describe()).attributes).toEqual({ total: 500, large: true, at: new Date(0), region: "eu" });
    const found = async (attributes: Record<string, string | number | boolean | Date>) => {
      const ids: string[] = [];
      for await (const { id } of engine.list({ attributes })) ids.push(id);
      return ids.toSorted();
    };
    expect(await found({ region: "eu" })).toEqual(["o-50", "o-500"]);
    expect(await found({ region: "eu", large: true })).toEqual(["o-500"]);
    expect(await found({ total: 50 })).toEqual(["o-50"]);
    expect(await found({ total: "50" })).toEqual([]);
    expect(await found({ at: new Date(0), large: false })).toEqual(["o-50"]);
    expect(await found({ customer: "c" })).toEqual([]);
  });

  it("that cannot be stored are refused", async () => {
    const engine = await lab.launch({ workflows: [wf] });
    for (const bad of [{ a: Number.NaN }, { a: "x".repeat(501) }, { a: {} as never }, { a: new Date(Number.NaN) }, { a: "\0" }])
      await expect(engine.start(wf, "x", { attributes: bad })).rejects.toMatchObject({ code: "invalid_argument" });
  });
});

onEveryBackend("messages between workflows", (lab) => {
  it("are sent once, and tell their sender if nobody is there", async () => {
    const receiver = workflow("receiver", async (ctx) => [
      await ctx.receive(go),
      await ctx.receive(go, { timeout: "5 seconds", otherwise: "no second" }),
    ]);
    const sender = workflow("sender", async (ctx) => {
      await ctx.get("r").send(go, "hello");
      const missing = await ctx
        .get("nobody")
        .send(go, "x")
        .catch((error: { code?: string }) => error.code);
      await ctx.get("c").cancel("from a workflow");
      return missing;
    });
    const engine = await lab.launch({ workflows: [receiver, sender, wf] });
    await engine.start(receiver, undefined, { id: "r" });
    const other = await engine.start(wf, "", { id: "c" });
    expect(await lab.time.run(engine.execute(sender))).toBe("not_found");
    expect(await lab.time.run(engine.get("r").result())).toEqual(["hello", "no second"]);
    await expect(lab.time.run(other.result())).rejects.toMatchObject({
      code: "cancelled",
      message: expect.stringContaining("from a workflow"),
    });
  });
});
