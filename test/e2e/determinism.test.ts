import { expect, it } from "vitest";
import { activity, message, workflow, type WorkflowContext } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message<string>("go");
const other = message<string>("other");

/** Runs the workflow, restarts after every bit of it, and returns what each execution of its code saw, the live one first. */
onEveryBackend("a replay", (lab) => {
  it("gives combinators the same winners, whatever settled first", async () => {
    const executions: string[][] = [];
    const quick = activity("quick", (n: number) => n);
    const wf = workflow("w", async (ctx) => {
      const seen: string[] = [];
      executions.push(seen);
      const see = (what: string, value: unknown): void => void seen.push(`${what}: ${JSON.stringify(value)}`);
      const hop = (rounds: number) => async () => {
        for (let i = 0; i < rounds; i++) await new Promise((resolve) => void setImmediate(resolve));
        return rounds;
      };
      see("race", await Promise.race([ctx.step("slow", hop(9)), ctx.step("fast", hop(2)), ctx.sleep("1s")]));
      see(
        "any",
        await Promise.any([
          ctx.step("fails", () => Promise.reject(new Error("no")), { retry: { attempts: 1 } }),
          ctx.step("b", hop(5)),
          ctx.activity(quick, 3),
        ]),
      );
      see(
        "settled",
        (
          await Promise.allSettled([
            ctx.step("x", () => Promise.reject(new Error("x")), { retry: { attempts: 1 } }),
            ctx.sleep(10),
            ctx.receive(go),
          ])
        ).map(({ status }) => status),
      );
      const order: string[] = [];
      const chain = async (name: string): Promise<void> => {
        for (let i = 0; i < 3; i++) {
          await ctx.step(`${name}${i}`, hop((i * 5 + name.charCodeAt(0)) % 7));
          order.push(`${name}${i}`);
        }
      };
      await Promise.all(["a", "b", "c"].map(chain));
      see("order", order);
      see("message or timer", await Promise.race([ctx.receive(other), ctx.sleep("1 minute").then(() => "timer")]));
      await ctx.receive(go);
      return seen;
    });
    const options = { workflows: [wf], activities: [quick] };
    let engine = await lab.launch(options);
    await engine.start(wf, undefined, { id: "1" });
    const restart = async (): Promise<void> => {
      await lab.waits(engine.get("1"), "message");
      engine = await lab.restart(engine, options);
      await lab.time.settle();
    };
    await restart();
    await engine.get("1").send(go, "one");
    await restart();
    await engine.get("1").send(other, "told");
    await restart();
    await engine.get("1").send(go, "two");
    const result = await lab.time.run(engine.get(wf, "1").result());
    expect(result).toHaveLength(5);
    expect(result[0]).toBe("race: 2");
    expect(executions.length).toBeGreaterThanOrEqual(4);
    for (const seen of executions) expect(result.slice(0, seen.length)).toEqual(seen);
    expect(executions.at(-1)).toEqual(result);
  });

  it("gives the same time, random numbers and uuids, and every run its own", async () => {
    const executions: unknown[][] = [];
    const wf = workflow("w", async (ctx) => {
      const seen: unknown[] = [];
      executions.push(seen);
      for (let i = 0; i < 3; i++) {
        seen.push(ctx.now().getTime(), ctx.random(), ctx.uuid(), ctx.random());
        await ctx.receive(go);
      }
      return seen;
    });
    let engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    for (let i = 0; i < 3; i++) {
      await lab.waits(engine.get("1"), "message");
      await lab.time.advance(1500);
      engine = await lab.restart(engine, { workflows: [wf] });
      await engine.get("1").send(go, "x");
    }
    const result = (await lab.time.run(engine.get("1").result())) as unknown[];
    for (const seen of executions) expect(result.slice(0, seen.length)).toEqual(seen);
    expect(new Set(result).size).toBe(12);
    for (const value of [result[1], result[3]]) expect(value).toSatisfy((n: number) => n >= 0 && n < 1);
    expect(result[2]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const second = await engine.start(wf);
    for (let i = 0; i < 3; i++) await second.send(go, "x");
    const own = await lab.time.run(second.result());
    expect(own.filter((value) => result.includes(value))).toEqual([]);
  });

  it("is silent: a log line is written once, after what led to it is stored", async () => {
    const wf = workflow("w", async (ctx) => {
      ctx.log.info("begun", { n: 1 });
      await ctx.step("a", () => 1);
      ctx.log.warn("after a");
      await ctx.receive(go);
      ctx.log.error("told");
      await ctx.receive(go);
    });
    let engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    for (let i = 0; i < 2; i++) {
      await lab.waits(engine.get("1"), "message");
      engine = await lab.restart(engine, { workflows: [wf] });
      await engine.get("1").send(go, "x");
    }
    await lab.time.run(engine.get("1").result());
    const own = lab.logs.filter(({ data }) => data !== undefined && "workflow" in data);
    expect(own).toEqual([
      { level: "info", message: "begun", data: { workflow: "w", id: "1", n: 1 } },
      { level: "warn", message: "after a", data: { workflow: "w", id: "1" } },
      { level: "error", message: "told", data: { workflow: "w", id: "1" } },
    ]);
  });

  it("gives the same values as the live code saw: types, identities and holes included", async () => {
    const executions: unknown[] = [];
    class Point {
      readonly x: number;
      constructor(x: number) {
        this.x = x;
      }
    }
    const values: Record<string, () => unknown> = {
      date: () => new Date(1_234_567),
      map: () =>
        new Map<unknown, unknown>([
          ["a", new Set([1, 2n])],
          [{ k: 1 }, undefined],
        ]),
      buffer: () => Buffer.from("bytes"),
      typed: () => new Float64Array([1.5, Number.NaN]),
      numbers: () => [Number.NaN, Infinity, -0, 2n ** 70n],
      url: () => new URL("https://example.org/x?y=1"),
      regexp: () => /a+/giu,
      undefinedProperty: () => ({ a: undefined }),
      nothing: () => undefined,
      error: () => new TypeError("text", { cause: { why: 1 } }),
    };
    const wf = workflow("w", async (ctx) => {
      const seen: Record<string, unknown> = {};
      for (const [name, make] of Object.entries(values)) seen[name] = await ctx.step(name, make);
      const error = await ctx
        .step("class", () => new Point(1) as unknown)
        .then(String, (thrown: unknown) => (thrown as { code: string }).code);
      executions.push({ ...seen, class: error });
      await ctx.receive(go);
    });
    let engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    await lab.waits(engine.get("1"), "message");
    engine = await lab.restart(engine, { workflows: [wf] });
    await engine.get("1").send(go, "x");
    await lab.time.run(engine.get("1").result());
    expect(executions).toHaveLength(2);
    expect(executions[1]).toStrictEqual(executions[0]);
    const live = executions[0] as Record<string, unknown>;
    expect(live["map"]).toStrictEqual(values["map"]?.());
    expect(live["numbers"]).toStrictEqual(values["numbers"]?.());
    // A class that could not be given back is refused, not turned into something else.
    expect(live["class"]).toBe("unserializable");
    expect(Object.keys(live)).toHaveLength(Object.keys(values).length + 1);
  });
});

onEveryBackend("code that does not fit", (lab) => {
  const first = workflow("w", async (ctx) => {
    const a = await ctx.step("reserve", () => "a");
    await ctx.receive(go);
    return a;
  });

  it("parks the run with an explained report; it goes on with code that fits, nothing lost", async () => {
    let cleanedUp = false;
    const changed = workflow("w", async (ctx): Promise<string> => {
      try {
        const a = await ctx.step("charge", () => "other");
        await ctx.receive(go);
        return a;
      } catch {
        return "caught";
      } finally {
        cleanedUp = true;
      }
    });
    const engine = await lab.launch({ workflows: [first] });
    await engine.start(first, undefined, { id: "1" });
    await lab.waits(engine.get("1"), "message");
    const wrong = await lab.restart(engine, { workflows: [changed] });
    await wrong.get("1").send(go, "x");
    await lab.time.until(async () => (await wrong.get("1").describe()).status === "parked");
    const info = await wrong.get("1").describe();
    expect(info.parked).toMatchObject({ code: "nondeterminism", message: expect.stringMatching(/reserve.*charge/) });
    expect(info.parked?.report).toMatch(/recorded: step "reserve"/);
    expect(info.parked?.report).toMatch(/now: {6}step "charge"/);
    expect(info.parked?.report).toContain("determinism.test.ts");
    expect(info.unreadMessages).toBe(1);
    // It is looked at again now and then, by the same code, and nothing is thrown into it.
    await lab.time.advance(120_000);
    expect((await wrong.get("1").describe()).status).toBe("parked");
    expect(cleanedUp).toBe(false);
    expect(lab.logs.some(({ level, message: text }) => level === "error" && text.includes("parked"))).toBe(true);

    const fixed = await lab.restart(wrong, { workflows: [first] });
    const relaunchedMs = lab.time.now();
    expect(await lab.time.run(fixed.get("1").result())).toBe("a");
    // At the launch, not at the next look.
    expect(lab.time.now() - relaunchedMs).toBeLessThan(2000);
    expect(await fixed.get("1").describe()).toMatchObject({ status: "completed", parked: undefined });
  });

  const changes: Record<string, (ctx: WorkflowContext) => Promise<unknown>> = {
    "asks for nothing where something was": async (ctx) => void (await ctx.receive(go)),
    "asks for more than there was": async (ctx) => void (await Promise.all([ctx.step("reserve", () => 1), ctx.step("more", () => 2)])),
    "asks for another kind": (ctx) => ctx.sleep(5),
    "ends where it went on": async () => "ended",
    "throws where it went on": async () => {
      throw new Error("thrown");
    },
  };
  for (const [what, run] of Object.entries(changes)) {
    it(`is noticed when it ${what}`, async () => {
      const engine = await lab.launch({ workflows: [first] });
      await engine.start(first, undefined, { id: "1" });
      await lab.waits(engine.get("1"), "message");
      const before = await engine.get("1").history();
      const wrong = await lab.restart(engine, { workflows: [workflow<void, unknown>("w", (ctx) => run(ctx))] });
      await wrong.get("1").send(go, "x");
      await lab.time.until(async () => (await wrong.get("1").describe()).status === "parked");
      expect(await wrong.get("1").history()).toEqual(before);
      const fixed = await lab.restart(wrong, { workflows: [first] });
      expect(await lab.time.run(fixed.get("1").result())).toBe("a");
    });
  }

  it("goes on in another worker that has the code that fits", async () => {
    const changed = workflow("w", (ctx) => ctx.sleep(1));
    const engine = await lab.launch({ workflows: [first] });
    await engine.start(first, undefined, { id: "1" });
    await lab.waits(engine.get("1"), "message");
    const wrong = await lab.restart(engine, { workflows: [changed] });
    await wrong.get("1").send(go, "x");
    await lab.time.until(async () => (await wrong.get("1").describe()).status === "parked");
    const right = await lab.launch({ workflows: [first] });
    expect(await lab.time.run(right.get("1").result())).toBe("a");
  });

  const foreign: Record<string, readonly [run: (ctx: WorkflowContext, wait: () => Promise<void>) => Promise<unknown>, did: string]> = {
    "calls ctx": [
      async (ctx, wait) => {
        await wait();
        return ctx.step("late", () => 1);
      },
      'called ctx for step "late"',
    ],
    returns: [
      async (_ctx, wait) => {
        await wait();
        return 1;
      },
      "returned",
    ],
    throws: [
      async (_ctx, wait) => {
        await wait();
        throw new Error("late");
      },
      "threw",
    ],
  };
  const pendings: Record<string, (ctx: WorkflowContext) => Promise<unknown>> = {
    "while a step is in flight": (ctx) =>
      ctx.step("hangs", ({ signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve))),
    "while nobody drives it": (ctx) => ctx.receive(other),
  };
  for (const [what, [run, did]] of Object.entries(foreign)) {
    for (const [where, pending] of Object.entries(pendings)) {
      it(`that ${what} after a wait that is not durable parks the run, ${where}`, async () => {
        const settle: (() => void)[] = [];
        const wf = workflow("w", async (ctx) => {
          await ctx.step("before", () => 1);
          const result = run(ctx, () => new Promise((resolve) => void settle.push(resolve)));
          // Something durable is pending, so that nothing is amiss until the other wait ends.
          return Promise.race([result, pending(ctx)]);
        });
        const engine = await lab.launch({ workflows: [wf] });
        const handle = await engine.start(wf);
        await lab.time.advance(100);
        for (const resolve of settle.splice(0)) resolve();
        await lab.time.settle();
        await handle.send(go, "x");
        await lab.time.until(async () => (await handle.describe()).status === "parked");
        expect((await handle.describe()).parked).toMatchObject({
          code: "nondeterminism",
          message: expect.stringMatching(`${did} after waiting for something that is not durable`),
        });
        expect((await handle.history()).map(({ kind }) => kind)).toEqual(["started", "operation_completed"]);
      });
    }
  }

  it("that waits for nothing durable parks the run at once", async () => {
    const wf = workflow("w", async (ctx) => {
      await ctx.step("before", () => 1);
      await new Promise(() => undefined);
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.until(async () => (await handle.describe()).status === "parked");
    const { parked } = await handle.describe();
    expect(parked).toMatchObject({ code: "nondeterminism", message: expect.stringContaining("went on waiting") });
    expect(parked?.report).toMatch(/ctx\.step/);
  });
});

onEveryBackend("a workflow that a worker does not have", (lab) => {
  it("is left to others, also when its runs are due, and done by one that has it", async () => {
    const known = workflow("known", async (ctx) => ctx.step("s", () => "known"));
    const unknown = workflow("unknown", async (ctx) => {
      await ctx.sleep("1s");
      return "unknown";
    });
    const worker = await lab.launch({ workflows: [known] });
    const handle = await worker.start(unknown, undefined, { id: "1" });
    expect(await lab.time.run(worker.execute(known))).toBe("known");
    await lab.time.advance(60_000);
    expect(await handle.describe()).toMatchObject({
      status: "pending",
      waitingFor: [{ kind: "worker" }],
      crashCount: 0,
      parked: undefined,
    });
    const able = await lab.launch({ workflows: [unknown] });
    await lab.waits(handle, "timer");
    await lab.close(able);
    await lab.time.advance(60_000);
    expect(await handle.describe()).toMatchObject({ status: "pending" });
    await lab.launch({ workflows: [unknown] });
    expect(await lab.time.run(handle.result())).toBe("unknown");
  });
});

onEveryBackend("workflow code", (lab) => {
  it("may leave a rejected sibling behind without ending the process", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", listen);
    try {
      const fails = (ctx: WorkflowContext, name: string) =>
        ctx.step(name, () => Promise.reject(new Error(name)), { retry: { attempts: 1 } });
      const wf = workflow("w", async (ctx) => {
        const first = await Promise.all([fails(ctx, "a"), fails(ctx, "b"), ctx.sleep(50)]).catch(
          (error: unknown) => (error as Error).message,
        );
        await ctx.sleep("1s");
        void fails(ctx, "c");
        await ctx.sleep("1s");
        return first;
      });
      const engine = await lab.launch({ workflows: [wf] });
      expect(await lab.time.run(engine.execute(wf))).toBe("a");
      await lab.time.settle();
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", listen);
    }
  });

  it("may be synchronous, empty, or return at once", async () => {
    const sync = workflow("sync", () => "s");
    const empty = workflow("empty", async () => undefined);
    const throws = workflow("throws", () => {
      throw new Error("at once");
    });
    const engine = await lab.launch({ workflows: [sync, empty, throws] });
    expect(await lab.time.run(engine.execute(sync))).toBe("s");
    expect(await lab.time.run(engine.execute(empty))).toBe(undefined);
    await expect(lab.time.run(engine.execute(throws))).rejects.toMatchObject({ code: "run_failed", cause: { message: "at once" } });
  });

  it("may fan out ten thousand wide, at a cost that grows with the width and no faster", async () => {
    const wf = workflow("w", async (ctx, width: number) => {
      const results = await Promise.all(Array.from({ length: width }, (_, n) => ctx.step("s", () => n)));
      await ctx.receive(go);
      return results.reduce((sum, n) => sum + n, 0);
    });
    let engine = await lab.launch({ workflows: [wf] });
    const measure = async (width: number): Promise<number> => {
      const before = process.cpuUsage();
      const handle = await engine.start(wf, width, { id: String(width) });
      await lab.waits(handle, "message");
      engine = await lab.restart(engine, { workflows: [wf] });
      await engine.get(handle.id).send(go, "x");
      expect(await lab.time.run(engine.get(handle.id).result())).toBe((width * (width - 1)) / 2);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / width;
    };
    await measure(2000);
    const small = await measure(2001);
    const large = await measure(10_000);
    expect(large / small).toBeLessThan(3);
  });
});
