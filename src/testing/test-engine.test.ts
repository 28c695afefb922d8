import { setTimeout as realSleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  activity,
  activityRef,
  compression,
  isPerdureError,
  message,
  state,
  stream,
  update,
  workflow,
  type Logger,
  type TransactionSource,
} from "perdure";
import { testEngine, type TestEngine, type TestEngineOptions } from "./index.js";

const day = 24 * 3_600_000;
const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

async function open(options: TestEngineOptions): Promise<TestEngine> {
  const engine = await testEngine(options);
  onTestFinished(() => engine.close());
  return engine;
}

const approved = message<boolean>("approved");
const printLabel = activity("print-label", async (id: string) => `label ${id}`);
const fulfil = workflow("fulfil", async (ctx, id: string) => {
  const payment = await ctx.step("charge", () => `paid ${id}`);
  const ok = await ctx.receive(approved, { timeout: "3 days", otherwise: false });
  if (!ok) return { payment, status: "rejected" };
  const label = await ctx.activity(printLabel, id);
  await ctx.sleep("1 day");
  return { payment, status: "shipped", label };
});
const both = { workflows: [fulfil], activities: [printLabel] };

describe("the clock of a test engine", () => {
  it("moves by itself while a result is awaited, and says what it says", async () => {
    const engine = await open(both);
    expect(engine.now()).toEqual(new Date("2025-01-01T00:00:00Z"));
    expect(await engine.execute(fulfil, "a")).toEqual({ payment: "paid a", status: "rejected" });
    expect(engine.now().getTime()).toBe(Date.UTC(2025, 0, 4));
    expect(await engine.execute(fulfil, "b", { send: [approved.of(true)] })).toMatchObject({ status: "shipped", label: "label b" });
    expect(engine.now().getTime()).toBe(Date.UTC(2025, 0, 5));
  });

  it("stands still in between, until it is told to move, and a result that is not awaited does not move it", async () => {
    const engine = await open({ ...both, now: new Date("2030-05-05T00:00:00Z") });
    const handle = await engine.start(fulfil, "a");
    const result = handle.result();
    await realSleep(20);
    await engine.advance("2 days");
    await realSleep(20);
    expect(engine.now()).toEqual(new Date("2030-05-07T00:00:00Z"));
    expect(await handle.describe()).toMatchObject({ status: "sleeping", waitingFor: [{ kind: "message", name: "approved" }] });
    await handle.send(approved, true);
    await engine.advance(new Date("2030-05-07T12:00:00Z"));
    expect(await handle.describe()).toMatchObject({ status: "sleeping", waitingFor: [{ kind: "timer" }] });
    expect(await result).toMatchObject({ status: "shipped" });
    expect(engine.now()).toEqual(new Date("2030-05-08T00:00:00Z"));
    await expect(engine.advance(new Date("2030-05-07T00:00:00Z"))).rejects.toThrow("has passed");
  });

  it("passes months with many timers, retries and running activities in no time", async () => {
    const ticks = workflow("ticks", async (ctx, n: number) => {
      for (let i = 0; i < 20; i++) await ctx.sleep(`${n + i} hours`);
      return ctx.step("flaky", ({ attempt }) => (attempt < 10 ? Promise.reject(new Error("not yet")) : attempt), { retry: { attempts: 10 } });
    });
    const watch = activity("watch", ({ signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)));
    const watching = workflow("watching", (ctx) => ctx.activity(watch));
    const engine = await open({ workflows: [ticks, watching], activities: [watch], patience: "50ms" });
    await engine.start(watching);
    const handles = await Promise.all(Array.from({ length: 50 }, (_, n) => engine.start(ticks, n)));
    const cpu = process.cpuUsage();
    await engine.advance("90 days");
    expect((await Promise.all(handles.map((handle) => handle.result()))).every((attempts) => attempts === 10)).toBe(true);
    const { user, system } = process.cpuUsage(cpu);
    console.log("cpu ms", (user + system) / 1000);
    expect((user + system) / 1000).toBeLessThan(5000);
    expect(engine.now().getTime()).toBe(Date.UTC(2025, 0, 1) + 90 * day);
  });
});
