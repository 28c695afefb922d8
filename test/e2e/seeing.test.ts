import { expect, it } from "vitest";
import { activity, message, workflow, type Client, type Filter, type RunInfo, type WorkflowRef } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message<string>("go");
const stop = message("stop");

async function listed(client: Client, filter?: Filter): Promise<RunInfo[]> {
  const runs: RunInfo[] = [];
  for await (const run of client.list(filter)) runs.push(run);
  return runs;
}

onEveryBackend("describe tells why a run is not moving:", (lab) => {
  it("it sleeps, until when", async () => {
    const wf = workflow("w", (ctx) => ctx.sleep("2 hours"), { version: "v7" });
    const engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    const handle = await engine.start(wf, undefined, { id: "1", timeout: "1 day" });
    await lab.waits(handle, "timer");
    const until = new Date(startedMs + 7_200_000);
    expect(await handle.describe()).toMatchObject({
      id: "1",
      name: "w",
      version: "v7",
      status: "sleeping",
      attempt: 1,
      createdAt: new Date(startedMs),
      deadline: new Date(startedMs + 86_400_000),
      endedAt: undefined,
      progressAt: new Date(startedMs),
      historyLength: 1,
      unreadMessages: 0,
      crashCount: 0,
      waitingFor: [{ kind: "timer", until, since: new Date(startedMs) }],
    });
  });

  it("it waits for a message, which, and with what timeout", async () => {
    const wf = workflow("w", (ctx) => Promise.all([ctx.receive(go, { timeout: "1 hour" }), ctx.receiveAny({ go, stop })]));
    const engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    const handle = await engine.start(wf);
    await lab.waits(handle, "message");
    expect(await handle.describe()).toMatchObject({
      status: "sleeping",
      waitingFor: [
        { kind: "message", name: "go", until: new Date(startedMs + 3_600_000) },
        { kind: "message", name: "go | stop", until: undefined },
      ],
    });
  });

  it("a step runs, or waits for its next attempt after which error", async () => {
    let hang = false;
    const wf = workflow("w", (ctx) =>
      ctx.step(
        "charge",
        () => {
          if (hang) return new Promise<string>(() => undefined);
          throw new RangeError("card service down");
        },
        { retry: { backoff: "10m", maxBackoff: "10m" } },
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    const handle = await engine.start(wf);
    await lab.waits(handle, "step");
    const info = await handle.describe();
    expect(info).toMatchObject({
      status: "sleeping",
      waitingFor: [{ kind: "step", name: "charge", attempt: 2, lastError: { name: "RangeError", message: "card service down" } }],
    });
    expect(info.waitingFor[0]?.until?.getTime()).toBeGreaterThanOrEqual(startedMs + 480_000);
    expect(info.waitingFor[0]?.until?.getTime()).toBeLessThanOrEqual(startedMs + 600_000);
    hang = true;
    await lab.time.until(async () => (await handle.describe()).status === "running");
    expect(await handle.describe()).toMatchObject({
      worker: { id: engine.workerId },
      waitingFor: [{ kind: "step", name: "charge", attempt: 2 }],
    });
  });

  it("no worker has it", async () => {
    const wf = workflow("w", () => 1);
    const client = await lab.connect();
    const handle = await client.start(wf);
    expect(await handle.describe()).toMatchObject({
      status: "pending",
      waitingFor: [{ kind: "worker" }],
      worker: undefined,
      historyLength: 0,
    });
  });

  it("it has ended, how and when", async () => {
    const good = workflow("good", (ctx) => ctx.sleep("1s"));
    const bad = workflow("bad", async () => {
      throw Object.assign(new Error("text"), { code: "E_OWN" });
    });
    const engine = await lab.launch({ workflows: [good, bad] });
    const handle = await engine.start(good);
    await lab.time.run(handle.result());
    const info = await handle.describe();
    expect(info).toMatchObject({ status: "completed", waitingFor: [], error: undefined, worker: undefined, cancelRequested: undefined });
    expect(info.endedAt!.getTime()).toBeGreaterThanOrEqual(info.createdAt.getTime() + 1000);
    const failed = await engine.start(bad);
    await lab.time.run(failed.result().catch(() => undefined));
    expect(await failed.describe()).toMatchObject({ status: "failed", error: { name: "Error", message: "text", code: "E_OWN" } });
  });

  it("what a scope gave up is not waited for", async () => {
    const wf = workflow("w", async (ctx) => {
      await ctx.scope((scope) => scope.receive(go), { timeout: "1s" }).catch(() => undefined);
      await ctx.shield(async (shielded) => shielded.receive(stop));
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.waits(handle, "message", "stop");
    expect((await handle.describe()).waitingFor).toMatchObject([{ kind: "message", name: "stop" }]);
    await handle.cancel();
    await lab.time.advance(1000);
    // Behind a shield it goes on waiting, and the request is known.
    expect(await handle.describe()).toMatchObject({
      status: "waiting",
      cancelRequested: true,
      waitingFor: [{ kind: "message", name: "stop" }],
    });
  });
});

onEveryBackend("history", (lab) => {
  it("tells all that happened, in order, with what it carried", async () => {
    const double = activity("double", (n: number) => n * 2);
    const wf = workflow("w", async (ctx, n: number) => {
      const a = await ctx.step("one", ({ attempt }) => {
        if (attempt === 1) throw new Error("first");
        return n + 1;
      });
      const b = await ctx.activity(double, a);
      await ctx.sleep("5s");
      return [b, await ctx.receive(go, { timeout: "1 hour" })];
    });
    const engine = await lab.launch({ workflows: [wf], activities: [double] });
    const startedMs = lab.time.now();
    const handle = await engine.start(wf, 1);
    await lab.waits(handle, "message");
    await handle.send(go, "gone");
    await lab.time.run(handle.result());
    const history = await handle.history();
    expect(history).toMatchObject([
      { seq: 1, kind: "started", data: 1, at: new Date(startedMs), commands: [{ number: 1, kind: "step", name: "one" }] },
      { seq: 2, kind: "attempt_failed", command: 1, attempt: 1, data: { message: "first" }, commands: [] },
      { seq: 3, kind: "operation_completed", command: 1, data: 2, commands: [{ number: 2, kind: "activity", name: "double" }] },
      { seq: 4, kind: "operation_completed", command: 2, data: 4, commands: [{ number: 3, kind: "sleep", dueAt: expect.any(Date) }] },
      { seq: 5, kind: "timer_fired", command: 3, commands: [{ number: 4, kind: "receive", name: "go" }] },
      { seq: 6, kind: "message_received", command: 4, name: "go", data: "gone" },
      { seq: 7, kind: "run_completed", data: [4, "gone"] },
    ]);
    for (let i = 1; i < history.length; i++) expect(history[i]!.at.getTime()).toBeGreaterThanOrEqual(history[i - 1]!.at.getTime());
  });

  it("is read in pages when it is long", async () => {
    const wf = workflow("w", async (ctx) => {
      for (let i = 0; i < 2300; i++) await ctx.step("s", () => i);
      return "end";
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.run(handle.result());
    const history = await handle.history();
    expect(history).toHaveLength(2302);
    expect(history.map(({ seq }) => seq)).toEqual(Array.from({ length: 2302 }, (_, i) => i + 1));
    expect(history.at(-1)).toMatchObject({ kind: "run_completed", data: "end" });
    expect(history[2300]?.data).toBe(2299);
  });
});

onEveryBackend("list", (lab) => {
  it("filters by name, status and beginning of the id, newest first", async () => {
    const done = workflow("done", () => 1);
    const waits = workflow("waits", (ctx) => ctx.receive(go));
    const sleeps = workflow("sleeps", (ctx) => ctx.sleep("1 day"));
    const fails = workflow("fails", async () => {
      throw new Error("no");
    });
    const engine = await lab.launch({ workflows: [done, waits, sleeps, fails] });
    const client = await lab.connect();
    const starts: readonly WorkflowRef<void, unknown>[] = [done, waits, sleeps, fails, workflow("nobody", () => 1)];
    for (const [index, wf] of starts.entries())
      for (const group of ["a%_", "b"]) await client.start(wf, undefined, { id: `${group}${index}` });
    await engine.start(sleeps, undefined, { id: "later", delay: "1 hour" });
    await lab.time.advance(1000);
    const ids = async (filter?: Filter): Promise<string[]> => (await listed(client, filter)).map(({ id }) => id);
    expect(await ids()).toEqual(["later", "b4", "a%_4", "b3", "a%_3", "b2", "a%_2", "b1", "a%_1", "b0", "a%_0"]);
    expect(await ids({ name: "sleeps" })).toEqual(["later", "b2", "a%_2"]);
    expect(await ids({ status: "completed" })).toEqual(["b0", "a%_0"]);
    expect(await ids({ status: "waiting" })).toEqual(["b1", "a%_1"]);
    expect(await ids({ status: "sleeping" })).toEqual(["later", "b2", "a%_2"]);
    expect(await ids({ status: "pending" })).toEqual(["b4", "a%_4"]);
    expect(await ids({ status: ["failed", "completed"], idPrefix: "b" })).toEqual(["b3", "b0"]);
    expect(await ids({ idPrefix: "a%_" })).toEqual(["a%_4", "a%_3", "a%_2", "a%_1", "a%_0"]);
    expect(await ids({ idPrefix: "a" })).toHaveLength(5);
    expect(await ids({ idPrefix: "A" })).toEqual([]);
    expect(await ids({ status: "parked" })).toEqual([]);
    expect(await ids({ limit: 3 })).toEqual(["later", "b4", "a%_4"]);
    expect(await ids({ status: ["failed"], limit: 1 })).toEqual(["b3"]);
    const [waiting] = await listed(client, { name: "waits", idPrefix: "b" });
    expect(waiting).toMatchObject({ id: "b1", name: "waits", status: "waiting", historyLength: 1, unreadMessages: 0 });
  });

  it("goes through any number, and may be left off in the middle", async () => {
    const wf = workflow("w", async (_ctx, n: number) => n);
    const engine = await lab.launch({ workflows: [wf] });
    await lab.time.run(Promise.all(Array.from({ length: 450 }, (_, n) => engine.execute(wf, n, { id: `r${String(n).padStart(3, "0")}` }))));
    const all = await listed(engine);
    expect(new Set(all.map(({ id }) => id)).size).toBe(450);
    expect(await listed(engine, { limit: 420 })).toHaveLength(420);
    // Runs that come while it is read are not mixed in, and none is told twice.
    const seen: string[] = [];
    for await (const run of engine.list({ name: "w" })) {
      seen.push(run.id);
      if (seen.length === 10) await engine.start(wf, -1, { id: "new" });
      if (seen.length === 440) break;
    }
    expect(new Set(seen).size).toBe(440);
    expect(seen).not.toContain("new");
  });
});

onEveryBackend("a parked run", (lab) => {
  it("goes on at once when it is resumed after a fix that needs no launch; resume leaves others alone", async () => {
    let broken = true;
    const wf = workflow("w", async (ctx) => {
      // Depends on something that is not recorded: the mistake that parks it.
      await ctx.step(broken ? "old" : "new", () => 1);
      return ctx.receive(go);
    });
    let engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await lab.waits(handle, "message");
    broken = false;
    engine = await lab.restart(engine, { workflows: [wf] });
    await engine.get("1").send(go, "x");
    const again = engine.get("1");
    await lab.time.until(async () => (await again.describe()).status === "parked");
    for (let i = 0; i < 6; i++) {
      const before = lab.logs.length;
      await lab.time.until(() => lab.logs.slice(before).some(({ message: text }) => text.includes("parked")));
    }
    broken = true;
    const mendedMs = lab.time.now();
    const other = await engine.start(wf);
    await other.resume();
    await again.resume();
    expect(await lab.time.run(again.result())).toBe("x");
    expect(lab.time.now() - mendedMs).toBeLessThan(1500);
    await again.resume();
  });

  it("that killed its process five times is poisoned, takes no innocent with it, and goes on when it is resumed", async () => {
    let deadly = true;
    const ran: Record<string, number> = {};
    const enginesOf = new Map<string, () => void>();
    const poison = workflow("poison", (ctx) =>
      ctx.step("boom", () => {
        ran["poison"] = (ran["poison"] ?? 0) + 1;
        if (deadly) enginesOf.get("current")?.();
        return deadly ? new Promise<string>(() => undefined) : "survived";
      }),
    );
    // Some get on between two crashes, others never before the next one: these are suspected too, and must be found innocent.
    const innocent = workflow("innocent", async (ctx, n: number) => {
      for (let i = 0; i < 10; i++) {
        await ctx.step(`s${i}`, () => lab.time.sleep(n > 2 ? 700 : 0));
        await ctx.sleep(200);
      }
      return n;
    });
    const client = await lab.connect();
    const options = { workflows: [poison, innocent], lease: "1s" } as const;
    const launchCurrent = async (): Promise<void> => {
      const engine = await lab.launch(options);
      enginesOf.set("current", () => {
        enginesOf.delete("current");
        lab.kill(engine);
      });
    };
    await launchCurrent();
    const good = await Promise.all([1, 2, 3, 4, 5].map((n) => client.start(innocent, n, { id: `good ${n}` })));
    // Last in line, so that a worker that took several suspects at once would have them all when it dies.
    const bad = await client.start(poison, undefined, { id: "bad" });
    for (let crash = 1; crash <= 20 && (await bad.describe()).status !== "parked"; crash++) {
      await lab.time.until(async () => !enginesOf.has("current") || (await bad.describe()).status === "parked");
      if (!enginesOf.has("current")) await launchCurrent();
    }
    expect(await bad.describe()).toMatchObject({
      status: "parked",
      crashCount: 5,
      parked: { code: "poisoned", message: expect.stringContaining("5 times") },
    });
    expect(ran["poison"]).toBe(5);
    expect(await lab.time.run(Promise.all(good.map((handle) => handle.result())))).toEqual([1, 2, 3, 4, 5]);
    // A launch does not try it again, nor does what tries other parked runs every five minutes at the latest; a person does.
    await lab.time.advance(10 * 60_000);
    await launchCurrent();
    await lab.time.advance(5000);
    expect(ran["poison"]).toBe(5);
    deadly = false;
    await bad.resume();
    expect(await lab.time.run(bad.result())).toBe("survived");
  });
});
