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
  type PayloadCodec,
  type TransactionSource,
  type WorkflowContext,
} from "perdure";
import { memory } from "perdure/memory";
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
const clock = workflow("clock", async () => Date.now());
const watch = activity("watch", async () => undefined);
const watching = workflow("watching", (ctx) => ctx.activity(watch));
const untilAborted = (_: unknown, { signal }: { readonly signal: AbortSignal }): Promise<undefined> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
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
      return ctx.step("flaky", ({ attempt }) => (attempt < 10 ? Promise.reject(new Error("not yet")) : attempt), {
        retry: { attempts: 10 },
      });
    });
    const engine = await open({ workflows: [ticks, watching], activities: [watch] });
    engine.mock(watch, untilAborted);
    const watched = await engine.start(watching);
    const handles = await Promise.all(Array.from({ length: 50 }, (_, n) => engine.start(ticks, n)));
    const cpu = process.cpuUsage();
    await engine.advance("90 days");
    const { user, system } = process.cpuUsage(cpu);
    // 1,450 waits. A look at the store for every second of them would be some 7,776,000.
    expect((user + system) / 1000).toBeLessThan(5000);
    expect((await Promise.all(handles.map((handle) => handle.result()))).every((attempts) => attempts === 10)).toBe(true);
    expect((await watched.describe()).status).toBe("waiting");
    expect(engine.now().getTime()).toBe(Date.UTC(2025, 0, 1) + 90 * day);
  });

  it("stands still for a step that does real work, and not for ever", async () => {
    const wf = workflow("w", async (ctx) => {
      const text = await ctx.step("real", () => realSleep(30, "done"), { timeout: "5ms" });
      await ctx.sleep("1 hour");
      return text;
    });
    const hung = workflow("hung", (ctx) =>
      ctx.step("hangs", () => new Promise<string>(() => undefined), { timeout: "1 hour", retry: { attempts: 1 } }),
    );
    const engine = await open({ workflows: [wf, hung], patience: "500ms" });
    const first = await engine.start(wf);
    await engine.advance("59 minutes");
    expect(await first.describe()).toMatchObject({ status: "sleeping", historyLength: 2 });
    await engine.advance("1 minute");
    expect(await first.describe()).toMatchObject({ status: "completed" });
    const began = engine.now().getTime();
    await expect(engine.execute(hung)).rejects.toMatchObject({ cause: { code: "timeout" } });
    expect(engine.now().getTime() - began).toBe(day / 24);
  });

  it("moves for updates, watched states and streams as well", async () => {
    const price = update<number, string>("price");
    const progress = state<number>("progress");
    const lines = stream<string>("lines");
    const wf = workflow("w", async (ctx) => {
      ctx.on(price, async (value) => {
        await ctx.sleep("1 hour");
        return `took ${value}`;
      });
      for (let n = 1; n <= 3; n++) {
        ctx.publish(progress, n);
        await ctx.write(lines, `line ${n}`);
        await ctx.sleep("1 day");
      }
    });
    const engine = await open({ workflows: [wf] });
    const handle = await engine.start(wf);
    expect(await handle.update(price, 7)).toBe("took 7");
    const seen: number[] = [];
    for await (const value of handle.watch(progress)) seen.push(value);
    expect(seen).toEqual([1, 2, 3]);
    const other = await engine.start(wf);
    const read: string[] = [];
    for await (const line of other.stream(lines)) read.push(line);
    expect(read).toEqual(["line 1", "line 2", "line 3"]);
    const third = await engine.start(wf);
    const chunks: string[] = [];
    for await (const chunk of third.stream(lines).readable() as unknown as AsyncIterable<string>) chunks.push(chunk);
    expect(chunks).toEqual(read);
    expect(engine.now().getTime()).toBe(Date.UTC(2025, 0, 10));
  });

  it("waits for a codec that works elsewhere", async () => {
    const slow: PayloadCodec = {
      name: "slow",
      optional: false,
      encode: (bytes) => realSleep(10, Uint8Array.from(bytes)),
      decode: (bytes) => realSleep(10, Uint8Array.from(bytes)),
    };
    const wf = workflow("w", (ctx, text: string) => Promise.race([ctx.step("s", () => text), ctx.sleep("1ms")]));
    const engine = await open({ workflows: [wf], codec: [compression(), slow] });
    expect(await engine.execute(wf, "text")).toBe("text");
    expect(engine.now().getTime()).toBe(Date.UTC(2025, 0, 1));
  });
});

