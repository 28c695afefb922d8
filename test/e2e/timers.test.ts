import { expect, it } from "vitest";
import { workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

onEveryBackend("timers", (lab) => {
  it("are never early, and late by no more than a poll", async () => {
    const durations = ["250ms", "1s", "90s", "20ms"] as const;
    const wf = workflow("w", async (ctx) => {
      const at = [ctx.now().getTime()];
      const really: number[] = [];
      for (const duration of durations) {
        await ctx.sleep(duration);
        at.push(ctx.now().getTime());
        really.push(await ctx.step("look", () => lab.time.now()));
      }
      return { at, really };
    });
    const engine = await lab.launch({ workflows: [wf] });
    const { at, really } = await lab.time.run(engine.execute(wf));
    for (const [index, ms] of [250, 1000, 90_000, 20].entries()) {
      const slept = at[index + 1]! - at[index]!;
      expect(slept).toBeGreaterThanOrEqual(ms);
      expect(slept).toBeLessThan(ms + 600);
      // Nor does the clock that the workflow is told run ahead of the store's.
      expect(really[index]).toBeGreaterThanOrEqual(at[index + 1]!);
    }
  });

  it("keep their deadline over restarts", async () => {
    const wf = workflow("w", async (ctx) => {
      const began = ctx.now().getTime();
      await ctx.sleep("1 hour");
      return ctx.now().getTime() - began;
    });
    let engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    const startedMs = lab.time.now();
    for (let round = 0; round < 3; round++) {
      await lab.waits(engine.get("1"), "timer");
      await lab.close(engine);
      lab.time.skip(15 * 60_000);
      engine = await lab.launch({ workflows: [wf] });
    }
    expect(await engine.get("1").describe()).toMatchObject({
      status: "sleeping",
      waitingFor: [{ kind: "timer", until: new Date(startedMs + 3_600_000) }],
    });
    const slept = (await lab.time.run(engine.get("1").result())) as number;
    expect(slept).toBeGreaterThanOrEqual(3_600_000);
    expect(slept).toBeLessThan(3_600_000 + 1000);
  });

  it("that came due while nobody was there fire at the next launch, at its time", async () => {
    const wf = workflow("w", async (ctx) => {
      await ctx.sleep("1 minute");
      return ctx.now().getTime();
    });
    const first = await lab.launch({ workflows: [wf] });
    await first.start(wf, undefined, { id: "1" });
    await lab.waits(first.get("1"), "timer");
    await lab.close(first);
    lab.time.skip(24 * 3_600_000);
    const relaunchedMs = lab.time.now();
    const engine = await lab.launch({ workflows: [wf] });
    const at = (await lab.time.run(engine.get("1").result())) as number;
    expect(at).toBeGreaterThanOrEqual(relaunchedMs);
    expect(at).toBeLessThan(relaunchedMs + 1000);
  });

  it("of no length, and those whose time has passed, resolve at once", async () => {
    const wf = workflow("w", async (ctx) => {
      const began = ctx.now().getTime();
      await ctx.sleep(0);
      await ctx.sleepUntil(new Date(0));
      await ctx.sleepUntil(ctx.now());
      return ctx.now().getTime() - began;
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toBeLessThan(50);
  });

  it("fire in the order of their times, whatever the order of the calls", async () => {
    const wf = workflow("w", async (ctx) => {
      const order: string[] = [];
      const after = (duration: number): Promise<unknown> => ctx.sleep(duration).then(() => order.push(String(duration)));
      await Promise.all([300, 100, 200, 100].map(after));
      return order;
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toEqual(["100", "100", "200", "300"]);
  });

  it("make ctx.now stand still within a turn and never go back", async () => {
    const wf = workflow("w", async (ctx) => {
      const times: number[] = [];
      for (let i = 0; i < 5; i++) {
        times.push(ctx.now().getTime(), ctx.now().getTime());
        await ctx.step(`s${i}`, () => i);
      }
      return times;
    });
    const engine = await lab.launch({ workflows: [wf] });
    const times = await lab.time.run(engine.execute(wf));
    for (let i = 0; i < times.length; i += 2) expect(times[i]).toBe(times[i + 1]);
    expect([...times].sort((a, b) => a - b)).toEqual(times);
  });

  it("begin a delayed start at its time, and not before", async () => {
    const wf = workflow("w", async (ctx) => ctx.now().getTime());
    const engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    const later = await engine.start(wf, undefined, { delay: "10 minutes" });
    const at = await engine.start(wf, undefined, { delay: new Date(startedMs + 20 * 60_000) });
    expect(await later.describe()).toMatchObject({
      status: "sleeping",
      startAt: new Date(startedMs + 600_000),
      waitingFor: [{ kind: "worker", until: new Date(startedMs + 600_000) }],
    });
    expect(await lab.time.run(later.result())).toBeGreaterThanOrEqual(startedMs + 600_000);
    expect(await lab.time.run(at.result())).toBeGreaterThanOrEqual(startedMs + 1_200_000);
    expect(lab.time.now()).toBeLessThan(startedMs + 1_202_000);
  });

  it("work a thousand at a time, in one run and in a thousand", async () => {
    const one = workflow("one", async (ctx) => {
      await Promise.all(Array.from({ length: 1000 }, (_, n) => ctx.sleep(1000 + (n % 10))));
      return "all";
    });
    const many = workflow("many", async (ctx, n: number) => {
      await ctx.sleep(30_000 + n);
      return n;
    });
    const engine = await lab.launch({ workflows: [one, many], concurrency: { runs: 50 } });
    expect(await lab.time.run(engine.execute(one))).toBe("all");
    const handles = await Promise.all(Array.from({ length: 1000 }, (_, n) => engine.start(many, n)));
    const results = await lab.time.run(Promise.all(handles.map((handle) => handle.result())));
    expect(results.reduce((sum, n) => sum + n, 0)).toBe(499_500);
  });
});
