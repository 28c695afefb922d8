import { expect, it } from "vitest";
import { activity, CancelledError, isPerdureError, message, RunFailedError, TimeoutError, workflow, type WorkflowContext } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message<string>("go");
const codeOf = (error: unknown): string => (isPerdureError(error) ? error.code : String(error));

onEveryBackend("a cancel", (lab) => {
  it("ends a run that sleeps, waits, or has a step in flight, with its reason", async () => {
    const reasons: unknown[] = [];
    let begun = 0;
    const waits: Record<string, (ctx: WorkflowContext) => Promise<unknown>> = {
      sleep: (ctx) => ctx.sleep("3 days"),
      receive: (ctx) => ctx.receive(go),
      step: (ctx) =>
        ctx.step("long", ({ signal }) => {
          begun++;
          return new Promise((resolve) => signal.addEventListener("abort", () => (reasons.push(codeOf(signal.reason)), resolve(1))));
        }),
      signal: (ctx) => new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error))),
    };
    const wf = workflow("w", async (ctx, kind: string) => {
      await waits[kind]?.(ctx);
    });
    const engine = await lab.launch({ workflows: [wf] });
    for (const kind of Object.keys(waits)) {
      const handle = await engine.start(wf, kind);
      await lab.time.until(() => kind !== "step" || begun > 0);
      await handle.cancel(`no more ${kind}`);
      const error: unknown = await lab.time.run(handle.result().catch((thrown: unknown) => thrown));
      expect(error).toBeInstanceOf(CancelledError);
      expect(error).toMatchObject({
        code: "cancelled",
        message: `The run was cancelled: no more ${kind}`,
        cause: { details: { reason: `no more ${kind}` } },
      });
      expect(await handle.describe()).toMatchObject({ status: "cancelled", error: { code: "cancelled" }, waitingFor: [] });
    }
    expect(reasons).toEqual(["cancelled"]);
  });

  it("lets the code clean up behind a shield, and cancels what is not behind one", async () => {
    const log: string[] = [];
    const wf = workflow("w", async (ctx) => {
      try {
        await ctx.sleep("1 hour");
      } finally {
        const outside = await ctx.step("outside", () => log.push("outside")).catch(codeOf);
        log.push(`outside: ${String(outside)}`);
        await ctx.shield(async (shielded) => {
          await shielded.step("release", () => log.push("release"));
          await shielded.sleep("10s");
          await shielded.step("report", () => log.push("report"));
        });
      }
    });
    let engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await lab.waits(handle, "timer");
    await handle.cancel();
    await lab.waits(handle, "timer");
    expect(await handle.describe()).toMatchObject({ status: "sleeping", cancelRequested: true });
    engine = await lab.restart(engine, { workflows: [wf] });
    await expect(lab.time.run(engine.get("1").result())).rejects.toBeInstanceOf(CancelledError);
    // The line is written by the live code and by the replay after the restart; the steps ran once.
    expect(log).toEqual(["outside: cancelled", "release", "outside: cancelled", "report"]);
  });

  it("may be survived: code that catches it goes on to its own end", async () => {
    const wf = workflow("w", async (ctx) => {
      try {
        await ctx.receive(go);
        return "went";
      } catch (error) {
        return `caught ${codeOf(error)}`;
      }
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await handle.cancel("why");
    await handle.cancel("again").catch(() => undefined);
    expect(await lab.time.run(handle.result())).toBe("caught cancelled");
  });

  it("followed by another error is a failure, with that error", async () => {
    const wf = workflow("w", (ctx) =>
      ctx.sleep("1 hour").catch(() => {
        throw new RangeError("clean-up failed");
      }),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await handle.cancel();
    const error: unknown = await lab.time.run(handle.result().catch((thrown: unknown) => thrown));
    expect(error).toBeInstanceOf(RunFailedError);
    expect((error as Error).cause).toBeInstanceOf(RangeError);
    expect(await handle.describe()).toMatchObject({ status: "failed", error: { name: "RangeError", message: "clean-up failed" } });
  });

  it("reaches a run of another process, and one that nobody has begun", async () => {
    const wf = workflow("w", (ctx) => ctx.sleep("1 hour"));
    const client = await lab.connect();
    const waiting = await client.start(wf, undefined, { id: "waiting" });
    await waiting.cancel("too late");
    const delayed = await client.start(wf, undefined, { id: "delayed", delay: "2 hours" });
    await delayed.cancel("too early");
    expect(await delayed.describe()).toMatchObject({ cancelRequested: true });
    await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    await expect(lab.time.run(waiting.result())).rejects.toMatchObject({ code: "cancelled", message: expect.stringContaining("too late") });
    await expect(lab.time.run(delayed.result())).rejects.toMatchObject({
      code: "cancelled",
      message: expect.stringContaining("too early"),
    });
    expect(lab.time.now() - startedMs).toBeLessThan(10_000);
  });

  it("withdraws activities that nobody has taken", async () => {
    let ran = 0;
    const work = activity("work", () => void ran++);
    const wf = workflow("w", (ctx) => ctx.activity(work));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.waits(handle, "activity");
    await handle.cancel();
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "cancelled" });
    await lab.launch({ activities: [work] });
    await lab.time.advance(5000);
    expect(ran).toBe(0);
  });

  it("of a wait for a result leaves the run alone", async () => {
    const wf = workflow("w", (ctx) => ctx.receive(go));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    const controller = new AbortController();
    const wait = handle.result({ signal: controller.signal });
    controller.abort();
    await expect(wait).rejects.toThrow(/abort/i);
    await expect(lab.time.run(handle.result({ timeout: "1s" }))).rejects.toBeInstanceOf(TimeoutError);
    expect(await lab.time.run(handle.result({ timeout: "1s", otherwise: "not yet" }))).toBe("not yet");
    await handle.send(go, "on");
    expect(await lab.time.run(handle.result())).toBe("on");
  });
});

