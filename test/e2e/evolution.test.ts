import { expect, it } from "vitest";
import { isPerdureError, message, workflow, type HistoryExport } from "perdure";
import { replay, replayAll } from "perdure/testing";
import { onEveryBackend } from "../support/lab.js";

const go = message("go");

onEveryBackend("patches", (lab) => {
  const before = workflow("w", async (ctx) => {
    const a = await ctx.step("old", () => "old");
    await ctx.receive(go);
    return a;
  });
  const patched = workflow("w", async (ctx) => {
    const a = ctx.patched("renamed") ? await ctx.step("new", () => "new") : await ctx.step("old", () => "old");
    await ctx.receive(go);
    return `${a} ${ctx.patched("renamed")}`;
  });
  const after = workflow("w", async (ctx) => {
    const a = await ctx.step("new", () => "new");
    await ctx.receive(go);
    return `${a} only`;
  });

  it("keep runs from before on the old branch, and put new ones on the new", async () => {
    let engine = await lab.launch({ workflows: [before] });
    await engine.start(before, undefined, { id: "old" });
    await lab.waits(engine.get("old"), "message");
    engine = await lab.restart(engine, { workflows: [patched] });
    await engine.start(patched, undefined, { id: "new" });
    await lab.waits(engine.get("new"), "message");
    engine = await lab.restart(engine, { workflows: [patched] });
    for (const id of ["old", "new"]) await engine.get(id).send(go);
    expect(await lab.time.run(engine.get("old").result())).toBe("old false");
    expect(await lab.time.run(engine.get("new").result())).toBe("new true");
  });

  it("are answered the same on a replay, whatever was refused just before", async () => {
    const cancelled = workflow("w", async (ctx) => {
      await ctx.sleep("1 hour").catch(() => undefined);
      await ctx.step("refused", () => 1).catch(() => undefined);
      const first = ctx.patched("p");
      await ctx.shield((inner) => inner.receive(go));
      return [first, ctx.patched("p")];
    });
    const engine = await lab.launch({ workflows: [cancelled], warmRuns: 0 });
    const handle = await engine.start(cancelled, undefined, { id: "a" });
    await lab.waits(handle, "timer");
    await handle.cancel();
    await lab.waits(handle, "message");
    await handle.send(go);
    expect(await lab.time.run(handle.result())).toEqual([true, true]);
  });

  it("may be taken out of the code one by one", async () => {
    const both = workflow("w", async (ctx) => {
      const answers = [ctx.patched("one"), ctx.patched("two")];
      await ctx.receive(go);
      return answers;
    });
    const second = workflow("w", async (ctx) => {
      const answers = [ctx.patched("two")];
      await ctx.receive(go);
      return answers;
    });
    let engine = await lab.launch({ workflows: [both] });
    await engine.start(both, undefined, { id: "a" });
    await lab.waits(engine.get("a"), "message");
    engine = await lab.restart(engine, { workflows: [second] });
    await engine.get("a").send(go);
    expect(await lab.time.run(engine.get("a").result())).toEqual([true]);
  });

  it("may be taken out of the code when no run from before is left", async () => {
    let engine = await lab.launch({ workflows: [patched] });
    await engine.start(patched, undefined, { id: "new" });
    await lab.waits(engine.get("new"), "message");
    engine = await lab.restart(engine, { workflows: [after] });
    await engine.get("new").send(go);
    expect(await lab.time.run(engine.get("new").result())).toBe("new only");
  });
});

