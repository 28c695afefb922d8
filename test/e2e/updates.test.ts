import { expect, it } from "vitest";
import { message, update, workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const setPrice = update<number, { readonly old: number }>("set-price");
const done = message("done");

const shop = workflow("shop", async (ctx) => {
  let price = 10;
  ctx.on(
    setPrice,
    async (next) => {
      await ctx.step("check", () => undefined);
      const old = price;
      price = next;
      if (next === 13) throw new RangeError("unlucky");
      return { old };
    },
    {
      validate: (next) => {
        if (next < 0) throw new RangeError("negative");
      },
    },
  );
  await ctx.receive(done);
  return price;
});

onEveryBackend("updates", (lab) => {
  it("are answered by the workflow, one after the other", async () => {
    const engine = await lab.launch({ workflows: [shop] });
    const handle = await engine.start(shop);
    expect(await lab.time.run(handle.update(setPrice, 20))).toEqual({ old: 10 });
    expect(await lab.time.run(handle.update(setPrice, 30))).toEqual({ old: 20 });
    await handle.send(done);
    expect(await lab.time.run(handle.result())).toBe(30);
  });

  it("that the validator refuses write nothing to the history", async () => {
    const engine = await lab.launch({ workflows: [shop] });
    const handle = await engine.start(shop);
    await lab.waits(handle, "message");
    const before = (await handle.history()).length;
    await expect(lab.time.run(handle.update(setPrice, -1))).rejects.toThrow("negative");
    expect((await handle.history()).length).toBe(before);
  });

  it("fail with what the handler throws, and the run goes on", async () => {
    const engine = await lab.launch({ workflows: [shop] });
    const handle = await engine.start(shop);
    const error = await lab.time.run(handle.update(setPrice, 13).catch((thrown: unknown) => thrown));
    expect([error instanceof RangeError, (error as Error).message]).toEqual([true, "unlucky"]);
    await handle.send(done);
    expect(await lab.time.run(handle.result())).toBe(13);
  });

  it("with the same key are one, and are answered alike; from another process, before and after the end", async () => {
    const engine = await lab.launch({ workflows: [shop] });
    const client = await lab.connect();
    await engine.start(shop, undefined, { id: "s" });
    const ask = () => lab.time.run(client.get("s").update(setPrice, 20, { key: "k" }));
    expect(await ask()).toEqual({ old: 10 });
    expect(await ask()).toEqual({ old: 10 });
    await client.get("s").send(done);
    expect(await lab.time.run(client.get("s").result())).toBe(20);
    expect(await ask()).toEqual({ old: 10 });
  });

  it("wait for a handler, and for a worker; once accepted they survive its death", async () => {
    const client = await lab.connect();
    await client.start(shop, undefined, { id: "s" });
    const asked = client.get("s").update(setPrice, 20);
    asked.catch(() => undefined);
    await lab.time.settle();
    const first = await lab.launch({ workflows: [shop] });
    await lab.time.until(async () => (await client.get("s").history()).some(({ kind }) => kind === "update_accepted"));
    lab.kill(first);
    await lab.launch({ workflows: [shop] });
    expect(await lab.time.run(asked)).toEqual({ old: 10 });
  });

  it("tell their caller when the run ends without an answer", async () => {
    const deaf = workflow("deaf", async (ctx) => ctx.receive(done));
    const engine = await lab.launch({ workflows: [deaf] });
    const handle = await engine.start(deaf);
    const asked = handle.update(setPrice, 1).catch((error: { code?: string }) => error.code);
    await lab.time.settle();
    await handle.send(done);
    expect(await lab.time.run(asked)).toBe("not_running");
  });

  it("that were accepted are answered before a run that returns has ended", async () => {
    const slow = workflow("slow", async (ctx) => {
      ctx.on(setPrice, async (n) => {
        await ctx.sleep("1 minute");
        return { old: n };
      });
      await ctx.receive(done);
      return "returned";
    });
    const engine = await lab.launch({ workflows: [slow] });
    const handle = await engine.start(slow);
    const asked = handle.update(setPrice, 5);
    await lab.waits(handle, "timer");
    await handle.send(done);
    expect(await lab.time.run(asked)).toEqual({ old: 5 });
    expect(await lab.time.run(handle.result())).toBe("returned");
  });
});