onEveryBackend("a failure", (lab) => {
  it("of workflow code is thrown by result with its cause", async () => {
    const wf = workflow("w", async () => {
      throw new TypeError("broken", { cause: new Error("deep") });
    });
    const engine = await lab.launch({ workflows: [wf] });
    const error: unknown = await lab.time.run(engine.execute(wf).catch((thrown: unknown) => thrown));
    expect(error).toBeInstanceOf(RunFailedError);
    expect(error).toMatchObject({
      code: "run_failed",
      message: expect.stringContaining("broken"),
      cause: { name: "TypeError", message: "broken", cause: { message: "deep" } },
    });
    expect((error as Error).cause).toBeInstanceOf(TypeError);
  });

  it("to store the result fails the run with the path", async () => {
    const wf = workflow("w", async () => ({ rows: [{ fn: () => 1 }] }));
    const engine = await lab.launch({ workflows: [wf] });
    await expect(lab.time.run(engine.execute(wf))).rejects.toMatchObject({
      code: "run_failed",
      cause: { code: "unserializable", message: expect.stringContaining("rows[0].fn") },
    });
  });
});

onEveryBackend("a scope", (lab) => {
  it("ends at its timeout; the steps in it are aborted, the run goes on", async () => {
    const reasons: string[] = [];
    const wf = workflow("w", async (ctx) => {
      const began = ctx.now().getTime();
      const code = await ctx
        .scope(
          (scope) =>
            Promise.all([
              scope.step(
                "slow",
                ({ signal }) =>
                  new Promise<void>((resolve) => signal.addEventListener("abort", () => (reasons.push(codeOf(signal.reason)), resolve()))),
              ),
              scope.sleep("1 day"),
            ]),
          { timeout: "20s" },
        )
        .then(() => "done", codeOf);
      return { code, waited: ctx.now().getTime() - began, after: await ctx.step("after", () => [...reasons]) };
    });
    const engine = await lab.launch({ workflows: [wf] });
    const result = await lab.time.run(engine.execute(wf));
    expect(result).toMatchObject({ code: "timeout", after: ["cancelled"] });
    expect(result.waited).toBeGreaterThanOrEqual(20_000);
    expect(result.waited).toBeLessThan(21_000);
    expect(reasons).toEqual(["cancelled"]);
  });

  it("withdraws its activities when it ends, queued ones and running ones, and the run goes on", async () => {
    const log: string[] = [];
    const queued = activity("queued", () => void log.push("queued ran"));
    const running = activity("running", (_: void, { signal }) => {
      log.push("running began");
      return new Promise<void>((resolve) =>
        signal.addEventListener("abort", () => (log.push(`running ${codeOf(signal.reason)}`), resolve())),
      );
    });
    const wf = workflow("w", async (ctx) => {
      const code = await ctx
        .scope((scope) => Promise.all([scope.activity(queued), scope.activity(running)]), { timeout: "5s" })
        .then(String, codeOf);
      return `${code} ${await ctx.receive(go)}`;
    });
    await lab.launch({ activities: [running] });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.advance(10_000);
    expect(log).toEqual(["running began", "running cancelled"]);
    await lab.launch({ activities: [queued] });
    await lab.time.advance(5000);
    expect(log).toHaveLength(2);
    await handle.send(go, "on");
    expect(await lab.time.run(handle.result())).toBe("timeout on");
  });

  it("that ends in time leaves no timer, over restarts too", async () => {
    const wf = workflow("w", async (ctx) => {
      const inner = await ctx.scope((scope) => scope.receive(go), { timeout: "1 minute" });
      return `${inner} ${await ctx.receive(go)}`;
    });
    let engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await lab.waits(handle, "message");
    engine = await lab.restart(engine, { workflows: [wf] });
    await engine.get("1").send(go, "a");
    await lab.time.advance(5 * 60_000);
    expect((await engine.get("1").describe()).waitingFor.map(({ kind }) => kind)).toEqual(["message"]);
    await engine.get("1").send(go, "b");
    expect(await lab.time.run(engine.get("1").result())).toBe("a b");
  });

  it("is cancelled by a signal of the workflow's own", async () => {
    const wf = workflow("w", async (ctx) => {
      const controller = new AbortController();
      const scoped = ctx
        .scope((scope) => scope.sleep("1 day"), { signal: controller.signal })
        .then(
          () => "slept",
          (error: unknown) => (error as Error).message,
        );
      await ctx.sleep("1s");
      controller.abort(new Error("own reason"));
      return scoped;
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toBe("own reason");
  });

  it("that leaves something behind cancels it, and refuses its ctx afterwards", async () => {
    const wf = workflow("w", async (ctx) => {
      let kept: WorkflowContext | undefined;
      let left: Promise<string> | undefined;
      await ctx.scope(async (scope) => {
        kept = scope;
        left = scope.sleep("1 day").then(() => "slept", codeOf);
        await scope.step("quick", () => 1);
      });
      return [await left, await kept?.step("late", () => 1).then(String, codeOf)];
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toEqual(["cancelled", "context_misuse"]);
  });

  it("that used none of its own ctx is an error that says so", async () => {
    const wf = workflow("w", (ctx) => ctx.scope(() => ctx.step("outer", () => 1)).then(String, codeOf));
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toBe("context_misuse");
  });

  it("inside another is cancelled with it, unless it is a shield", async () => {
    const wf = workflow("w", async (ctx) => {
      const log: string[] = [];
      await ctx
        .scope(
          async (outer) => {
            const inner = outer.scope((scope) => scope.sleep("1 day")).catch((error: unknown) => void log.push(`inner ${codeOf(error)}`));
            const shielded = outer.shield((scope) => scope.sleep("30s")).then(() => void log.push("shielded slept"));
            await Promise.all([inner, shielded]);
            await outer.sleep("1s");
          },
          { timeout: "10s" },
        )
        .catch((error: unknown) => void log.push(`outer ${codeOf(error)}`));
      return log;
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toEqual(["inner timeout", "shielded slept", "outer timeout"]);
  });
});

onEveryBackend("the timeout of a run", (lab) => {
  it("holds from the start, over restarts, and lets the code clean up", async () => {
    const log: string[] = [];
    const wf = workflow(
      "w",
      async (ctx) => {
        try {
          for (;;) await ctx.sleep("1 minute");
        } finally {
          await ctx.shield((shielded) => shielded.step("release", () => log.push("released")));
        }
      },
      { timeout: "10 minutes" },
    );
    let engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    const handle = await engine.start(wf, undefined, { id: "1" });
    expect((await handle.describe()).deadline).toEqual(new Date(startedMs + 600_000));
    await lab.time.advance(150_000);
    engine = await lab.restart(engine, { workflows: [wf] });
    const error: unknown = await lab.time.run(
      engine
        .get("1")
        .result()
        .catch((thrown: unknown) => thrown),
    );
    expect(error).toMatchObject({ code: "run_failed", cause: { code: "timeout" } });
    expect(lab.time.now() - startedMs).toBeGreaterThanOrEqual(600_000);
    expect(lab.time.now() - startedMs).toBeLessThan(602_000);
    expect(log).toEqual(["released"]);
  });

  it("of a start takes the place of the definition's, and reaches a step in flight", async () => {
    const reasons: string[] = [];
    const wf = workflow(
      "w",
      (ctx) =>
        ctx.step(
          "hang",
          ({ signal }) =>
            new Promise<void>((resolve) => signal.addEventListener("abort", () => (reasons.push(codeOf(signal.reason)), resolve()))),
        ),
      { timeout: "10 hours" },
    );
    const engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    await expect(lab.time.run(engine.execute(wf, undefined, { timeout: "5s" }))).rejects.toMatchObject({ cause: { code: "timeout" } });
    expect(lab.time.now() - startedMs).toBeLessThan(6000);
    expect(reasons).toEqual(["cancelled"]);
  });
});
