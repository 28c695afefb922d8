import { expect, it } from "vitest";
import { message, state, stream, workflow, type StreamEntry } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const progress = state<{ readonly done: number }>("progress");
const tokens = stream<string>("tokens");
const go = message("go");

async function collect<T>(values: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const value of values) into.push(value);
  return into;
}

onEveryBackend("published state", (lab) => {
  it("is read and watched from elsewhere, also when no worker is alive", async () => {
    const wf = workflow("w", async (ctx) => {
      for (let done = 1; done <= 3; done++) {
        ctx.publish(progress, { done });
        await ctx.receive(go);
      }
    });
    const engine = await lab.launch({ workflows: [wf] });
    const client = await lab.connect();
    await engine.start(wf, undefined, { id: "w" });
    const seen: { readonly done: number }[] = [];
    const watched = collect(client.get("w").watch(progress), seen);
    await lab.time.until(() => seen.length === 1);
    await client.get("w").send(go);
    await lab.time.until(() => seen.length === 2);
    await lab.waits(client.get("w"), "message");
    await lab.close(engine);
    expect(await client.get("w").read(progress)).toEqual({ done: 2 });
    await lab.launch({ workflows: [wf] });
    for (const _ of [1, 2]) await client.get("w").send(go);
    await lab.time.run(client.get("w").result());
    expect((await lab.time.run(watched)).at(-1)).toEqual({ done: 3 });
    await expect(client.get("nobody").read(progress)).rejects.toMatchObject({ code: "not_found" });
  });

  it("is undefined before it was published, and is published once in spite of replays", async () => {
    const wf = workflow("w", async (ctx) => {
      await ctx.receive(go);
      ctx.publish(progress, { done: 1 });
      await ctx.receive(go);
    });
    let engine = await lab.launch({ workflows: [wf], warmRuns: 0 });
    const handle = await engine.start(wf, undefined, { id: "w" });
    await lab.waits(handle, "message");
    expect(await handle.read(progress)).toBeUndefined();
    await handle.send(go);
    await lab.time.until(async () => (await handle.read(progress)) !== undefined);
    engine = await lab.restart(engine, { workflows: [wf], warmRuns: 0 });
    await engine.get("w").send(go);
    await lab.time.run(engine.get("w").result());
    expect(await engine.get("w").read(progress)).toEqual({ done: 1 });
  });
});