describe("waiting for what never comes", () => {
  it("fails, and says what is missing", async () => {
    const wf = workflow("w", (ctx) => ctx.receive(approved));
    const parent = workflow("p", (ctx) => ctx.child(clock, undefined, { id: "child" }));
    const engine = await open({ workflows: [wf, parent, clock], logger: silent, patience: "50ms" });
    await expect(engine.execute(wf)).rejects.toThrow('The run waits for message "approved". Send what is missing before');
    await expect(engine.execute(parent)).rejects.toThrow(/The run waits for child "clock"\. Run "child" is parked: .*Date\.now/);
  });

  it("fails at once for a parked run, with the report", async () => {
    const engine = await open({ workflows: [clock], logger: silent });
    const error: unknown = await engine.execute(clock, undefined, { id: "1" }).catch((thrown: unknown) => thrown);
    expect(isPerdureError(error, "nondeterminism")).toBe(true);
    expect(String(error)).toMatch(/Run "1" is parked: [\s\S]*ctx\.now\(\)/);
    // Nor does it cost anything to pass the time beside it.
    await engine.advance("30 days");
    expect(await engine.get("1").describe()).toMatchObject({ status: "parked" });
  });

  it("goes on waiting while something of the test's own is under way", async () => {
    const wf = workflow("w", (ctx) => ctx.receive(approved));
    const engine = await open({ workflows: [wf], patience: "5 seconds" });
    const handle = await engine.start(wf);
    const sending = realSleep(50).then(() => handle.send(approved, true));
    expect(await handle.result()).toBe(true);
    await sending;
  });

  it("gives up after ten years", async () => {
    const wf = workflow("w", async (ctx) => {
      for (;;) await ctx.sleep("300 days");
    });
    const engine = await open({ workflows: [wf] });
    await expect(engine.execute(wf)).rejects.toThrow('the end of workflow "w", which has not come within 10 years');
  });
});

