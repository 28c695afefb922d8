import { describe, expect, it } from "vitest";
import { message, workflow } from "perdure";
import { expired, type Faults } from "../../test/support/faulty-backend.js";
import { gate, openFaulty, sendFrom, turnInto } from "../../test/support/faulty-engine.js";

const hello = message<string>("hello");
const note = message<number>("note");

describe("bodies in flight", () => {
  it("of an earlier claim do not report for those of the present one", async () => {
    const gates = [gate<string>(), gate<string>()];
    const aborted: unknown[] = [];
    let ran = 0;
    const wf = workflow("w", (ctx) =>
      ctx.step("a", ({ signal }) => {
        signal.addEventListener("abort", () => aborted.push((signal.reason as { code: string }).code));
        return gates[ran++]?.opened;
      }),
    );
    const faults: Faults = {};
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    const handle = await engine.start(wf, undefined, { id: "1" });
    faults.pulse = () => Promise.resolve(expired);
    await time.advance(3000);
    delete faults.pulse;
    expect(aborted).toEqual(["lease_lost"]);
    await time.until(() => ran === 2);
    gates[0]?.open("of the earlier claim");
    await time.advance(2000);
    expect((await handle.describe()).status).toBe("running");
    gates[1]?.open("of the present one");
    expect(await time.run(handle.result())).toBe("of the present one");
  });

  it("go on while their run is rewound, and what they give then is taken", async () => {
    const [slow, quick] = [gate<string>(), gate<string>()];
    const ran: string[] = [];
    const wf = workflow("w", async (ctx) => {
      const got: string[] = [];
      const first = ctx.step("slow", () => (ran.push("slow"), slow.opened)).then((value) => got.push(value));
      void ctx.receive(hello).then((value) => got.push(value));
      got.push(await ctx.step("quick", () => (ran.push("quick"), quick.opened)));
      if (got.length > 1) await first;
      return got;
    });
    const faults: Faults = {};
    const { time, engine, other } = await openFaulty({ workflows: [wf], faults, runtime: (own) => own });
    const handle = await engine.start(wf, undefined, { id: "1" });
    let rewinds = 0;
    faults.apply = async (next, operations) => {
      if (turnInto(operations, "ended") !== undefined && rewinds === 0) await sendFrom(other, "1", "hello", "you");
      return next();
    };
    faults.reclaimRun = async (next) => {
      rewinds++;
      const claimed = await next();
      // While the run is being read again.
      slow.open("slow");
      await time.settle();
      return claimed;
    };
    quick.open("quick");
    expect(await time.run(handle.result())).toEqual(["you", "quick", "slow"]);
    expect([rewinds, ran]).toEqual([1, ["slow", "quick"]]);
  });

  it("are told of a lost lease also while their run is rewound", async () => {
    const [slow, quick, held] = [gate(), gate(), gate()];
    const reasons: unknown[] = [];
    const wf = workflow("w", (ctx) =>
      Promise.race([
        ctx.step("slow", ({ signal }) => {
          signal.addEventListener("abort", () => reasons.push((signal.reason as { code: string }).code));
          return slow.opened;
        }),
        ctx.step("quick", () => quick.opened),
      ]),
    );
    const faults: Faults = {};
    const { time, engine, other } = await openFaulty({ workflows: [wf], faults });
    await engine.start(wf, undefined, { id: "1" });
    let rewinding = false;
    faults.apply = async (next, operations) => {
      if (turnInto(operations, "ended") !== undefined && !rewinding) await sendFrom(other, "1", "hello", "you");
      return next();
    };
    faults.reclaimRun = async (next) => {
      rewinding = true;
      await held.opened;
      return next();
    };
    quick.open();
    await time.until(() => rewinding);
    faults.pulse = () => Promise.resolve(expired);
    await time.advance(3000);
    expect(reasons).toEqual(["lease_lost"]);
    delete faults.pulse;
    held.open();
  });

  it("are stopped when their run is parked, and give nothing to it", async () => {
    const [held, foreign] = [gate<string>(), gate()];
    const reasons: unknown[] = [];
    const wf = workflow("w", async (ctx) => {
      const body = ctx.step("held", ({ signal }) => {
        signal.addEventListener("abort", () => reasons.push((signal.reason as { code: string }).code));
        return held.opened;
      });
      await foreign.opened;
      await ctx.step("never", () => undefined);
      return body;
    });
    const { time, engine } = await openFaulty({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    foreign.open();
    await time.until(async () => (await handle.describe()).status === "parked");
    expect(reasons).toEqual(["lease_lost"]);
    held.open("too late");
    await time.settle();
    expect((await handle.history()).map(({ kind }) => kind)).toEqual(["started"]);
  });

  it("whose outcomes wait for a commit are recorded before a draining close", async () => {
    const [a, b, commit] = [gate<string>(), gate<string>(), gate()];
    const ran: string[] = [];
    const wf = workflow("w", (ctx) =>
      Promise.all([ctx.step("a", () => (ran.push("a"), a.opened)), ctx.step("b", () => (ran.push("b"), b.opened))]),
    );
    const faults: Faults = {};
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    const handle = await engine.start(wf, undefined, { id: "1" });
    let committing = false;
    faults.apply = async (next) => {
      committing = true;
      await commit.opened;
      return next();
    };
    a.open("a");
    await time.until(() => committing);
    b.open("b");
    await time.settle();
    const closing = engine.close({ grace: "1 minute" });
    const ended = handle.result();
    await time.settle();
    commit.open();
    expect(await time.run(ended)).toEqual(["a", "b"]);
    await time.run(closing);
    expect(ran).toEqual(["a", "b"]);
  });
});

describe("what was claimed under a lease that was lost meanwhile", () => {
  it.each(["by looking for work", "by a rewind"] as const)("%s, is not driven", async (way) => {
    const [held, quick] = [gate(), gate()];
    let ran = 0;
    const wf = workflow("w", async (ctx) => {
      if (way === "by a rewind") await ctx.step("quick", () => quick.opened);
      await ctx.step("a", () => ++ran);
      return ran;
    });
    const faults: Faults = {};
    const { time, engine, other, state } = await openFaulty({ workflows: [wf], faults });
    let answered = false;
    const slowly = async <T>(next: () => Promise<T>): Promise<T> => {
      const claimed = await next();
      await held.opened;
      answered = true;
      return claimed;
    };
    const handle = await engine.start(wf, undefined, { id: "1", ...(way === "by a rewind" ? {} : { delay: "1s" }) });
    if (way === "by a rewind") {
      faults.reclaimRun = slowly;
      let refused = false;
      faults.apply = async (next, operations) => {
        const turn = turnInto(operations, "driving");
        if (turn === undefined || refused) return next();
        refused = true;
        return [{ status: "unseen_inbox", inboxCount: 1 }];
      };
      await sendFrom(other, "1", "hello", "you");
      quick.open();
    } else {
      faults.claimRuns = async (next) => {
        const found = await next();
        return found.runs.length > 0 ? slowly(() => Promise.resolve(found)) : found;
      };
    }
    await time.advance(1500);
    const before = new Set(state.workers.keys());
    faults.pulse = () => Promise.resolve(expired);
    await time.until(() => [...state.workers.keys()].some((key) => !before.has(key)));
    delete faults.pulse;
    held.open();
    await time.until(() => answered);
    await time.settle();
    expect(ran).toBe(0);
    delete faults.claimRuns;
    delete faults.reclaimRun;
    expect(await time.run(handle.result())).toBe(1);
  });
});

describe("mail", () => {
  it("is delivered in the order of its sending, to whichever receiver waits, from memory and from the store", async () => {
    const wf = workflow("w", async (ctx) => {
      const got: number[] = [];
      await ctx.sleep("1 minute");
      for (let index = 0; index < 60; index++) {
        got.push(await ctx.receive(note));
        if (index % 20 === 10) await ctx.sleep("1 minute");
      }
      return got;
    });
    for (const warmRuns of [0, 10]) {
      const { time, engine } = await openFaulty({ workflows: [wf], warmRuns });
      const handle = await engine.start(wf, undefined, { id: "1" });
      for (let value = 0; value < 30; value++) await handle.send(note, value);
      await time.advance(90_000);
      for (let value = 30; value < 60; value++) await handle.send(note, value);
      expect(await time.run(handle.result())).toEqual(Array.from({ length: 60 }, (_, value) => value));
    }
  });

  it("that ends its run is taken by the very commit that ends it", async () => {
    const wf = workflow("w", (ctx) => ctx.receive(hello));
    const turns: string[] = [];
    const faults: Faults = {
      apply: (next, operations) => {
        for (const one of operations)
          turns.push(one.type === "turn" ? `${one.effects.next.state} took ${one.effects.consumed.join()}` : one.type);
        return next();
      },
    };
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await handle.send(hello, "you");
    expect(await time.run(handle.result())).toBe("you");
    expect(turns).toEqual(["start", "send", "ended took 1"]);
    expect((await handle.describe()).unreadMessages).toBe(0);
  });

  it("that comes in great numbers is taken in commits of a bearable size", async () => {
    const sizes: number[] = [];
    const wf = workflow("w", async (ctx) => {
      let sum = 0;
      for (let index = 0; index < 3000; index++) sum += await ctx.receive(note);
      return sum;
    });
    const faults: Faults = {
      apply: (next, operations) => {
        for (const one of operations) {
          const effects = one.type === "turn" ? one.effects : one.type === "start" ? one.eager?.effects : undefined;
          sizes.push(effects?.events.length ?? 0);
        }
        return next();
      },
    };
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    const values = Array.from({ length: 3000 }, (_, value) => value);
    const handle = await engine.start(wf, undefined, { id: "1", send: values.map((value) => note.of(value)) });
    expect(await time.run(handle.result())).toBe((2999 * 3000) / 2);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(501);
  });
});

describe("a deadline and a cancel", () => {
  const wf = workflow("w", (ctx) => ctx.sleep("1 day"));

  it("found at one look: the cancel counts, and the deadline is not delivered after it", async () => {
    const { time, engine, other } = await openFaulty({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1", timeout: "1 minute" });
    await time.settle();
    time.skip(61_000);
    const item = { kind: "cancel", name: "", command: null, attempt: null, payload: '"enough"', options: null } as const;
    await other.apply([{ type: "send", target: { workflowId: "1" }, item, dedupeKey: "cancel", claimFor: null }]);
    await expect(time.run(handle.result())).rejects.toMatchObject({ code: "cancelled" });
    expect((await handle.history()).map(({ kind }) => kind)).toEqual(["started", "cancel_requested", "run_cancelled"]);
  });

  it("the other way round: the cancel is recorded, so that the run does not go on as another one; it fails for its deadline all the same", async () => {
    const [cleanup, slow] = [
      gate(),
      workflow("slow", async (ctx) => {
        try {
          await ctx.sleep("1 day");
        } finally {
          await ctx.shield((inner) => inner.step("cleanup", () => cleanup.opened));
        }
      }),
    ];
    const { time, engine } = await openFaulty({ workflows: [slow] });
    const handle = await engine.start(slow, undefined, { id: "1", timeout: "1 minute" });
    await time.advance(70_000);
    await handle.cancel();
    cleanup.open();
    await expect(time.run(handle.result())).rejects.toMatchObject({ code: "run_failed", cause: { code: "timeout" } });
    expect((await handle.history()).map(({ kind }) => kind)).toEqual([
      "started",
      "deadline_passed",
      "cancel_requested",
      "operation_completed",
      "run_failed",
    ]);
  });
});
