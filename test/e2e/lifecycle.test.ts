import { expect, it } from "vitest";
import { activity, message, workflow, workflowRef } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message<string>("go");

/** A promise that the test settles. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => void (open = resolve));
  return { open: () => open(), opened };
}

onEveryBackend("close", (lab) => {
  it("lets bodies end within the grace time and records what they give", async () => {
    const { open, opened } = gate();
    let ran = 0;
    let finished = 0;
    const work = activity("work", async () => (ran++, await opened, finished++, "activity"));
    const wf = workflow("w", (ctx) =>
      Promise.all([ctx.step("s", async () => (ran++, await opened, finished++, "step")), ctx.activity(work)]),
    );
    const options = { workflows: [wf], activities: [work] };
    const engine = await lab.launch(options);
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => ran === 2);
    const closing = engine.close({ grace: "1 minute" });
    await lab.time.advance(30_000);
    open();
    await lab.time.run(closing);
    expect(finished).toBe(2);
    const next = await lab.launch(options);
    expect(await lab.time.run(next.get("1").result())).toEqual(["step", "activity"]);
    expect(ran).toBe(2);
  });

  it("begins no new bodies", async () => {
    const { open, opened } = gate();
    const ran: string[] = [];
    const wf = workflow("w", async (ctx) => {
      await ctx.step("a", async () => (ran.push("a"), await opened));
      await ctx.step("b", () => void ran.push("b"));
      return "done";
    });
    const engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => ran.length === 1);
    const closing = engine.close({ grace: "1 minute" });
    open();
    await lab.time.run(closing);
    expect(ran).toEqual(["a"]);
    const next = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(next.get("1").result())).toBe("done");
    expect(ran).toEqual(["a", "b"]);
  });

  it("lets nothing wait for ever that it did not begin, whatever ends last", async () => {
    const [early, late] = [gate(), gate()];
    const ran: string[] = [];
    const wf = workflow("w", (ctx) => {
      const chain = async (): Promise<string> => {
        await ctx.step("first", async () => (ran.push("first"), await early.opened));
        return ctx.step("second", () => (ran.push("second"), "second"));
      };
      return Promise.all([ctx.step("long", async () => (ran.push("long"), await late.opened, "long")), chain()]);
    });
    const engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => ran.length === 2);
    const closing = engine.close({ grace: "1 minute" });
    early.open();
    await lab.time.advance(1000);
    late.open();
    await lab.time.run(closing);
    expect(ran).toEqual(["long", "first"]);
    const next = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(next.get("1").result())).toEqual(["long", "second"]);
    expect(ran).toEqual(["long", "first", "second"]);
  });

  it("begins what must not be repeated if it is announced already", async () => {
    let closing: Promise<void> | undefined;
    const ran: string[] = [];
    const wf = workflow("w", (ctx) =>
      Promise.all([
        ctx.step("close", () => void (closing = engine.close({ grace: "1 minute" }))),
        ctx.step("charge", () => (ran.push("charge"), "charged"), { atMostOnce: true }),
      ]),
    );
    const engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => closing !== undefined);
    await lab.time.run(closing ?? Promise.resolve());
    const next = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(next.get("1").result())).toEqual([undefined, "charged"]);
    expect(ran).toEqual(["charge"]);
  });

  it("aborts bodies after the grace time; they run again elsewhere, as the same attempt", async () => {
    const reasons: string[] = [];
    const attempts: number[] = [];
    const hang = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) =>
        signal.addEventListener("abort", () => (reasons.push((signal.reason as { code: string }).code), reject(signal.reason as Error))),
      );
    const work = activity(
      "work",
      (_: void, { signal, attempt }) => (attempts.push(attempt), attempts.length <= 2 ? hang(signal) : "activity"),
    );
    const wf = workflow("w", (ctx) =>
      Promise.all([
        ctx.step("s", ({ signal, attempt }) => (attempts.push(attempt), attempts.length <= 2 ? hang(signal) : "step")),
        ctx.activity(work),
      ]),
    );
    const options = { workflows: [wf], activities: [work] };
    const engine = await lab.launch(options);
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => attempts.length === 2);
    const startedMs = lab.time.now();
    await lab.close(engine, 3000);
    expect(lab.time.now() - startedMs).toBeGreaterThanOrEqual(3000);
    expect(lab.time.now() - startedMs).toBeLessThan(3100);
    expect(reasons).toEqual(["shutdown", "shutdown"]);
    const next = await lab.launch(options);
    expect(await lab.time.run(next.get("1").result())).toEqual(["step", "activity"]);
    expect(attempts).toEqual([1, 1, 1, 1]);
  });

  it("gives its runs to another engine at once, long before its lease would have ended", async () => {
    const ran: string[] = [];
    const work = activity("work", (_: void, { signal }) => {
      ran.push("activity");
      return ran.length > 2 ? "done" : new Promise<string>((resolve) => signal.addEventListener("abort", () => resolve("dropped")));
    });
    const wf = workflow("w", (ctx) =>
      Promise.all([
        ctx.activity(work),
        ctx.step("s", ({ signal }) => {
          ran.push("step");
          return ran.length > 2 ? "done" : new Promise<string>((resolve) => signal.addEventListener("abort", () => resolve("dropped")));
        }),
      ]),
    );
    const options = { workflows: [wf], activities: [work], lease: "10 minutes" } as const;
    const one = await lab.launch(options);
    await one.start(wf, undefined, { id: "1" });
    await lab.time.until(() => ran.length === 2);
    const two = await lab.launch(options);
    const result = two.get("1").result();
    await lab.close(one);
    const closedMs = lab.time.now();
    expect(await lab.time.run(result)).toEqual(["done", "done"]);
    expect(lab.time.now() - closedMs).toBeLessThan(2000);
  });

  it("may be called twice, at once and later", async () => {
    const engine = await lab.launch({});
    await lab.time.run(Promise.all([engine.close(), engine.close()]));
    await engine.close();
    await engine[Symbol.asyncDispose]();
    await expect(engine.start(workflowRef("w"), undefined)).rejects.toMatchObject({ code: "closed" });
  });

  it("works inside a body of its own, without waiting for itself for ever", async () => {
    let closed = false;
    const wf = workflow("w", (ctx) =>
      ctx.step("s", async ({ attempt }) =>
        closed ? `again ${attempt}` : ((closed = true), await engine.close({ grace: "2s" }), "never recorded"),
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => closed);
    const startedMs = lab.time.now();
    await lab.time.run(engine.close());
    expect(lab.time.now() - startedMs).toBeLessThan(2500);
    const next = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(next.get("1").result())).toBe("again 1");
  });

  it("refuses what comes after it, and those who wait for results", async () => {
    const wf = workflow("w", (ctx) => ctx.receive(go));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    const waiting = handle.result().catch((error: unknown) => (error as { code: string }).code);
    await lab.close(engine);
    expect(await waiting).toBe("closed");
    const calls: (() => Promise<unknown>)[] = [
      () => engine.start(wf),
      () => engine.execute(wf),
      () => handle.send(go, "x"),
      () => handle.cancel(),
      () => handle.describe(),
      () => handle.history(),
      () => handle.resume(),
      () => handle.result(),
      async () => {
        for await (const run of engine.list()) void run;
      },
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: "closed" });
  });

  it("leaves runs that wait alone: they go on with the next launch", async () => {
    const wf = workflow("w", async (ctx, n: number) => {
      await ctx.sleep("1 minute");
      return `${n} ${await ctx.receive(go)}`;
    });
    const engine = await lab.launch({ workflows: [wf] });
    for (let n = 0; n < 20; n++) await engine.start(wf, n, { id: `r${n}` });
    const next = await lab.restart(engine, { workflows: [wf] });
    for (let n = 0; n < 20; n++) await next.get(`r${n}`).send(go, "x");
    const results = await lab.time.run(Promise.all(Array.from({ length: 20 }, (_, n) => next.get(`r${n}`).result())));
    expect(results).toEqual(Array.from({ length: 20 }, (_, n) => `${n} x`));
    for await (const run of next.list()) expect(run.crashCount).toBe(0);
  });
});

onEveryBackend("several engines", (lab) => {
  it("in one process with different definitions work side by side on one store", async () => {
    const by = (name: string) => workflow(name, (ctx) => ctx.step("who", () => name));
    const [a, b] = [by("a"), by("b")];
    const one = await lab.launch({ workflows: [a] });
    const two = await lab.launch({ workflows: [b] });
    const results = await lab.time.run(Promise.all([one.execute(b), two.execute(a), one.execute(a), two.execute(b)]));
    expect(results).toEqual(["b", "a", "a", "b"]);
    expect(one.workerId).not.toBe(two.workerId);
  });

  it("share the runs of a workflow that both have; each is driven by one", async () => {
    const ran: string[] = [];
    const wf = workflow("w", async (ctx, n: number) => {
      await ctx.sleep(10);
      return ctx.step("s", () => (ran.push(ctx.info.id), n));
    });
    const engines = [await lab.launch({ workflows: [wf] }), await lab.launch({ workflows: [wf] })];
    const client = await lab.connect();
    const handles = await Promise.all(Array.from({ length: 200 }, (_, n) => [client, ...engines][n % 3]!.start(wf, n, { id: `r${n}` })));
    const results = await lab.time.run(Promise.all(handles.map((handle) => handle.result())));
    expect(results).toEqual(Array.from({ length: 200 }, (_, n) => n));
    expect(new Set(ran).size).toBe(200);
    expect(ran).toHaveLength(200);
  });

  it("take over from one that died, which then can write nothing", async () => {
    const seen: string[] = [];
    const { open, opened } = gate();
    const wf = workflow("w", async (ctx) => {
      const a = await ctx.step("a", () => "a");
      const b = await ctx.step("b", async () => (seen.push("b"), seen.length === 1 ? (await opened, "of the dead") : "of the living"));
      return a + b;
    });
    const dying = await lab.launch({ workflows: [wf], lease: "2s" });
    await dying.start(wf, undefined, { id: "1" });
    await lab.time.until(() => seen.length === 1);
    lab.kill(dying);
    const diedMs = lab.time.now();
    const heir = await lab.launch({ workflows: [wf], lease: "2s" });
    await lab.time.until(() => seen.length === 2);
    expect(lab.time.now() - diedMs).toBeLessThan(3500);
    open();
    expect(await lab.time.run(heir.get("1").result())).toBe("aof the living");
    expect((await heir.get("1").history()).map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  });

  it("take over from one that was stopped; what it gives when it goes on is refused", async () => {
    const gates = [gate(), gate()];
    const seen: string[] = [];
    const reasons: string[] = [];
    const wf = workflow("w", async (ctx) => {
      const who = await ctx.step("who", async ({ signal }) => {
        const mine = seen.push("begun") - 1;
        signal.addEventListener("abort", () => reasons.push((signal.reason as { code: string }).code));
        await gates[mine]?.opened;
        return ["zombie", "heir"][mine];
      });
      return [who, await ctx.step("after", () => seen.push("after"))];
    });
    const zombie = await lab.launch({ workflows: [wf], lease: "2s" });
    await zombie.start(wf, undefined, { id: "1" });
    await lab.time.until(() => seen.length === 1);
    lab.pause(zombie);
    const heir = await lab.launch({ workflows: [wf], lease: "2s" });
    await lab.time.until(() => seen.length === 2);
    // The body of the zombie ends while that of the heir, for the same step of the same run, is in flight: only the epoch tells them apart.
    gates[0]?.open();
    await lab.time.settle();
    await lab.resume(zombie);
    await lab.time.advance(100);
    expect((await heir.get("1").history()).map(({ kind }) => kind)).toEqual(["started"]);
    gates[1]?.open();
    expect(await lab.time.run(heir.get("1").result())).toEqual(["heir", 3]);
    expect(reasons).toEqual([]);
    expect(lab.logs.some(({ message: text }) => text.includes("lease was lost"))).toBe(true);
    // It goes on under a new lease.
    await lab.close(heir);
    gates.length = 0;
    expect(await lab.time.run(zombie.execute(wf))).toEqual([undefined, 5]);
  });

  it("hand a run back and forth, each going on from where the other left it", async () => {
    const wf = workflow("w", async (ctx) => {
      const got: string[] = [];
      while (got.length < 12) got.push(`${await ctx.receive(go)} ${await ctx.step("s", () => got.length)}`);
      return got;
    });
    const engines = [await lab.launch({ workflows: [wf] }), await lab.launch({ workflows: [wf] })] as const;
    await engines[0].start(wf, undefined, { id: "1" });
    const drivers = new Set<string>();
    for (let n = 0; n < 12; n++) {
      await lab.waits(engines[0].get("1"), "message");
      // Whoever sends to a run that nobody drives takes it; now and then the same one does so twice.
      const sender = engines[n % 5 < 3 ? 0 : 1];
      const before = sender.workerId;
      await sender.get("1").send(go, String(n));
      const { worker } = await sender.get("1").describe();
      if (worker?.id === before) drivers.add(before);
    }
    expect(await lab.time.run(engines[1].get("1").result())).toEqual(Array.from({ length: 12 }, (_, n) => `${n} ${n}`));
    expect(drivers.size).toBe(2);
  });

  it("do a run that a client started while nobody was there", async () => {
    const wf = workflow("w", async (_ctx, n: number) => n * 2);
    const client = await lab.connect();
    const handle = await client.start(workflowRef<typeof wf>("w"), 4);
    await lab.time.advance(5000);
    expect(await handle.describe()).toMatchObject({ status: "pending", waitingFor: [{ kind: "worker" }] });
    await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(handle.result())).toBe(8);
  });

  it("keep to their limit of runs at once, and every run has its turn", async () => {
    let running = 0;
    let most = 0;
    const wf = workflow("w", (ctx) =>
      ctx.step("s", async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => void setImmediate(resolve));
        running--;
      }),
    );
    const engine = await lab.launch({ workflows: [wf], concurrency: { runs: 5 } });
    await lab.time.run(Promise.all(Array.from({ length: 200 }, () => engine.execute(wf))));
    expect(most).toBe(5);
  });
});