describe("mocks", () => {
  it("take the place of activities until they are taken back, retries and all", async () => {
    const engine = await open(both);
    const run = vi.fn<(id: string) => Promise<string>>();
    run.mockRejectedValueOnce(new Error("out of paper")).mockResolvedValue("mocked");
    const restore = engine.mock(printLabel, run);
    expect(await engine.execute(fulfil, "a", { send: [approved.of(true)] })).toMatchObject({ label: "mocked" });
    expect(run.mock.calls.map(([id]) => id)).toEqual(["a", "a"]);
    const inner = engine.mock(printLabel, async () => "inner");
    inner();
    expect(await engine.execute(fulfil, "b", { send: [approved.of(true)] })).toMatchObject({ label: "mocked" });
    restore();
    expect(await engine.execute(fulfil, "c", { send: [approved.of(true)] })).toMatchObject({ label: "label c" });
    expect(() => engine.mock(activityRef<typeof printLabel>("other"), async () => "")).toThrow("not among those");
    expect(() => engine.mock(fulfil as unknown as typeof printLabel, async () => "")).toThrow("made by activity");
  });

  it("take the place of steps and transactions of one workflow, by name", async () => {
    const begun: string[] = [];
    const source = {
      kind: "transaction_source",
      use: (tx: string) => ({ kind: "transaction", connection: tx }),
      run: async (work: (tx: string) => Promise<unknown>) => work(begun.push("begin").toString()),
    } as unknown as TransactionSource<string>;
    const run = async (ctx: WorkflowContext): Promise<readonly string[]> => [
      await ctx.step("s", () => "real"),
      await ctx.transaction("t", source, (tx) => `real ${tx}`),
    ];
    const one = workflow("one", (ctx) => run(ctx));
    const other = workflow("other", (ctx) => run(ctx));
    const engine = await open({ workflows: [one, other] });
    const restore = [
      engine.mockStep(one, "s", ({ attempt, idempotencyKey }) => `mock ${attempt} ${idempotencyKey.length > 0}`),
      engine.mockStep(one, "t", () => "mock"),
    ];
    expect(await engine.execute(one)).toEqual(["mock 1 true", "mock"]);
    expect(await engine.execute(other)).toEqual(["real", "real 1"]);
    for (const undo of restore) undo();
    expect(await engine.execute(one)).toEqual(["real", "real 2"]);
  });

  it("take time of the clock: attempts and heartbeats time out, activities that are not taken expire", async () => {
    const slow = activity("slow", async (): Promise<string> => "at once");
    const wf = workflow("w", async (ctx) => {
      const took = await ctx.activity(slow, undefined, { timeout: "3 hours" });
      const unheard = await ctx.activity(slow, undefined, { timeout: { heartbeat: "1 minute" }, retry: { attempts: 1 } }).catch(String);
      const queued = await ctx.activity(activityRef<typeof slow>("nobody"), undefined, { timeout: { queued: "1 hour" } }).catch(String);
      return { took, unheard, queued };
    });
    const engine = await open({ workflows: [wf], activities: [slow] });
    const aborts: string[] = [];
    engine.mock(slow, async (_, { signal }) => {
      signal.addEventListener("abort", () => aborts.push(engine.now().toISOString()));
      await engine.sleep("2 hours");
      return "slowly";
    });
    expect(await engine.execute(wf)).toEqual({
      took: "slowly",
      unheard: expect.stringContaining("heartbeat") as string,
      queued: expect.stringContaining("queue") as string,
    });
    expect(engine.now().toISOString()).toBe("2025-01-01T03:01:00.000Z");
    // The body of which nothing was heard was told, as soon as the store knew.
    expect(aborts).toEqual(["2025-01-01T02:01:00.000Z"]);
  });

  it("are told to stop when the run is cancelled", async () => {
    const engine = await open({ workflows: [watching], activities: [watch] });
    const stopped = vi.fn<() => void>();
    engine.mock(watch, async (_, { signal }) => {
      await untilAborted(_, { signal });
      stopped();
      return undefined;
    });
    const handle = await engine.start(watching);
    await engine.advance("1 day");
    await handle.cancel("enough");
    await expect(handle.result()).rejects.toMatchObject({ code: "cancelled" });
    await engine.advance(0);
    expect(stopped).toHaveBeenCalledOnce();
  });

  it("leave the completion to somebody outside", async () => {
    const engine = await open({ workflows: [watching], activities: [watch] });
    let token = "";
    engine.mock(watch, (_, io) => {
      token = io.token;
      return io.completeLater();
    });
    const handle = await engine.start(watching);
    await engine.advance("1 day");
    await engine.complete(watch, token, undefined);
    expect(await handle.result()).toBeUndefined();
  });
});

describe("what is planned for a time", () => {
  it("happens then, in order, and may wait for time itself", async () => {
    const engine = await open(both);
    const handle = await engine.start(fulfil, "a");
    const log: string[] = [];
    engine.at("2 days", async () => {
      await handle.send(approved, true);
      await realSleep(5);
      log.push(`approved ${engine.now().toISOString()}`);
    });
    engine.at(new Date("2025-01-02T00:00:00Z"), async () => {
      log.push(`a day ${(await handle.describe()).status}`);
      await engine.sleep("3 hours");
      await expect(engine.advance("1 day")).rejects.toMatchObject({ code: "context_misuse" });
      log.push(`slept ${engine.now().toISOString()}`);
    });
    expect(await handle.result()).toMatchObject({ status: "shipped" });
    expect(log).toEqual(["a day sleeping", "slept 2025-01-02T03:00:00.000Z", "approved 2025-01-03T00:00:00.000Z"]);
  });

  it("fails whoever has the clock moved, or the close", async () => {
    const engine = await testEngine(both);
    engine.at("1 hour", () => Promise.reject(new Error("planned badly")));
    await expect(engine.advance("2 hours")).rejects.toThrow("planned badly");
    engine.at("1 hour", () => realSleep(5).then(() => Promise.reject(new Error("too late"))));
    const result = engine.execute(fulfil, "a");
    await expect(result).rejects.toThrow("too late");
    await engine.close();
  });
});

