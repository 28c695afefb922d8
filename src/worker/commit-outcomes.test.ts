import { describe, expect, it } from "vitest";
import { message, workflow } from "perdure";
import { expired, lostReply, refusal, type Faults } from "../../test/support/faulty-backend.js";
import { gate, openFaulty, sendFrom, turnInto, unhandledDuring } from "../../test/support/faulty-engine.js";

const hello = message<string>("hello");

describe("what a turn asked for", () => {
  it("is done once the turn is committed, and not before", async () => {
    const [held, said] = [gate(), [] as string[]];
    const logger = { debug() {}, info: (text: string) => void said.push(text), warn() {}, error() {} };
    const faults: Faults = {};
    const wf = workflow("w", async (ctx) => {
      ctx.log.info("logged");
      await ctx.step("a", () => void said.push("body"));
    });
    const { time, engine } = await openFaulty({ workflows: [wf], faults, logger });
    faults.apply = async (next) => {
      await held.opened;
      return next();
    };
    const starting = engine.execute(wf, undefined, { id: "1" });
    await time.advance(1000);
    expect(said).toEqual([]);
    held.open();
    await time.run(starting);
    expect(said).toEqual(["logged", "body"]);
  });
});

describe("a commit that is tried again", () => {
  // A mail that is read while the commit is tried again was not there when the driver decided to give the run up.
  it.each(["locked", "unknown"] as const)(
    "after an outcome that is %s does not claim to have seen what came meanwhile",
    async (outcome) => {
      const [work, mail] = [gate(), gate()];
      const faults: Faults = {};
      const wf = workflow("w", async (ctx) => {
        await ctx.step("work", () => work.opened);
        return ctx.receive(hello);
      });
      const { time, engine, other } = await openFaulty({ workflows: [wf], faults });
      const handle = await engine.start(wf, undefined, { id: "1" });
      await sendFrom(other, "1", "hello", "you");
      let reading = false;
      faults.loadInboxes = async (next) => {
        reading = true;
        await mail.opened;
        return next();
      };
      await time.until(() => reading);
      const seen: number[] = [];
      faults.apply = async (next, operations) => {
        const turn = turnInto(operations, "idle");
        if (turn === undefined) return next();
        seen.push(turn.effects.inboxSeen);
        if (seen.length > 1) return next();
        faults.loadInboxes = undefined;
        mail.open();
        await time.settle();
        if (outcome === "unknown") throw lostReply();
        return [{ status: "locked" }];
      };
      work.open();
      expect(await time.run(handle.result({ timeout: "1 minute" }))).toBe("you");
      expect(seen.slice(0, 2)).toEqual([0, 0]);
    },
  );
});

describe("a commit that would give a run up", () => {
  it("is not made again and again while the mail that stands against it is being read", async () => {
    const [work, mail] = [gate(), gate()];
    const faults: Faults = {};
    const wf = workflow("w", async (ctx) => {
      await ctx.step("work", () => work.opened);
      return ctx.receive(hello);
    });
    const { time, engine, other } = await openFaulty({ workflows: [wf], faults });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await sendFrom(other, "1", "hello", "you");
    let [readings, commits] = [0, 0];
    faults.loadInboxes = async (next) => {
      readings += 1;
      await mail.opened;
      return next();
    };
    await time.until(() => readings > 0);
    faults.apply = async (next) => {
      commits += 1;
      // Enough to see it: without an end, nothing else would be seen.
      if (commits > 10) mail.open();
      return next();
    };
    work.open();
    await time.advance(100);
    expect({ readings, commits }).toEqual({ readings: 1, commits: 1 });
    mail.open();
    expect(await time.run(handle.result({ timeout: "1 minute" }))).toBe("you");
  });
});

