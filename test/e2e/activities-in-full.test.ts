import { expect, it } from "vitest";
import { activity, CancelledError, queue, RetryAfterError, TimeoutError, workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const gpu = queue("gpu");

onEveryBackend("activities in full", (lab) => {
  it("that no worker takes in time fail, and are not tried again", async () => {
    const render = activity("render", () => "done", { queue: gpu, timeout: { queued: "1 minute" } });
    const wf = workflow("w", async (ctx) => ctx.activity(render).catch((error: Error) => [error instanceof TimeoutError, error.message]));
    const engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    const told = await lab.time.run(engine.execute(wf));
    expect(told).toEqual([true, expect.stringContaining("queued")]);
    expect(lab.time.now() - startedMs).toBeGreaterThanOrEqual(60_000);
    expect(lab.time.now() - startedMs).toBeLessThan(65_000);
  });

  it("are taken only by workers that serve their queue", async () => {
    const where = activity("where", (_: void, { attempt }) => attempt, { queue: gpu });
    const wf = workflow("w", async (ctx) => ctx.activity(where));
    const engine = await lab.launch({ workflows: [wf], activities: [where], queues: [queue("default")] });
    const handle = await engine.start(wf);
    await lab.time.advance(5000);
    expect((await handle.describe()).waitingFor).toMatchObject([{ kind: "activity", name: "where" }]);
    await lab.launch({ activities: [where], queues: [gpu] });
    expect(await lab.time.run(handle.result())).toBe(1);
  });

  it("that are silent for too long are tried again, and given what the one before said last", async () => {
    const seen: unknown[] = [];
    const copy = activity(
      "copy",
      async (_: void, { heartbeat, lastHeartbeat, attempt, signal }) => {
        seen.push([attempt, lastHeartbeat]);
        heartbeat({ copied: attempt * 10 });
        if (attempt < 3) await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
        return "copied";
      },
      { timeout: { heartbeat: "10s" }, retry: { backoff: 100 } },
    );
    const wf = workflow("w", async (ctx) => ctx.activity(copy));
    const engine = await lab.launch({ workflows: [wf], activities: [copy] });
    expect(await lab.time.run(engine.execute(wf))).toBe("copied");
    expect(seen).toEqual([
      [1, undefined],
      [2, { copied: 10 }],
      [3, { copied: 20 }],
    ]);
  });

  it("that beat live on, and hand their details to the next attempt when they throw", async () => {
    const seen: unknown[] = [];
    const wait = (ms: number) => new Promise<void>((resolve) => lab.time.runtime().setTimer(resolve, ms));
    const copy = activity(
      "copy",
      async (_: void, { heartbeat, lastHeartbeat, attempt }) => {
        seen.push(lastHeartbeat);
        for (let n = 0; n < 6; n++) {
          heartbeat(n);
          await wait(4000);
        }
        if (attempt === 1) throw new Error("cut off");
        return "copied";
      },
      { timeout: { heartbeat: "10s" }, retry: { backoff: 100 } },
    );
    const wf = workflow("w", async (ctx) => ctx.activity(copy));
    const engine = await lab.launch({ workflows: [wf], activities: [copy] });
    expect(await lab.time.run(engine.execute(wf))).toBe("copied");
    expect(seen).toEqual([undefined, 5]);
  });

  it("have one limit for all attempts together", async () => {
    let attempts = 0;
    const failing = activity(
      "failing",
      () => {
        attempts++;
        throw new RetryAfterError("later", "40s");
      },
      { timeout: { total: "1 minute" }, retry: { attempts: Infinity } },
    );
    const wf = workflow("w", async (ctx) => ctx.activity(failing).catch((error: Error) => error.name));
    const engine = await lab.launch({ workflows: [wf], activities: [failing] });
    expect(await lab.time.run(engine.execute(wf))).toBe("TimeoutError");
    expect(attempts).toBe(2);
  });

  it("are completed, or failed, from outside by their token", async () => {
    const tokens: string[] = [];
    const approve = activity(
      "approve",
      async (_: string, { token, completeLater }): Promise<string> => {
        tokens.push(token);
        return completeLater();
      },
      { retry: { attempts: 2, backoff: 100 } },
    );
    const wf = workflow("w", async (ctx) => ctx.activity(approve, "invoice"));
    const engine = await lab.launch({ workflows: [wf], activities: [approve] });
    const client = await lab.connect();
    const handle = await engine.start(wf);
    await lab.time.until(() => tokens.length === 1);
    await lab.time.advance(60_000);
    await client.fail(tokens[0]!, new Error("not today"));
    await lab.time.until(() => tokens.length === 2);
    await lab.time.advance(1000);
    await expect(client.complete(approve, tokens[0]!, "too late")).rejects.toMatchObject({ code: "not_found" });
    await client.complete(approve, tokens[1]!, "yes");
    expect(await lab.time.run(handle.result())).toBe("yes");
    await expect(client.complete(approve, tokens[1]!, "again")).rejects.toMatchObject({ code: "not_found" });
    await expect(client.complete(approve, "nonsense", "x")).rejects.toMatchObject({ code: "invalid_argument" });
  });

  it("left to somebody outside survive the death of the worker", async () => {
    const tokens: string[] = [];
    const approve = activity(
      "approve",
      async (_: void, { token, completeLater }): Promise<string> => (tokens.push(token), completeLater()),
    );
    const wf = workflow("w", async (ctx) => ctx.activity(approve));
    const options = { workflows: [wf], activities: [approve] };
    const engine = await lab.launch(options);
    await engine.start(wf, undefined, { id: "w" });
    await lab.time.until(() => tokens.length === 1);
    await lab.time.advance(1000);
    lab.kill(engine);
    const other = await lab.launch(options);
    await lab.time.advance(60_000);
    expect(tokens.length).toBe(1);
    await other.complete(approve, tokens[0]!, "yes");
    expect(await lab.time.run(other.get("w").result())).toBe("yes");
  });

  it("on another machine hear of a cancel within a second", async () => {
    let heardMs = 0;
    const long = activity(
      "long",
      (_: void, { signal }) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => {
            heardMs = lab.time.now();
            reject(signal.reason as Error);
          }),
        ),
    );
    const wf = workflow("w", async (ctx) => ctx.activity(long));
    const engine = await lab.launch({ workflows: [wf] });
    await lab.launch({ activities: [long] });
    const handle = await engine.start(wf);
    await lab.waits(handle, "activity");
    await lab.time.advance(3000);
    const askedMs = lab.time.now();
    await handle.cancel();
    await expect(lab.time.run(handle.result())).rejects.toBeInstanceOf(CancelledError);
    await lab.time.until(() => heardMs > 0);
    expect(heardMs - askedMs).toBeLessThanOrEqual(1200);
  });

  it("are waited for after a cancel, or left alone, if they are called so", async () => {
    const log: string[] = [];
    const careful = activity(
      "careful",
      (_: void, { signal }) => new Promise<string>((resolve) => signal.addEventListener("abort", () => resolve("stopped in order"))),
    );
    const stubborn = activity("stubborn", async () => {
      await new Promise<void>((resolve) => lab.time.runtime().setTimer(resolve, 20_000));
      log.push("went on to the end");
    });
    const wf = workflow("w", async (ctx) => {
      const outcomes = await Promise.allSettled([
        ctx.activity(careful, undefined, { onCancel: "wait" }),
        ctx.activity(stubborn, undefined, { onCancel: "abandon" }),
      ]);
      return ctx.shield(async (shielded) => {
        await shielded.sleep("1 minute");
        return outcomes.map((one) => (one.status === "fulfilled" ? one.value : (one.reason as Error).name));
      });
    });
    const engine = await lab.launch({ workflows: [wf], activities: [careful, stubborn] });
    const handle = await engine.start(wf);
    await lab.waits(handle, "activity");
    await lab.time.advance(2000);
    await handle.cancel();
    expect(await lab.time.run(handle.result())).toEqual(["stopped in order", "CancelledError"]);
    expect(log).toEqual(["went on to the end"]);
  });

  it("run where the workflow does if they are local, like a step", async () => {
    const add = activity(
      "add",
      (input: { a: number; b: number }, { attempt }) => {
        if (attempt === 1) throw new Error("again");
        return input.a + input.b;
      },
      { retry: { backoff: 10 } },
    );
    const wf = workflow("w", async (ctx) => ctx.activity(add, { a: 1, b: 2 }, { local: true }));
    const engine = await lab.launch({ workflows: [wf], activities: [add] });
    expect(await lab.time.run(engine.execute(wf))).toBe(3);
  });
});

onEveryBackend("at-most-once steps", (lab) => {
  it("are not repeated when their process dies", async () => {
    let runs = 0;
    const wf = workflow("w", async (ctx) =>
      ctx
        .step(
          "charge",
          ({ signal }) => {
            runs++;
            return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
          },
          { atMostOnce: true },
        )
        .catch((error: { code?: string }) => error.code),
    );
    const first = await lab.launch({ workflows: [wf] });
    await first.start(wf, undefined, { id: "w" });
    await lab.time.until(() => runs === 1);
    lab.kill(first);
    const second = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(second.get("w").result())).toBe("outcome_unknown");
    expect(runs).toBe(1);
  });

  it("that report a failure are tried again", async () => {
    let runs = 0;
    const wf = workflow("w", async (ctx) =>
      ctx.step(
        "charge",
        () => {
          if (++runs < 3) throw new Error("declined");
          return runs;
        },
        { atMostOnce: true, retry: { backoff: 10 } },
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toBe(3);
  });
});