describe("a crash", () => {
  it("in the middle of a step runs the step again, with the same key, and keeps what was recorded", async () => {
    const engine = await open({ ...both, logger: silent });
    const worker = engine.workerId;
    const keys: string[] = [];
    engine.mockStep(fulfil, "charge", async ({ idempotencyKey }) => {
      keys.push(idempotencyKey);
      if (keys.length === 1) await engine.crash();
      return `attempt ${keys.length}`;
    });
    const handle = await engine.start(fulfil, "a");
    await engine.advance("1 day");
    await engine.crash();
    expect(engine.workerId).not.toBe(worker);
    await handle.send(approved, true);
    expect(await handle.result()).toMatchObject({ payment: "attempt 2", status: "shipped" });
    expect(new Set(keys).size).toBe(1);
    expect(keys).toHaveLength(2);
    expect((await handle.history()).map(({ kind }) => kind).filter((kind) => kind === "operation_completed")).toHaveLength(2);
  });

  it("ends real work that hangs, so that nobody waits for it any more", async () => {
    let attempts = 0;
    const wf = workflow("w", (ctx) => ctx.step("s", () => (++attempts === 1 ? new Promise<string>(() => undefined) : "done")));
    const engine = await open({ workflows: [wf], logger: silent, patience: "1 hour" });
    const handle = await engine.start(wf);
    while (attempts === 0) await realSleep(1);
    await engine.crash();
    expect(await handle.result()).toBe("done");
  });

  it("again and again poisons a run", async () => {
    const engine = await open({ ...both, logger: silent });
    engine.mockStep(fulfil, "charge", () => engine.crash());
    await expect(engine.execute(fulfil, "a")).rejects.toMatchObject({ code: "poisoned" });
  });
});

describe("a seed", () => {
  const draw = workflow("draw", async (ctx) => {
    await ctx.step("flaky", ({ attempt }) => (attempt < 3 ? Promise.reject(new Error("not yet")) : attempt));
    return [ctx.info.runId, ctx.random(), ctx.uuid(), ctx.now()];
  });

  it("gives the same ids, numbers and times, and another seed others", async () => {
    const results: unknown[] = [];
    for (const seed of ["a", "a", "b"]) results.push(await (await open({ workflows: [draw], seed })).execute(draw));
    expect(results[0]).toEqual(results[1]);
    expect(results[0]).not.toEqual(results[2]);
  });
});

describe("closing", () => {
  it("leaves nothing behind: no timer, no patched global, nobody who waits", async () => {
    const [now, before] = [Date.now, process.getActiveResourcesInfo().length];
    const engine = await testEngine({ workflows: [fulfil, watching], activities: [printLabel, watch], logger: silent });
    expect(Date.now).not.toBe(now);
    engine.mock(watch, untilAborted);
    const waiting = (await engine.start(fulfil, "a")).result();
    await engine.start(watching);
    await engine.crash();
    engine.at("1 day", () => undefined);
    await engine.advance("1 hour");
    const late = expect(waiting).rejects.toMatchObject({ code: "closed" });
    await engine.close();
    await engine.close();
    await late;
    expect(Date.now).toBe(now);
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before);
    await expect(engine.start(fulfil, "b")).rejects.toMatchObject({ code: "closed" });
    await expect(engine.advance(1)).rejects.toMatchObject({ code: "closed" });
  });

  it("gives bodies the time that it is told to", async () => {
    const engine = await testEngine({ workflows: [fulfil] });
    engine.mockStep(fulfil, "charge", async () => {
      await engine.sleep("30 seconds");
      return "charged";
    });
    const handle = await engine.start(fulfil, "a");
    await engine.advance(0);
    await engine.close({ grace: "1 minute" });
    expect(engine.now().getTime()).toBe(Date.UTC(2025, 0, 1) + 30_000);
    await expect(handle.describe()).rejects.toMatchObject({ code: "closed" });
  });

  it("is not needed after options that are refused", async () => {
    const now = Date.now;
    await expect(testEngine({ workflows: [fulfil, fulfil] })).rejects.toMatchObject({ code: "duplicate_definition" });
    await expect(testEngine({ activities: [fulfil as never] })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(testEngine({ now: new Date(Number.NaN) })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(testEngine({ seed: 7 as never })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(testEngine({ patience: -1 })).rejects.toMatchObject({ code: "invalid_duration" });
    await expect(testEngine({ backend: memory() } as never)).rejects.toThrow("backend");
    expect(Date.now).toBe(now);
  });
});
