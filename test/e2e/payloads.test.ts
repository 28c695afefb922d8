import { expect, it } from "vitest";
import { activity, compression, encryption, message, workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message<string>("go");
const secret = "CANARY-7f3a9";
const keyOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const chain = (current: string, keys: Record<string, Uint8Array>) => [compression(), encryption({ keys, current })];

onEveryBackend("payloads through a codec chain", (lab) => {
  const everything = () => {
    const shout = activity("shout", (text: string) => `${text}!`);
    const wf = workflow("w", async (ctx, input: { readonly text: string }) => {
      const a = await ctx.step("a", () => `${input.text} step`);
      const failed = await ctx
        .step("fails", () => Promise.reject(new Error(`${input.text} error`)), { retry: { attempts: 1 } })
        .catch((error: unknown) => (error as Error).message);
      const b = await ctx.activity(shout, `${input.text} activity`);
      const c = await ctx.receive(go);
      return { a, b, c, failed, padding: "x".repeat(5000) };
    });
    return { wf, shout };
  };

  it("are stored without a trace of what they say", async () => {
    const { wf, shout } = everything();
    const options = { workflows: [wf], activities: [shout], codec: chain("k1", { k1: keyOf(1) }) };
    let engine = await lab.launch(options);
    const handle = await engine.start(wf, { text: secret }, { id: "1" });
    await lab.waits(handle, "message");
    expect(await lab.dump()).not.toContain(secret);
    engine = await lab.restart(engine, options);
    await engine.get("1").send(go, `${secret} message`);
    const cancelled = await engine.start(wf, { text: secret }, { id: "2" });
    await lab.waits(cancelled, "message");
    await cancelled.cancel(`${secret} reason`);
    await expect(lab.time.run(cancelled.result())).rejects.toMatchObject({ code: "cancelled", message: expect.stringContaining(secret) });
    expect(await lab.time.run(engine.get("1").result())).toMatchObject({
      a: `${secret} step`,
      b: `${secret} activity!`,
      c: `${secret} message`,
      failed: `${secret} error`,
    });
    expect(await engine.get("1").history()).toMatchObject({ 0: { data: { text: secret } } });
    await lab.close(engine);
    expect(await lab.dump()).not.toContain(secret);
    // The dump does show what is not hidden, or the test would prove nothing.
    expect(await lab.dump()).toContain("shout");
  });

  it("are readable in the store without one", async () => {
    const { wf, shout } = everything();
    const engine = await lab.launch({ workflows: [wf], activities: [shout] });
    const handle = await engine.start(wf, { text: secret }, { id: "1" });
    await lab.waits(handle, "message");
    expect(await lab.dump()).toContain(secret);
  });

  it("are read with older keys after a rotation, and written with the new one", async () => {
    const { wf, shout } = everything();
    const one = await lab.launch({ workflows: [wf], activities: [shout], codec: chain("k1", { k1: keyOf(1) }) });
    await lab.waits(await one.start(wf, { text: "t" }, { id: "1" }), "message");
    const both = { workflows: [wf], activities: [shout], codec: chain("k2", { k1: keyOf(1), k2: keyOf(2) }) };
    const two = await lab.restart(one, both);
    await two.get("1").send(go, "m");
    expect(await lab.time.run(two.get("1").result())).toMatchObject({ a: "t step", c: "m" });
    // The result was written by the new key: one that has only that reads it.
    const three = await lab.restart(two, { codec: chain("k2", { k2: keyOf(2) }) });
    expect(await lab.time.run(three.get("1").result())).toMatchObject({ a: "t step" });
    await expect(three.get("1").history()).rejects.toMatchObject({ code: "undecodable" });
  });

  it("whose key is lost park their runs, explained; with the key back they go on", async () => {
    const { wf, shout } = everything();
    const right = { workflows: [wf], activities: [shout], codec: chain("k1", { k1: keyOf(1) }) };
    const one = await lab.launch(right);
    await lab.waits(await one.start(wf, { text: "t" }, { id: "1" }), "message");
    await lab.close(one);
    const client = await lab.connect({ codec: right.codec });
    await client.get("1").send(go, "m");
    const wrong = await lab.launch({ ...right, codec: chain("k2", { k2: keyOf(2) }) });
    await lab.time.until(async () => (await client.get("1").describe()).status === "parked");
    expect((await client.get("1").describe()).parked).toMatchObject({ code: "undecodable", message: expect.stringContaining("k1") });
    // Others go on meanwhile.
    const fresh = await wrong.start(wf, { text: "u" }, { id: "2" });
    await wrong.get("2").send(go, "n");
    expect(await lab.time.run(fresh.result())).toMatchObject({ a: "u step", c: "n" });
    const mended = await lab.restart(wrong, right);
    expect(await lab.time.run(mended.get("1").result())).toMatchObject({ a: "t step", b: "t activity!", c: "m" });
  });

  it("of a start with the same id are compared by what they say", async () => {
    const { wf, shout } = everything();
    const engine = await lab.launch({ workflows: [wf], activities: [shout], codec: chain("k1", { k1: keyOf(1) }) });
    const client = await lab.connect({ codec: chain("k1", { k1: keyOf(1) }) });
    const handle = await client.start(wf, { text: "t" }, { id: "1" });
    const same = await engine.start(wf, { text: "t" }, { id: "1" });
    expect((await same.describe()).runId).toBe((await handle.describe()).runId);
    await expect(engine.start(wf, { text: "u" }, { id: "1" })).rejects.toMatchObject({ code: "id_conflict" });
    await lab.waits(handle, "message");
    await expect(client.start(wf, { text: "u" }, { id: "1" })).rejects.toMatchObject({ code: "id_conflict" });
  });

  it("are small where they are large and dull", async () => {
    const wf = workflow("w", (ctx, word: string) => ctx.step("big", () => `${word} `.repeat(50_000)));
    const plain = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(plain.execute(wf, "plainly"))).toHaveLength(400_000);
    const packed = await lab.restart(plain, { workflows: [wf], codec: [compression()] });
    expect(await lab.time.run(packed.execute(wf, "tightly"))).toHaveLength(400_000);
    await lab.close(packed);
    expect(await lab.dump()).toContain("plainly plainly plainly plainly plainly");
    // Compressed, it says it a few times at most.
    expect(await lab.dump()).not.toContain("tightly tightly tightly tightly tightly");
  });
});
