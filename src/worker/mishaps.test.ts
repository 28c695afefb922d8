import { describe, expect, it } from "vitest";
import { activity, message, workflow, type PayloadCodec, type RunInfo } from "perdure";
import { launchWith } from "../../src/api/launch.js";
import { memoryOn } from "../../src/backends/memory/memory.js";
import { createMemoryState } from "../../src/backends/memory/state.js";
import { faultyBackend, refusal, type Faults } from "../../test/support/faulty-backend.js";
import { gate, openFaulty, unhandledDuring } from "../../test/support/faulty-engine.js";
import { virtualTime } from "../../test/support/virtual-time.js";

const hello = message<string>("hello");

describe("a launch that fails half-way", () => {
  it("leaves no timer, no lease and no open store behind", async () => {
    const [time, state] = [virtualTime(), createMemoryState()];
    const backend = faultyBackend(memoryOn(state), { retryParked: () => Promise.reject(refusal()) });
    const launching = launchWith({ backend, workflows: [] }, time.runtime());
    await expect(time.run(launching)).rejects.toMatchObject({ code: "backend_failed" });
    expect([time.timers(), state.workers.size]).toEqual([0, 0]);
  });
});

describe("the timeout of a delayed start", () => {
  it("counts from when the run begins", async () => {
    const wf = workflow("w", (ctx) => ctx.sleep("5 minutes"), { timeout: "10 minutes" });
    const { time, engine } = await openFaulty({ workflows: [wf] });
    const [now, handle] = [time.now(), await engine.start(wf, undefined, { id: "1", delay: "1 hour" })];
    expect((await handle.describe()).deadline).toEqual(new Date(now + 70 * 60_000));
    const late = await engine.start(wf, undefined, { id: "2", delay: new Date(now - 3_600_000) });
    expect((await late.describe()).deadline).toEqual(new Date(now + 10 * 60_000));
    expect(await time.run(Promise.all([handle.result(), late.result()]))).toEqual([undefined, undefined]);
  });
});

