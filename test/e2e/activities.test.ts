import { expect, it } from "vitest";
import { z } from "zod";
import { activity, activityRef, message, NonRetryableError, workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

onEveryBackend("activities", (lab) => {
  it("run from a queue, once for a result that survives a restart", async () => {
    const go = message("go");
    let ran = 0;
    const double = activity("double", async (n: number) => (ran++, n * 2));
    const wf = workflow("w", async (ctx, n: number) => {
      const doubled = await ctx.activity(double, n);
      await ctx.receive(go);
      return doubled;
    });
    const options = { workflows: [wf], activities: [double] };
    let engine = await lab.launch(options);
    const handle = await engine.start(wf, 21, { id: "1" });
    await lab.waits(handle, "message");
    engine = await lab.restart(engine, options);
    await engine.get("1").send(go);
    expect(await lab.time.run(engine.get("1").result())).toBe(42);
    expect(ran).toBe(1);
  });

  it("are tried again with back-off, over restarts, with one key", async () => {
    const seen: { readonly attempt: number; readonly key: string; readonly atMs: number }[] = [];
    const flaky = activity(
      "flaky",
      (_: void, { attempt, idempotencyKey }) => {
        seen.push({ attempt, key: idempotencyKey, atMs: lab.time.now() });
        if (attempt < 3) throw new Error(`attempt ${attempt}`);
        return "done";
      },
      { retry: { attempts: 3, backoff: "20s" } },
    );
    const wf = workflow("w", (ctx) => ctx.activity(flaky));
    const options = { workflows: [wf], activities: [flaky] };
    let engine = await lab.launch(options);
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => seen.length === 1);
    await lab.waits(engine.get("1"), "activity");
    engine = await lab.restart(engine, options);
    expect(await lab.time.run(engine.get("1").result())).toBe("done");
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(seen.map(({ key }) => key)).size).toBe(1);
    expect(seen[1]!.atMs - seen[0]!.atMs).toBeGreaterThanOrEqual(16_000);
    expect(seen[2]!.atMs - seen[1]!.atMs).toBeGreaterThanOrEqual(32_000);
  });

  it("take the policy of their definition, and field by field that of the call over it", async () => {
    const attempts: Record<string, number> = {};
    const fails = activity(
      "fails",
      (key: string) => {
        attempts[key] = (attempts[key] ?? 0) + 1;
        throw new Error(key);
      },
      { retry: { attempts: 2, backoff: 1 } },
    );
    const wf = workflow("w", async (ctx) => {
      await ctx.activity(fails, "definition").catch(() => undefined);
      await ctx.activity(fails, "call", { retry: { attempts: 4 } }).catch(() => undefined);
      return ctx.now().getTime();
    });
    const engine = await lab.launch({ workflows: [wf], activities: [fails] });
    const startedMs = lab.time.now();
    const endedMs = await lab.time.run(engine.execute(wf));
    expect(attempts).toEqual({ definition: 2, call: 4 });
    // The back-off is that of the definition in both: milliseconds, not seconds.
    expect(endedMs - startedMs).toBeLessThan(8000);
  });

  it("are not tried again after an error that says so, and the class need not be known elsewhere", async () => {
    let ran = 0;
    const refuses = activity("refuses", () => (ran++, Promise.reject(new NonRetryableError("no"))));
    const wf = workflow("w", (ctx) =>
      ctx
        .activity(activityRef<typeof refuses>("refuses"))
        .catch((error: unknown) => `${(error as Error).name}: ${(error as Error).message}`),
    );
    const worker = await lab.launch({ activities: [refuses] });
    const driver = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(driver.execute(wf))).toBe("NonRetryableError: no");
    expect(ran).toBe(1);
    await lab.close(worker);
  });

  it("end at their timeout, with the signal", async () => {
    const reasons: unknown[] = [];
    const hangs = activity(
      "hangs",
      (_: void, { signal }) =>
        new Promise<void>((resolve) => signal.addEventListener("abort", () => (reasons.push(signal.reason), resolve()))),
      { timeout: "3s", retry: { attempts: 2, backoff: "1s" } },
    );
    const wf = workflow("w", (ctx) => ctx.activity(hangs).catch((error: unknown) => (error as { code: string }).code));
    const engine = await lab.launch({ workflows: [wf], activities: [hangs] });
    expect(await lab.time.run(engine.execute(wf))).toBe("timeout");
    expect(reasons).toEqual([expect.objectContaining({ code: "timeout" }), expect.objectContaining({ code: "timeout" })]);
  });

  it("run in a process that has only them, for workflows in one that has only those", async () => {
    const where: string[] = [];
    const work = activity("work", (n: number) => (where.push("activities"), n + 1));
    const ref = activityRef<typeof work>("work");
    const wf = workflow("w", async (ctx) => {
      const local = await ctx.step("local", () => (where.push("workflows"), 1));
      return ctx.activity(ref, local);
    });
    const client = await lab.connect();
    const workflows = await lab.launch({ workflows: [wf] });
    const activities = await lab.launch({ activities: [work] });
    expect(await lab.time.run(client.execute(wf))).toBe(2);
    expect(where).toEqual(["workflows", "activities"]);
    await Promise.all([workflows, activities, client].map((engine) => lab.close(engine)));
  });

  it("parse their input by their schema, where they run", async () => {
    const parsed: unknown[] = [];
    const strict = activity("strict", (input) => (parsed.push(input), input.n), {
      input: z.object({ n: z.coerce.number(), unit: z.string().default("mm") }),
    });
    const wf = workflow("w", async (ctx, n: string) => {
      return ctx.activity(strict, { n }).catch((error: unknown) => (error as { code: string }).code);
    });
    const engine = await lab.launch({ workflows: [wf], activities: [strict] });
    expect(await lab.time.run(engine.execute(wf, "12"))).toBe(12);
    expect(parsed).toEqual([{ n: 12, unit: "mm" }]);
    expect(await lab.time.run(engine.execute(wf, "twelve"))).toBe("invalid_input");
    expect(parsed).toHaveLength(1);
  });

  it("wait for a process that has them, and the run is not failed meanwhile", async () => {
    const late = activity("late", (n: number) => n + 1);
    const wf = workflow("w", (ctx) => ctx.activity(activityRef<typeof late>("late"), 20));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.waits(handle, "activity", "late");
    await lab.time.advance(10 * 60_000);
    expect(await handle.describe()).toMatchObject({ status: "waiting", waitingFor: [{ kind: "activity", name: "late", attempt: 1 }] });
    await lab.launch({ activities: [late] });
    expect(await lab.time.run(handle.result())).toBe(21);
  });

  it("refuse an input that cannot be stored at the call, and a result at the await", async () => {
    const bad = activity("bad", (input: unknown): unknown => ({ input, deep: { fn: () => 1 } }));
    const wf = workflow("w", async (ctx) => {
      const texts: string[] = [];
      try {
        await ctx.activity(bad, { list: [() => 1] });
      } catch (error) {
        texts.push((error as Error).message);
      }
      await ctx.activity(bad, 1).catch((error: unknown) => void texts.push((error as Error).message));
      return texts;
    });
    const engine = await lab.launch({ workflows: [wf], activities: [bad] });
    const [input, result] = await lab.time.run(engine.execute(wf));
    expect(input).toMatch(/the input of activity "bad".*list\[0\]/s);
    expect(result).toMatch(/the result of activity "bad".*deep\.fn/s);
  });

  it("snapshot their input at the call", async () => {
    const echo = activity("echo", (input: { readonly n: number }) => input.n);
    const wf = workflow("w", async (ctx) => {
      const input = { n: 1 };
      const call = ctx.activity(echo, input);
      input.n = 2;
      return call;
    });
    const engine = await lab.launch({ workflows: [wf], activities: [echo] });
    expect(await lab.time.run(engine.execute(wf))).toBe(1);
  });

  it("are told by their signal when their run is cancelled", async () => {
    const reasons: unknown[] = [];
    let started = 0;
    const long = activity("long", (_: void, { signal }) => {
      started++;
      return new Promise<void>((resolve) =>
        signal.addEventListener("abort", () => (reasons.push((signal.reason as { code: string }).code), resolve())),
      );
    });
    const wf = workflow("w", (ctx) => ctx.activity(activityRef<typeof long>("long")));
    await lab.launch({ activities: [long] });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.until(() => started === 1);
    await handle.cancel("enough");
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "cancelled" });
    await lab.time.until(() => reasons.length > 0);
    expect(reasons).toEqual(["cancelled"]);
  });

  it("go on after their process was killed, recorded once", async () => {
    const ran: number[] = [];
    const slow = activity("slow", (_: void, { attempt }) => {
      ran.push(attempt);
      return ran.length === 1 ? new Promise<string>(() => undefined) : "second";
    });
    const wf = workflow("w", (ctx) => ctx.activity(activityRef<typeof slow>("slow")));
    const dying = await lab.launch({ activities: [slow] });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.until(() => ran.length === 1);
    lab.kill(dying);
    await lab.launch({ activities: [slow] });
    expect(await lab.time.run(handle.result())).toBe("second");
    expect(ran).toEqual([1, 1]);
  });

  it("run a thousand at once, never more at a time than allowed", async () => {
    let running = 0;
    let most = 0;
    const square = activity("square", async (n: number) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => void setImmediate(resolve));
      running--;
      return n * n;
    });
    const wf = workflow("w", async (ctx) => {
      const squares = await Promise.all(Array.from({ length: 1000 }, (_, n) => ctx.activity(square, n)));
      return squares.reduce((sum, n) => sum + n, 0);
    });
    const engine = await lab.launch({ workflows: [wf], activities: [square], concurrency: { activities: 7 } });
    expect(await lab.time.run(engine.execute(wf))).toBe(332_833_500);
    expect(most).toBe(7);
  });
});
