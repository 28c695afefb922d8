import { expect, it } from "vitest";
import { activity, isPerdureError, message, RunFailedError, workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const hello = message<string>("hello");

class Declined extends Error {
  override readonly name = "Declined";
}

onEveryBackend("children", (lab) => {
  it("give their result to the run that waits for them", async () => {
    const double = workflow("double", async (ctx, n: number) => ctx.step("double", () => n * 2));
    const parent = workflow("parent", async (ctx) => (await ctx.child(double, 4)) + (await ctx.child(double, 5)));
    const engine = await lab.launch({ workflows: [parent, double] });
    const handle = await engine.start(parent, undefined, { id: "p" });
    expect(await lab.time.run(handle.result())).toBe(18);
    const children = [];
    for await (const info of engine.list({ name: "double" })) children.push(info.parent?.id);
    expect(children).toEqual(["p", "p"]);
  });

  it("are started with a handle: sent to, and waited for with a timeout", async () => {
    const greeter = workflow("greeter", async (ctx, name: string) => `${name} ${await ctx.receive(hello)}`);
    const parent = workflow("parent", async (ctx) => {
      const child = await ctx.startChild(greeter, "Ann", { id: "greeter-1" });
      const early = await child.result({ timeout: "1 minute", otherwise: "nothing yet" });
      await child.send(hello, "and Bob");
      return [child.id, early, await child.result()];
    });
    const engine = await lab.launch({ workflows: [parent, greeter] });
    expect(await lab.time.run(engine.execute(parent))).toEqual(["greeter-1", "nothing yet", "Ann and Bob"]);
  });

  it("fail with the class and cause of what they threw, live and on replay", async () => {
    const failing = workflow("failing", async (ctx) => {
      await ctx.step("decline", () => Promise.reject(new Declined("no funds", { cause: new Error("account 7") })), {
        retry: { attempts: 1 },
      });
    });
    const seen: unknown[] = [];
    const parent = workflow("parent", async (ctx) => {
      try {
        await ctx.child(failing);
      } catch (error) {
        const { cause } = error as RunFailedError;
        const told = [
          error instanceof RunFailedError,
          isPerdureError(error, "run_failed"),
          cause instanceof Declined,
          (cause as Error).message,
          ((cause as Error).cause as Error).message,
        ];
        seen.push(told);
        await ctx.receive(hello);
        return told;
      }
      return [];
    });
    const options = { workflows: [parent, failing], errors: [Declined], warmRuns: 0 };
    let engine = await lab.launch(options);
    const handle = await engine.start(parent, undefined, { id: "p" });
    await lab.waits(handle, "message");
    engine = await lab.restart(engine, options);
    await engine.get("p").send(hello, "");
    expect(await lab.time.run(engine.get("p").result())).toEqual([true, true, true, "no funds", "account 7"]);
    expect(seen.length).toBeGreaterThanOrEqual(2);
    for (const told of seen) expect(told).toEqual(seen[0]);
  });

  it("of a run that ends first are cancelled, terminated or left alone, as they were started", async () => {
    const waiting = workflow("waiting", async (ctx) => ctx.receive(hello));
    const parent = workflow("parent", async (ctx) => {
      await ctx.startChild(waiting, undefined, { id: "cancel" });
      await ctx.startChild(waiting, undefined, { id: "terminate", onParentClose: "terminate" });
      await ctx.startChild(waiting, undefined, { id: "abandon", onParentClose: "abandon" });
    });
    const engine = await lab.launch({ workflows: [parent, waiting] });
    await lab.time.run(engine.execute(parent));
    const statusOf = async (id: string) => (await engine.get(id).describe()).status;
    await lab.time.until(async () => (await statusOf("cancel")) === "cancelled" && (await statusOf("terminate")) === "terminated");
    expect(await statusOf("abandon")).toBe("waiting");
  });

  it("are cancelled with the scope that waits for them, also when the process dies in between", async () => {
    const waiting = workflow("waiting", async (ctx) => ctx.receive(hello));
    const parent = workflow("parent", async (ctx) =>
      ctx.scope((inner) => inner.child(waiting, undefined, { id: "c" }), { timeout: "20 seconds" }).catch((error: Error) => error.name),
    );
    const options = { workflows: [parent, waiting] };
    const engine = await lab.launch(options);
    await engine.start(parent, undefined, { id: "p" });
    await lab.waits(engine.get("p"), "child");
    lab.kill(engine);
    const other = await lab.launch(options);
    expect(await lab.time.run(other.get("p").result())).toBe("TimeoutError");
    await lab.time.until(async () => (await other.get("c").describe()).status === "cancelled");
  });

  it("do not begin when they are not wanted any more, though their start is still under way", async () => {
    let ran = 0;
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const validate = (value: unknown) => gate.then(() => ({ value }));
    const held = workflow("held", async (ctx, input: string) => ctx.step("work", () => void (ran += input.length)), {
      input: { "~standard": { version: 1, vendor: "test", validate } },
    });
    const parent = workflow("parent", async (ctx, waits: boolean) => {
      const child = (inner: typeof ctx): Promise<unknown> => inner.child(held, "input");
      if (waits) {
        await ctx.scope(child, { timeout: "1 second" }).catch(() => undefined);
        await ctx.receive(hello);
      } else {
        await Promise.race([child(ctx), ctx.sleep("1 second")]);
      }
    });
    const engine = await lab.launch({ workflows: [parent, held] });
    await engine.start(parent, true, { id: "waits" });
    await engine.start(parent, false, { id: "ends" });
    const children = async (): Promise<readonly string[]> => {
      const statuses = [];
      for await (const info of engine.list({ name: "held" })) statuses.push(info.status);
      return statuses;
    };
    await lab.time.until(async () => (await children()).length === 2);
    open();
    await engine.get("waits").send(hello, "");
    await lab.time.run(engine.get("waits").result());
    await lab.time.run(engine.get("ends").result());
    expect(await children()).toEqual(["cancelled", "cancelled"]);
    expect(ran).toBe(0);
  });

  it("may be as many as a thousand", async () => {
    const small = workflow("small", async (_, n: number) => n);
    const parent = workflow("parent", async (ctx) => {
      const results = await Promise.all(Array.from({ length: 1000 }, (_, n) => ctx.child(small, n)));
      return results.reduce((sum, n) => sum + n, 0);
    });
    const engine = await lab.launch({ workflows: [parent, small] });
    expect(await lab.time.run(engine.execute(parent))).toBe(499_500);
  });

  it("and their parent share one slot of a worker without waiting for one another", async () => {
    const leaf = workflow("leaf", async (ctx) => ctx.step("work", () => 1));
    const middle = workflow("middle", async (ctx) => ctx.child(leaf));
    const root = workflow("root", async (ctx) => (await Promise.all([ctx.child(middle), ctx.child(middle)])).length);
    const engine = await lab.launch({ workflows: [root, middle, leaf], concurrency: { runs: 1, activities: 1 } });
    expect(await lab.time.run(engine.execute(root))).toBe(2);
  });

  it("tell their parent also where every slot for activities is taken by one that waits for it", async () => {
    const child = workflow("child", async () => "done");
    const parent = workflow("parent", async (ctx) => ctx.child(child));
    const ask = activity("ask", async () => (await engine.start(parent, undefined, { id: "p" })).result());
    const asking = workflow("asking", async (ctx) => ctx.activity(ask));
    const engine = await lab.launch({ workflows: [asking, parent, child], activities: [ask], concurrency: { activities: 1 } });
    expect(await lab.time.run(engine.execute(asking))).toBe("done");
  });

  it("inherit the deadline of their parent, unless they are detached", async () => {
    const asked = workflow("asked", async (ctx) => ctx.info.deadline?.getTime() ?? null);
    const parent = workflow(
      "parent",
      async (ctx) => [
        ctx.info.deadline?.getTime(),
        await ctx.child(asked),
        await ctx.child(asked, undefined, { timeout: "1 day" }),
        await ctx.child(asked, undefined, { deadline: "detached" }),
      ],
      { timeout: "1 hour" },
    );
    const engine = await lab.launch({ workflows: [parent, asked] });
    const [own, inherited, shortened, detached] = await lab.time.run(engine.execute(parent));
    expect([inherited, shortened, detached]).toEqual([own, own, null]);
  });

  it("cannot take the id of another run", async () => {
    const child = workflow("child", async () => "done");
    const parent = workflow("parent", async (ctx) =>
      ctx.child(child, undefined, { id: "taken" }).catch((error: Error & { code?: string }) => error.code),
    );
    const engine = await lab.launch({ workflows: [parent, child] });
    await lab.time.run(engine.execute(child, undefined, { id: "taken" }));
    expect(await lab.time.run(engine.execute(parent))).toBe("id_conflict");
  });

  it("are tried again after a failure as their retry policy says, and only the last attempt tells the parent", async () => {
    const flaky = workflow("flaky", async (ctx) => {
      if (ctx.info.attempt < 3) throw new Error(`attempt ${ctx.info.attempt}`);
      return ctx.info.attempt;
    });
    const parent = workflow("parent", async (ctx) => ctx.child(flaky, undefined, { id: "f", retry: { attempts: 3, backoff: "1 minute" } }));
    const engine = await lab.launch({ workflows: [parent, flaky] });
    expect(await lab.time.run(engine.execute(parent))).toBe(3);
  });
});