describe("a close", () => {
  it("waits for an activity no longer than the activity takes", async () => {
    const work = gate();
    const act = activity("a", () => work.opened);
    const wf = workflow("w", (ctx) => ctx.activity(act));
    const { time, engine } = await openFaulty({ workflows: [wf], activities: [act] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await time.advance(1000);
    const beganMs = time.now();
    const closing = engine.close({ grace: "1 hour" });
    await time.settle();
    work.open();
    await time.run(closing);
    expect(time.now() - beganMs).toBeLessThan(1000);
    await expect(handle.describe()).rejects.toMatchObject({ code: "closed" });
  });
});

describe("a history whose last lines are missing, as on a replica that lags behind", () => {
  it("parks the run until they are there, and nothing that is recorded is done again", async () => {
    let [isStale, steps] = [true, 0];
    const wf = workflow("w", async (ctx) => {
      await ctx.step("a", () => void (steps += 1));
      await ctx.sleep("1 hour");
      return steps;
    });
    const faults: Faults = { loadHistory: async (next) => (await next()).filter(({ seq }) => !isStale || seq < 2) };
    const { time, engine } = await openFaulty({ workflows: [wf], warmRuns: 0, faults });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await time.advance(3_601_000);
    expect((await handle.describe()).parked).toMatchObject({ code: "internal", message: expect.stringContaining("1 of the 2 lines") });
    isStale = false;
    expect(await time.run(handle.result())).toBe(1);
  });
});

describe("a message that this process cannot read", () => {
  it("parks the run that gets it while a body is in flight, and ends no process", async () => {
    const work = gate();
    const wf = workflow("w", async (ctx) => {
      await ctx.step("a", () => work.opened);
      return ctx.receive(hello);
    });
    const { time, engine, other } = await openFaulty({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    const unhandled = await unhandledDuring(async () => {
      const item = {
        kind: "message",
        name: "hello",
        command: null,
        attempt: null,
        payload: Uint8Array.of(1, 2, 3),
        options: null,
      } as const;
      await other.apply([{ type: "send", target: { workflowId: "1" }, item, dedupeKey: "k", claimFor: null }]);
      await time.advance(3000);
    });
    expect(unhandled).toEqual([]);
    expect((await handle.describe()).parked).toMatchObject({ code: "undecodable" });
  });
});

describe("a codec chain that fails for a while", () => {
  it.each(["step", "activity"] as const)("has the body of a %s run again when it can", async (kind) => {
    let down = false;
    const sealing: PayloadCodec = {
      name: "key-service",
      optional: false,
      async encode(bytes) {
        if (down) throw new Error("no key");
        return Uint8Array.of(7, ...bytes);
      },
      decode: (bytes) => Promise.resolve(bytes.slice(1)),
    };
    let ran = 0;
    const body = (): number => {
      down = ++ran === 1;
      return ran;
    };
    const act = activity("a", body);
    const wf = workflow("w", (ctx) => (kind === "step" ? ctx.step("a", body) : ctx.activity(act)));
    const { time, engine, warnings } = await openFaulty({ workflows: [wf], activities: [act], codec: [sealing] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await time.advance(500);
    expect(warnings.length).toBeGreaterThan(0);
    down = false;
    expect(await time.run(handle.result({ timeout: "1 minute" }))).toBe(2);
  });
});

describe("a logger that throws", () => {
  it("changes nothing for runs", async () => {
    const broken = (): never => {
      throw new TypeError("Do not know how to serialize a BigInt");
    };
    const wf = workflow("w", async (ctx) => {
      ctx.log.info("began", { amount: 1n });
      return ctx.step("a", () => 1);
    });
    const said: unknown[] = [];
    const original = console.warn;
    console.warn = (...values: unknown[]) => void said.push(values);
    try {
      const logger = { debug: broken, info: broken, warn: broken, error: broken };
      const { time, engine } = await openFaulty({ workflows: [wf], logger });
      expect(await time.run(engine.execute(wf, undefined, { id: "1" }))).toBe(1);
    } finally {
      console.warn = original;
    }
    expect(said.length).toBe(1);
  });
});

describe("code that waits for something foreign", () => {
  it("is parked although a message lies unread", async () => {
    const wf = workflow("w", () => new Promise(() => undefined));
    const { time, engine } = await openFaulty({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1", send: [hello.of("nobody asks")] });
    await time.settle();
    expect((await handle.describe()).status).toBe("parked");
  });
});

describe("code that catches its cancellation in a loop", () => {
  it("is parked rather than left to hold up the process for ever", async () => {
    const wf = workflow("w", async (ctx) => {
      for (;;) {
        try {
          await ctx.sleep("1 minute");
        } catch {
          // As careless code does.
        }
      }
    });
    const { time, engine } = await openFaulty({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await handle.cancel();
    await time.until(async () => (await handle.describe()).status === "parked");
    expect((await handle.describe()).parked?.message).toContain('sleep "" again and again');
  });
});

describe("a history that never ends", () => {
  it("parks its run at the limit, for good, before nobody can replay it any more", async () => {
    const wf = workflow("w", async (ctx) => {
      for (;;) await ctx.sleep(0);
    });
    const { time, engine, state } = await openFaulty({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    const look = async (): Promise<RunInfo | undefined> => {
      for await (const info of engine.list()) return info;
      return undefined;
    };
    await time.until(async () => (await look())?.status === "parked");
    expect((await look())?.parked?.code).toBe("history_too_long");
    const { length } = state.histories.get(1) ?? [];
    expect(length).toBeGreaterThan(50_000);
    await time.advance(600_000);
    expect([state.runs.get(1)?.dueAt, state.histories.get(1)?.length]).toEqual([null, length]);
  });
});

describe("a retry without a wait", () => {
  it("costs one commit and gives the run up for none", async () => {
    const turns: string[] = [];
    const wf = workflow("w", (ctx) =>
      ctx.step(
        "a",
        ({ attempt }) => {
          if (attempt < 3) throw new Error("not yet");
          return attempt;
        },
        { retry: { backoff: 0 } },
      ),
    );
    const { time, engine } = await openFaulty({
      workflows: [wf],
      faults: {
        apply: (next, operations) => {
          for (const one of operations) turns.push(one.type === "turn" ? one.effects.next.state : one.type);
          return next();
        },
      },
    });
    expect(await time.run(engine.execute(wf, undefined, { id: "1" }))).toBe(3);
    expect(turns).toEqual(["start", "driving", "driving", "ended"]);
  });
});