describe("a commit without an answer", () => {
  async function loseReply(what: "committed" | "not committed" | "somebody else's") {
    const faults: Faults = {};
    let ran = 0;
    const wf = workflow("w", async (ctx) => {
      const first = await ctx.step("first", () => ++ran);
      await ctx.sleep("1 minute");
      return first;
    });
    const { time, engine, other, state } = await openFaulty({ workflows: [wf], faults });
    const reclaimed: unknown[] = [];
    faults.reclaimRun = async (next) => {
      const run = await next();
      reclaimed.push(run === null ? null : run.lastSeq);
      return run;
    };
    faults.apply = async (next, operations) => {
      const turn = turnInto(operations, "idle");
      if (turn === undefined) return next();
      faults.apply = undefined;
      if (what === "committed") await next();
      if (what === "somebody else's") await other.release({ worker: state.runs.get(turn.key)?.owner ?? 0, runs: [turn.key], tasks: [] });
      throw lostReply();
    };
    const handle = await engine.start(wf, undefined, { id: "1" });
    const result = await time.run(handle.result());
    const kinds = (await handle.history()).map(({ kind }) => kind);
    expect(kinds).toEqual(["started", "operation_completed", "timer_fired", "run_completed"]);
    return { result, ran, reclaimed };
  }

  it("that had happened, and gave the run up, is left at that", async () => {
    expect(await loseReply("committed")).toEqual({ result: 1, ran: 1, reclaimed: [null] });
  });
  it("that had not happened is made again at the new epoch, without running the body again", async () => {
    expect(await loseReply("not committed")).toEqual({ result: 1, ran: 1, reclaimed: [1] });
  });
  it("of a run that somebody else has taken is forgotten", async () => {
    expect(await loseReply("somebody else's")).toEqual({ result: 2, ran: 2, reclaimed: [null] });
  });

  it("that had happened, of a run that is driven on, goes on from there", async () => {
    const faults: Faults = {};
    const ran: string[] = [];
    const wf = workflow("w", async (ctx) => {
      await ctx.step("a", () => void ran.push("a"));
      await ctx.step("b", () => void ran.push("b"));
      return ran.length;
    });
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    faults.apply = async (next, operations) => {
      const turn = turnInto(operations, "driving");
      const outcomes = await next();
      if (turn === undefined) return outcomes;
      faults.apply = undefined;
      throw lostReply();
    };
    const handle = await engine.start(wf, undefined, { id: "1" });
    expect(await time.run(handle.result())).toBe(2);
    expect(ran).toEqual(["a", "b"]);
  });

  it("whose run cannot be claimed again either ends no process, and the run goes on later", async () => {
    const faults: Faults = {};
    const wf = workflow("w", (ctx) => ctx.step("a", () => 1));
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    faults.apply = async (next, operations) => {
      if (turnInto(operations, "ended") === undefined) return next();
      faults.apply = undefined;
      throw lostReply();
    };
    faults.reclaimRun = () => Promise.reject(refusal());
    const unhandled = await unhandledDuring(async () => {
      const handle = await engine.start(wf, undefined, { id: "1" });
      expect(await time.run(handle.result({ timeout: "1 minute" }))).toBe(1);
    });
    expect(unhandled).toEqual([]);
  });
});

describe("a commit that the store refuses for good", () => {
  it("parks its run: due at once, it would run its bodies again and again", async () => {
    let ran = 0;
    const wf = workflow("w", (ctx) => ctx.step("a", () => (ran++, "poison")));
    const faults: Faults = {
      apply: (next, operations) => (turnInto(operations, "ended") === undefined ? next() : Promise.reject(refusal())),
    };
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await time.advance(4000);
    expect((await handle.describe()).parked).toMatchObject({ code: "internal", message: "refused" });
    expect(ran).toBe(1);
    delete faults.apply;
    expect(await time.run(handle.result())).toBe("poison");
  });

  it("is survived, however many other calls are refused too", async () => {
    let ran = 0;
    const wf = workflow("w", (ctx) => ctx.step("a", () => ++ran));
    const faults: Faults = {};
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    const handle = await engine.start(wf, undefined, { id: "1", send: [hello.of("you")] });
    faults.apply = (next, operations) => (operations.some(({ type }) => type === "turn") ? Promise.reject(refusal()) : next());
    faults.release = () => Promise.reject(refusal());
    const unhandled = await unhandledDuring(() => time.advance(5000));
    expect(unhandled).toEqual([]);
    delete faults.apply;
    delete faults.release;
    expect(await time.run(handle.result({ timeout: "1 hour" }))).toBe(ran);
  });
});

describe("an eager start", () => {
  it("settles when the lease is lost and then the commit's reply", async () => {
    const [held, wf] = [gate(), workflow("w", (ctx) => ctx.step("a", () => 1))];
    const faults: Faults = {};
    const { time, engine } = await openFaulty({ workflows: [wf], faults });
    let applied = false;
    faults.apply = async (next) => {
      faults.apply = undefined;
      await next();
      applied = true;
      await held.opened;
      throw lostReply();
    };
    const starting = engine.start(wf, undefined, { id: "1" });
    await time.until(() => applied);
    faults.pulse = () => Promise.resolve(expired);
    await time.advance(3000);
    delete faults.pulse;
    held.open();
    const handle = await time.run(starting);
    expect(await time.run(handle.result({ timeout: "1 minute" }))).toBe(1);
  });

  it.each(["close", "lost lease"] as const)("settles when a %s comes before its first turn", async (event) => {
    const turns: (() => void)[] = [];
    let hold = false;
    const faults: Faults = {};
    const wf = workflow("w", (ctx) => ctx.step("a", () => 1));
    const { time, engine, state } = await openFaulty({
      workflows: [wf],
      faults,
      runtime: (own) => ({ ...own, drain: (callback) => (hold ? void turns.push(callback) : own.drain(callback)) }),
    });
    hold = true;
    const starting = engine.start(wf, undefined, { id: "1" }).then(
      () => "started",
      (error: { code: string }) => error.code,
    );
    await time.until(() => turns.length > 0);
    if (event === "close") {
      await time.run(engine.close({ grace: 0 }));
    } else {
      faults.pulse = () => Promise.resolve(expired);
      await time.advance(3000);
      delete faults.pulse;
      hold = false;
      for (const turn of turns) turn();
    }
    expect(await time.run(starting)).toBe("started");
    expect(state.runs.size).toBe(1);
    if (event === "lost lease") expect(await time.run(engine.get("1").result())).toBe(1);
  });

  it("that diverges in its first turn is stored and parked", async () => {
    const wf = workflow("w", () => new Promise(() => undefined));
    const { time, engine } = await openFaulty({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await time.until(async () => (await handle.describe()).status === "parked");
    expect(await handle.history()).toEqual([]);
  });
});
