import { expect, test, vi } from "vitest";
import { z } from "zod";
import { activity, activityRef, message, workflow } from "../api/define.js";
import type { StepContext, WorkflowContext } from "../api/types.js";
import { fakeContext, fakeStep } from "./fake-context.js";

const approved = message<boolean>("approved");
const rejected = message<string>("rejected");
const print = activity("print", async (order: { id: number }, { attempt }) => `label ${order.id}/${attempt}`);

const fulfil = workflow("fulfil", async (ctx, order: { id: number; total: number }) => {
  const payment = await ctx.step("charge", ({ idempotencyKey }) => `paid ${order.total} ${idempotencyKey}`);
  if (order.total > 1000 && !(await ctx.receive(approved, { timeout: "3 days", otherwise: false }))) return { status: "rejected" as const };
  const label = await ctx.activity(print, order);
  await ctx.sleep("1 day");
  ctx.log.info("shipped", { id: order.id });
  return { status: "shipped" as const, label, payment };
});

test("steps and activities run in place, sleeping moves the clock, and everything asked is noted", async () => {
  const ctx = fakeContext({ now: new Date("2025-03-01T00:00:00Z") });
  expect(await fulfil.run(ctx, { id: 7, total: 10 })).toEqual({ status: "shipped", label: "label 7/1", payment: "paid 10 fake-charge" });
  expect(ctx.now()).toEqual(new Date("2025-03-02T00:00:00Z"));
  expect(ctx.calls.map(({ method, name }) => [method, name])).toEqual([
    ["step", "charge"],
    ["activity", "print"],
    ["sleep", ""],
  ]);
  expect(ctx.calls[2]?.args).toEqual(["1 day"]);
  expect(ctx.lines).toEqual([{ level: "info", message: "shipped", data: { id: 7 } }]);
});

test("answers are given by functions, mocks among them", async () => {
  const step = vi.fn((name: string) => ({ charge: "paid" })[name]);
  const runActivity = vi.fn().mockResolvedValue("label");
  const ctx = fakeContext({ step, activity: runActivity, messages: [approved.of(true)] });
  expect(await fulfil.run(ctx, { id: 7, total: 5000 })).toEqual({ status: "shipped", label: "label", payment: "paid" });
  expect(step).toHaveBeenCalledWith("charge", expect.any(Function), undefined);
  expect(runActivity).toHaveBeenCalledWith(print, { id: 7, total: 5000 });
});

test("a context made of mocks by hand fits a helper that asks for a part of it", async () => {
  async function nap(ctx: Pick<WorkflowContext, "sleep" | "step">): Promise<string> {
    await ctx.sleep("1s");
    return await ctx.step("wake", () => "awake");
  }
  const sleep = vi.fn(async () => {});
  const byHand = { sleep, step: <T>(_: string, run: (io: StepContext) => T | PromiseLike<T>) => Promise.resolve(run(fakeStep())) };
  expect(await nap(byHand)).toBe("awake");
  expect(sleep).toHaveBeenCalledWith("1s");
  const mocked = { sleep: vi.fn(), step: vi.fn().mockResolvedValue("mocked") };
  expect(await nap(mocked)).toBe("mocked");
});

test("messages are taken in order by name; beyond them a wait times out at once, with the clock moved", async () => {
  const ctx = fakeContext({ messages: [rejected.of("first"), approved.of(true), rejected.of("second")] });
  expect(await ctx.receive(approved)).toBe(true);
  expect(await ctx.receiveAny({ yes: approved, no: rejected })).toEqual({ key: "no", value: "first" });
  expect(await ctx.receive(rejected)).toBe("second");
  const before = ctx.now().getTime();
  expect(await ctx.receive(rejected, { timeout: "1m", otherwise: undefined })).toBeUndefined();
  expect(ctx.now().getTime() - before).toBe(60_000);
  await expect(ctx.receive(rejected, { timeout: "1m" })).rejects.toMatchObject({ code: "timeout" });
  await expect(ctx.receiveAny({ approved }, { timeout: "1m" })).rejects.toMatchObject({ code: "timeout" });
  await expect(ctx.receive(rejected)).rejects.toMatchObject({ code: "invalid_argument" });
});

test("schemas run, since here too a value enters", async () => {
  const dated = message("dated", { input: z.string().transform((text) => new Date(text)) });
  const sized = activity("sized", (n) => n + 1, { input: z.coerce.number<string>() });
  const ctx = fakeContext({ messages: [dated.of("2025-01-01")] });
  expect(await ctx.receive(dated)).toEqual(new Date("2025-01-01"));
  expect(await ctx.activity(sized, "41")).toBe(42);
  await expect(ctx.activity(sized, "many")).rejects.toMatchObject({ code: "invalid_input" });
});

test("a reference has no code to run", async () => {
  await expect(fakeContext().activity(activityRef<typeof print>("print"), { id: 1 })).rejects.toMatchObject({ code: "invalid_argument" });
  expect(await fakeContext({ activity: () => "label" }).activity(activityRef<typeof print>("print"), { id: 1 })).toBe("label");
});

test("what steps throw is thrown on, and scopes and shields run what they are given", async () => {
  const ctx = fakeContext({
    step: () => {
      throw new TypeError("no");
    },
  });
  await expect(ctx.scope((inner) => inner.shield((core) => core.step("x", () => 1)))).rejects.toThrow(TypeError);
  expect(ctx.calls.map(({ method }) => method)).toEqual(["scope", "shield", "step"]);
});

test("time, chance and facts are fixed by default", async () => {
  const [one, two, other] = [fakeContext(), fakeContext(), fakeContext({ seed: "other", info: { id: "order-1" } })];
  expect(one.now()).toEqual(new Date("2025-01-01T00:00:00Z"));
  expect([one.random(), one.uuid()]).toEqual([two.random(), two.uuid()]);
  expect(other.uuid()).not.toBe(one.uuid());
  expect(other.info).toMatchObject({ id: "order-1", attempt: 1 });
  await one.sleepUntil(new Date("2025-02-01T00:00:00Z"));
  await one.sleepUntil(new Date("2024-02-01T00:00:00Z"));
  expect(one.now()).toEqual(new Date("2025-02-01T00:00:00Z"));
  expect(one.signal.aborted).toBe(false);
});
