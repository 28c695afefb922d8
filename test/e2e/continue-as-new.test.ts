import { expect, it } from "vitest";
import { isPerdureError, message, workflow, type WorkflowContext } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const note = message<string>("note");

onEveryBackend("continue-as-new", (lab) => {
  it("goes on under the same id with an empty history, and handles follow", async () => {
    const counter = workflow("counter", async (ctx: WorkflowContext<number>, n: number): Promise<string> => {
      await ctx.step("count", () => n);
      return n < 3 ? ctx.continueAsNew(n + 1) : `${n} after ${ctx.info.historyLength} events`;
    });
    const engine = await lab.launch({ workflows: [counter] });
    const handle = await engine.start(counter, 0, { id: "c" });
    expect(await lab.time.run(handle.result())).toBe("3 after 2 events");
    expect(await lab.time.run(engine.get(counter, "c").result())).toBe("3 after 2 events");
    const runs = [];
    for await (const info of engine.list()) runs.push([info.id, info.status]);
    expect(runs).toEqual([
      ["c", "completed"],
      ["c", "continued"],
      ["c", "continued"],
      ["c", "continued"],
    ]);
  });

  it("at once, in the very first turn", async () => {
    const wf = workflow("w", async (ctx: WorkflowContext<number>, n: number): Promise<number> => (n < 5 ? ctx.continueAsNew(n + 1) : n));
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf, 0))).toBe(5);
  });

  it("takes unread messages along, in order, and loses none that arrives meanwhile", async () => {
    const batch = workflow("batch", async (ctx: WorkflowContext<string[]>, taken: string[]): Promise<string[]> => {
      const two = [await ctx.receive(note), await ctx.receive(note)];
      const all = [...taken, ...two];
      return all.length < 10 ? ctx.continueAsNew(all) : all;
    });
    const engine = await lab.launch({ workflows: [batch] });
    const handle = await engine.start(batch, [], { id: "b", send: [note.of("0"), note.of("1"), note.of("2")] });
    for (let n = 3; n < 10; n++) await handle.send(note, String(n));
    expect(await lab.time.run(handle.result())).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  });

  it("is not swallowed by a catch, and lets nothing durable come after it", async () => {
    const codes: unknown[] = [];
    const wf = workflow("w", async (ctx: WorkflowContext<number>, n: number): Promise<number> => {
      if (n > 0) return n;
      let next: never;
      try {
        next = ctx.continueAsNew(1);
      } catch {
        return -1;
      }
      try {
        await ctx.step("after", () => 1);
      } catch (error) {
        codes.push((error as { code?: string }).code);
      }
      return next;
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf, 0))).toBe(1);
    expect(codes).toEqual(["context_misuse"]);
  });

  it("does not lose a cancel that was acknowledged before it", async () => {
    const wf = workflow("w", async (ctx: WorkflowContext<number>, n: number): Promise<number> => {
      await ctx.sleep("1 minute").catch(() => undefined);
      return ctx.continueAsNew(n + 1);
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, 0, { id: "w" });
    await lab.time.advance(90_000);
    await handle.cancel("enough");
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "cancelled" });
  });

  it("does not lose one that comes after a deadline either", async () => {
    const wf = workflow(
      "w",
      async (ctx: WorkflowContext<number>, n: number): Promise<number> => {
        await ctx.shield((shielded) => shielded.receive(note));
        return ctx.continueAsNew(n + 1);
      },
      { timeout: "1 minute" },
    );
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, 0, { id: "w" });
    await lab.time.advance(90_000);
    await handle.cancel("enough");
    await lab.time.advance(1000);
    await handle.send(note, "first");
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "cancelled" });
  });

  it("leaves a handle of exactly one run where it is", async () => {
    const wf = workflow("w", async (ctx: WorkflowContext<number>, n: number): Promise<number> => {
      await ctx.receive(note);
      return n === 0 ? ctx.continueAsNew(1) : n;
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, 0, { id: "w" });
    const { runId } = await handle.describe();
    const pinned = engine.getRun(runId);
    await pinned.send(note, "first");
    const error = await lab.time.run(pinned.result().catch((thrown: unknown) => thrown));
    expect(isPerdureError(error, "continued")).toBe(true);
    expect((await pinned.describe()).status).toBe("continued");
    await expect(pinned.send(note, "again")).rejects.toMatchObject({ code: "not_running" });
    await handle.send(note, "again");
    expect(await lab.time.run(handle.result())).toBe(1);
  });

  it("goes on as another version when told to", async () => {
    const one = workflow("w", async (ctx: WorkflowContext<string>): Promise<string> => ctx.continueAsNew("next", { version: "2" }), {
      version: "1",
      versioning: "pinned",
    });
    const two = workflow("w", async (ctx: WorkflowContext<string>, input: string): Promise<string> => `${input} ${ctx.info.version}`, {
      version: "2",
      versioning: "pinned",
    });
    const engine = await lab.launch({ workflows: [two, one] });
    expect(await lab.time.run(engine.execute(one, "first"))).toBe("next 2");
  });
});

onEveryBackend("workflow retry", (lab) => {
  it("begins again after a failure with the same input, after the back-off", async () => {
    const times: number[] = [];
    const wf = workflow(
      "w",
      async (ctx, input: { n: number }) => {
        times.push(ctx.now().getTime());
        input.n++;
        await ctx.step(
          "fail",
          () => {
            if (ctx.info.attempt < 3) throw new Error("no");
          },
          { retry: { attempts: 1 } },
        );
        return [input.n, ctx.info.attempt];
      },
      { retry: { attempts: 3, backoff: "1 minute", factor: 1 } },
    );
    const engine = await lab.launch({ workflows: [wf], warmRuns: 0 });
    expect(await lab.time.run(engine.execute(wf, { n: 1 }))).toEqual([2, 3]);
    const first = times.filter((time, index) => times.indexOf(time) === index);
    expect(first[1]! - first[0]!).toBeGreaterThanOrEqual(48_000);
  });

  it("gives up after the last attempt, and at once what is not to be tried again", async () => {
    let attempts = 0;
    const wf = workflow(
      "w",
      async (_, retryable: boolean) => {
        attempts++;
        throw Object.assign(new Error("no"), { retryable });
      },
      { retry: { attempts: 2, backoff: 10 } },
    );
    const engine = await lab.launch({ workflows: [wf] });
    await expect(lab.time.run(engine.execute(wf, true))).rejects.toMatchObject({ code: "run_failed" });
    expect(attempts).toBe(2);
    await expect(lab.time.run(engine.execute(wf, false))).rejects.toMatchObject({ code: "run_failed" });
    expect(attempts).toBe(3);
  });

  it("does not begin again what was cancelled, whatever it failed of", async () => {
    const wf = workflow(
      "w",
      async (ctx) => {
        await ctx.sleep("1 hour").catch(() => {
          throw new Error("cleaning up failed");
        });
      },
      { retry: { attempts: 3, backoff: 10 } },
    );
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "a" });
    await lab.waits(handle, "timer");
    await handle.cancel();
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "run_failed" });
    const statuses = [];
    for await (const info of engine.list()) statuses.push(info.status);
    expect(statuses).toEqual(["failed"]);
  });
});