onEveryBackend("versions", (lab) => {
  const one = workflow("w", async (ctx) => `${(await ctx.receive(go), "code 1")} run ${ctx.info.version}`, {
    version: "1",
    versioning: "pinned",
  });
  const two = workflow("w", async (ctx) => `${(await ctx.receive(go), "code 2")} run ${ctx.info.version}`, {
    version: "2",
    versioning: "pinned",
  });

  it("stand side by side: a pinned run keeps to the one that it was started under", async () => {
    const engine = await lab.launch({ workflows: [one, two] });
    for (const [id, version] of [
      ["a", one],
      ["b", two],
    ] as const)
      await engine.start(version, undefined, { id, send: [go.of()] });
    expect(await lab.time.run(engine.get("a").result())).toBe("code 1 run 1");
    expect(await lab.time.run(engine.get("b").result())).toBe("code 2 run 2");
  });

  it("are left alone by workers that do not have them", async () => {
    const first = await lab.launch({ workflows: [one] });
    await first.start(one, undefined, { id: "a" });
    await lab.waits(first.get("a"), "message");
    await lab.close(first);
    const engine = await lab.launch({ workflows: [two] });
    await engine.get("a").send(go);
    await lab.time.advance(60_000);
    expect(await engine.get("a").describe()).toMatchObject({ status: "pending", crashCount: 0, parked: undefined });
    await lab.launch({ workflows: [one] });
    expect(await lab.time.run(engine.get("a").result())).toBe("code 1 run 1");
  });

  it("do not matter to runs that move: the newest code goes on with them", async () => {
    const old = workflow("m", async (ctx) => `${(await ctx.receive(go), "code 1")} run ${ctx.info.version}`, { version: "1" });
    const newer = workflow("m", async (ctx) => `${(await ctx.receive(go), "code 2")} run ${ctx.info.version}`, { version: "2" });
    let engine = await lab.launch({ workflows: [old] });
    await engine.start(old, undefined, { id: "m" });
    await lab.waits(engine.get("m"), "message");
    engine = await lab.restart(engine, { workflows: [old, newer] });
    await engine.get("m").send(go);
    expect(await lab.time.run(engine.get("m").result())).toBe("code 2 run 1");
  });

  it("of one name must differ", async () => {
    await expect(lab.launch({ workflows: [one, one] })).rejects.toMatchObject({ code: "duplicate_definition" });
  });
});

onEveryBackend("replay of recorded histories", (lab) => {
  const wf = workflow("w", async (ctx, n: number) => {
    const values = await Promise.all([ctx.step("a", () => n), ctx.step("b", () => n + 1)]);
    await ctx.sleep("1 hour");
    await ctx.receive(go);
    return values;
  });

  it("takes what a file gives back, of open and of ended runs, and fits the code that made it", async () => {
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, 1, { id: "1" });
    const histories: HistoryExport[] = [];
    const keep = async () => void histories.push(JSON.parse(JSON.stringify(await handle.export())) as HistoryExport);
    await lab.waits(handle, "timer");
    await keep();
    await lab.waits(handle, "message");
    await keep();
    await handle.send(go);
    await lab.time.run(handle.result());
    await keep();
    expect(await replayAll(histories, [wf])).toEqual([]);

    const renamed = workflow("w", async (ctx, n: number) => {
      const values = await Promise.all([ctx.step("a", () => n), ctx.step("c", () => n + 1)]);
      await ctx.sleep("1 hour");
      await ctx.receive(go);
      return values;
    });
    const error = await replay(histories[2]!, renamed).catch((thrown: unknown) => thrown);
    if (!isPerdureError(error, "nondeterminism")) throw error;
    expect(error.message).toContain('the history has step "b", but the code did step "c"');
    expect(String(error.details?.["report"])).toContain("evolution.test.ts");

    const early = workflow("w", async (ctx, n: number) => Promise.all([ctx.step("a", () => n), ctx.step("b", () => n + 1)]));
    expect(await replayAll(histories, [early])).toHaveLength(3);
    const endless = workflow("w", async (ctx, n: number) => {
      await Promise.all([ctx.step("a", () => n), ctx.step("b", () => n + 1)]);
      await ctx.sleep("1 hour");
      await ctx.receive(go);
      await ctx.receive(go);
    });
    expect((await replayAll(histories, [endless])).map(({ error: thrown }) => (thrown as { code?: string }).code)).toEqual([
      "nondeterminism",
    ]);
    await expect(
      replay(
        histories[0]!,
        workflow("other", async () => 1),
      ),
    ).rejects.toMatchObject({ code: "invalid_argument" });
  });
});