onEveryBackend("streams", (lab) => {
  it("carry what the workflow and its steps write, in order, to readers in other processes", async () => {
    const wf = workflow("w", async (ctx) => {
      await ctx.write(tokens, "begin");
      await ctx.step("say", async ({ write }) => {
        for (const word of ["one", "two", "three"]) await write(tokens, word);
      });
      await ctx.write(tokens, "end");
    });
    const engine = await lab.launch({ workflows: [wf] });
    const client = await lab.connect();
    await engine.start(wf, undefined, { id: "w" });
    const all = ["begin", "one", "two", "three", "end"];
    expect(await lab.time.run(collect(client.get("w").stream(tokens)))).toEqual(all);
    expect(await lab.time.run(collect(client.get("w").stream(tokens, { from: 2 })))).toEqual(all.slice(2));
    const entries = await lab.time.run(collect(client.get("w").stream(tokens).entries()));
    expect(entries.map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4]);
    const reader = client.get("w").stream(tokens).readable().getReader();
    const read: string[] = [];
    for (;;) {
      const { done, value } = await lab.time.run(reader.read());
      if (done) break;
      read.push(value);
    }
    expect(read).toEqual(all);
  });

  it("mark what a step that was cut off had written as void when it writes again", async () => {
    let attempts = 0;
    const wf = workflow("w", async (ctx) =>
      ctx.step("say", async ({ write, signal }) => {
        attempts++;
        await write(tokens, `a${attempts}`);
        await write(tokens, `b${attempts}`);
        if (attempts === 1) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
      }),
    );
    const first = await lab.launch({ workflows: [wf] });
    const client = await lab.connect();
    await first.start(wf, undefined, { id: "w" });
    const entries: StreamEntry<string>[] = [];
    const reading = collect(client.get("w").stream(tokens).entries(), entries);
    await lab.time.until(() => entries.length === 2);
    lab.kill(first);
    await lab.launch({ workflows: [wf] });
    await lab.time.run(reading);
    expect(entries).toEqual([
      { kind: "chunk", offset: 0, value: "a1" },
      { kind: "chunk", offset: 1, value: "b1" },
      { kind: "restart", offset: 2, from: 0 },
      { kind: "chunk", offset: 3, value: "a2" },
      { kind: "chunk", offset: 4, value: "b2" },
    ]);
  });

  it("go on behind what is stored if the step asks for it", async () => {
    const wf = workflow("w", async (ctx) =>
      ctx.step(
        "say",
        async ({ write, written, attempt }) => {
          for (let n = await written(tokens); n < 4; n++) {
            if (attempt === 1 && n === 2) throw new Error("cut off");
            await write(tokens, String(n));
          }
        },
        { retry: { backoff: 10 } },
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    await lab.time.run(engine.execute(wf, undefined, { id: "w" }));
    const entries = await lab.time.run(collect(engine.get("w").stream(tokens).entries()));
    expect(entries.map((entry) => (entry.kind === "chunk" ? entry.value : entry.kind))).toEqual(["0", "1", "2", "3"]);
  });

  it("take nothing more from an attempt that is over, though it goes on", async () => {
    let refused: unknown;
    let secondBegan = (): void => undefined;
    const second = new Promise<void>((resolve) => (secondBegan = resolve));
    const wf = workflow("w", async (ctx) =>
      ctx.step(
        "say",
        async ({ attempt, write }) => {
          if (attempt === 1) {
            await write(tokens, "first");
            await second;
            refused = await write(tokens, "late").catch((error: unknown) => error);
            return;
          }
          secondBegan();
          await write(tokens, "second");
          await write(tokens, "third");
        },
        { timeout: "1s", retry: { backoff: 10 } },
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    await lab.time.run(engine.execute(wf, undefined, { id: "a" }));
    const entries: StreamEntry<string>[] = await collect(engine.get("a").stream(tokens).entries());
    expect(entries.map((entry) => (entry.kind === "chunk" ? entry.value : entry.kind))).toEqual(["first", "restart", "second", "third"]);
    expect(refused).toMatchObject({ code: "lease_lost" });
  });

  it("keep what the runs of a chain wrote, though their steps have the same numbers", async () => {
    const wf = workflow("w", async (ctx, round: number): Promise<string> => {
      await ctx.step("say", ({ write }) => write(tokens, `round ${round}`));
      return round < 3 ? ctx.continueAsNew(round + 1) : "done";
    });
    const engine = await lab.launch({ workflows: [wf] });
    await lab.time.run(engine.execute(wf, 1, { id: "a" }));
    const entries: StreamEntry<string>[] = await collect(engine.get("a").stream(tokens).entries());
    expect(entries.map((entry) => (entry.kind === "chunk" ? entry.value : entry.kind))).toEqual(["round 1", "round 2", "round 3"]);
  });

  it("take ten thousand chunks", async () => {
    const wf = workflow("w", async (ctx) =>
      ctx.step("say", async ({ write }) => {
        await Promise.all(Array.from({ length: 10_000 }, (_, n) => write(tokens, `chunk ${n}`)));
      }),
    );
    const engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "w" });
    const read = await lab.time.run(collect(engine.get("w").stream(tokens)));
    expect([read.length, read[0], read.at(-1)]).toEqual([10_000, "chunk 0", "chunk 9999"]);
  });

  it("end with the run, and stop when their signal aborts", async () => {
    const wf = workflow("w", async (ctx) => ctx.receive(go));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    const controller = new AbortController();
    const stopped = collect(handle.stream(tokens, { signal: controller.signal }));
    await lab.time.settle();
    controller.abort();
    expect(await lab.time.run(stopped)).toEqual([]);
    const ended = collect(handle.stream(tokens));
    await handle.send(go);
    expect(await lab.time.run(ended)).toEqual([]);
  });
});
