import { expect, it } from "vitest";
import { activity, message, update, workflow, type WorkflowContext } from "perdure";
import { onEveryBackend } from "../support/lab.js";

// Sharp edges that docs/language.md warns of, where no other test shows them.

const go = message("go");
const ask = update<number, number>("ask");

onEveryBackend("sharp edges", (lab) => {
  it("children are closed when their parent goes on as a new run, unless they were abandoned", async () => {
    const waiting = workflow("waiting", async (ctx) => ctx.receive(go));
    const parent = workflow("parent", async (ctx: WorkflowContext<number>, round: number): Promise<string> => {
      if (round === 2) return ctx.receive(go).then(() => "done");
      await ctx.startChild(waiting, undefined, { id: "closed" });
      await ctx.startChild(waiting, undefined, { id: "left", onParentClose: "abandon" });
      return ctx.continueAsNew(2);
    });
    const engine = await lab.launch({ workflows: [parent, waiting] });
    const handle = await engine.start(parent, 1);
    await lab.time.until(async () => (await engine.get("closed").describe()).status === "cancelled");
    expect((await engine.get("left").describe()).status).toBe("waiting");
    await handle.send(go);
    expect(await lab.time.run(handle.result())).toBe("done");
  });

  it("what undoes things is forgotten when a run goes on as a new one", async () => {
    const undone: number[] = [];
    const wf = workflow("w", async (ctx: WorkflowContext<number>, round: number): Promise<string> => {
      ctx.compensate("undo", () => void undone.push(round));
      if (round < 3) return ctx.continueAsNew(round + 1);
      throw new Error("no");
    });
    const engine = await lab.launch({ workflows: [wf] });
    await expect(lab.time.run(engine.execute(wf, 1))).rejects.toMatchObject({ code: "run_failed" });
    expect(undone).toEqual([3]);
  });

  it("a run that is begun again after a failure has undone what the failed one did", async () => {
    const log: string[] = [];
    const wf = workflow(
      "w",
      async (ctx) => {
        const { attempt } = ctx.info;
        ctx.compensate("undo", () => void log.push(`undo ${attempt}`));
        await ctx.step("do", () => void log.push(`do ${attempt}`));
        if (attempt === 1) throw new Error("no");
      },
      { retry: { attempts: 2, backoff: 10 } },
    );
    const engine = await lab.launch({ workflows: [wf] });
    await lab.time.run(engine.execute(wf));
    expect(log).toEqual(["do 1", "undo 1", "do 2"]);
  });

  it("nothing is undone when a run is ended by force", async () => {
    const undone: string[] = [];
    const wf = workflow("w", async (ctx) => {
      ctx.compensate("undo", () => void undone.push("undone"));
      await ctx.receive(go);
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await handle.terminate();
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "terminated" });
    await lab.time.advance(3000);
    expect(undone).toEqual([]);
  });

  it("updates that were accepted are not waited for by a run that fails", async () => {
    const wf = workflow("w", async (ctx) => {
      ctx.on(ask, (n) => ctx.sleep("1 hour").then(() => n));
      await ctx.receive(go);
      throw new Error("no");
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    const asked = handle.update(ask, 1).catch((error: { code?: string }) => error.code);
    await lab.waits(handle, "timer");
    await handle.send(go);
    expect(await lab.time.run(asked)).toBe("not_running");
  });

  it("updates are handled side by side where their handlers wait", async () => {
    const wf = workflow("w", async (ctx) => {
      const log: string[] = [];
      ctx.on(ask, async (n) => {
        log.push(`begin ${n}`);
        await ctx.sleep(n * 100);
        log.push(`end ${n}`);
        return n;
      });
      await ctx.receive(go);
      return log;
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    const asked = [handle.update(ask, 60)];
    await lab.waits(handle, "timer");
    asked.push(handle.update(ask, 5));
    expect(await lab.time.run(Promise.all(asked))).toEqual([60, 5]);
    await handle.send(go);
    expect(await lab.time.run(handle.result())).toEqual(["begin 60", "begin 5", "end 5", "end 60"]);
  });

  it("a timeout holds for each run of a chain that goes on by itself, and for all attempts of one that failed together", async () => {
    const chain = workflow(
      "chain",
      async (ctx: WorkflowContext<number>, round: number): Promise<number> => {
        await ctx.sleep("4 seconds");
        return round < 3 ? ctx.continueAsNew(round + 1) : round;
      },
      { timeout: "6 seconds" },
    );
    const failing = workflow(
      "failing",
      async (ctx) => {
        await ctx.sleep("4 seconds");
        throw new Error("no");
      },
      { timeout: "6 seconds", retry: { attempts: 10, backoff: 10 } },
    );
    const engine = await lab.launch({ workflows: [chain, failing] });
    expect(await lab.time.run(engine.execute(chain, 1))).toBe(3);
    const error = await lab.time.run(engine.execute(failing).catch((thrown: Error) => thrown));
    expect(error.cause).toMatchObject({ code: "timeout" });
  });

  it("an at-most-once step whose time is over is not tried again: nobody knows what it did", async () => {
    let runs = 0;
    const wf = workflow("w", async (ctx) =>
      ctx
        .step("charge", () => new Promise<void>((resolve) => void (++runs > 1 && resolve())), { atMostOnce: true, timeout: "5s" })
        .catch((error: Error & { code?: string }) => [error.code, (error.cause as { code?: string }).code]),
    );
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toEqual(["outcome_unknown", "timeout"]);
    expect(runs).toBe(1);
  });

  it("an activity that was left to somebody outside is tried again when its heartbeat limit is over", async () => {
    let attempts = 0;
    const approve = activity("approve", (_: void, { completeLater }): string => (++attempts > 1 ? "at last" : completeLater()), {
      timeout: { heartbeat: "2s", attempt: "1s" },
      retry: { backoff: 10 },
    });
    const wf = workflow("w", async (ctx) => ctx.activity(approve));
    const engine = await lab.launch({ workflows: [wf], activities: [approve] });
    const startedMs = lab.time.now();
    expect(await lab.time.run(engine.execute(wf))).toBe("at last");
    // Not after a second: the body has ended, and so has the limit of its attempt.
    expect(lab.time.now() - startedMs).toBeGreaterThanOrEqual(2000);
  });

  it("updates that were accepted are answered before a run goes on as a new one, which has to say anew that it answers", async () => {
    const wf = workflow("w", async (ctx: WorkflowContext<number>, round: number): Promise<number> => {
      if (round === 1)
        ctx.on(ask, async (n) => {
          await ctx.sleep("2 seconds");
          return n + round;
        });
      await ctx.receive(go);
      return round === 1 ? ctx.continueAsNew(2) : round;
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, 1);
    const asked = handle.update(ask, 10);
    await lab.waits(handle, "timer");
    await handle.send(go);
    expect(await lab.time.run(asked)).toBe(11);
    const unanswered = handle.update(ask, 10).catch((error: { code?: string }) => error.code);
    await lab.time.settle();
    await handle.send(go);
    expect(await lab.time.run(unanswered)).toBe("not_running");
  });
});
