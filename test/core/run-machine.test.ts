import { afterEach, describe, expect, it } from "vitest";
import { message, type WorkflowContext } from "perdure";
import { insideBody, runBody } from "../../src/platform/code-mark.js";
import { drained, newMachine, Recording, replay, type Code } from "../support/machine-lab.js";
import { RunMachine } from "../../src/core/run-machine.js";

const note = message<string>("note");

/** Records a run of `old`, then replays it with `now` to the end of its history. */
async function redeploy(old: Code, now: Code, events: (recording: Recording) => Promise<unknown>) {
  const recording = new Recording(old);
  await recording.start();
  await events(recording);
  return (await replay(recording, now)).state;
}

describe("code that no longer does what its history says", () => {
  let caught = 0;
  afterEach(() => {
    caught = 0;
  });
  /** Catches and cleans up: none of it may run. */
  const careful =
    (code: Code): Code =>
    async (ctx: WorkflowContext) => {
      try {
        return await code(ctx, undefined);
      } catch (error) {
        caught++;
        throw error;
      } finally {
        caught++;
      }
    };
  const before: Code = async (ctx) => {
    await ctx.step("charge", () => 1);
    await ctx.step("ship", () => 2);
    await ctx.sleep(1000);
  };
  const three = async (recording: Recording): Promise<void> => {
    await recording.complete(1);
    await recording.complete(2);
  };

  const changes: readonly [string, Code, string, string][] = [
    [
      "renamed",
      async (ctx) => {
        await ctx.step("pay", () => 1);
      },
      'step "charge"',
      'step "pay"',
    ],
    [
      "made another kind",
      async (ctx) => {
        await ctx.sleep(1);
      },
      'step "charge"',
      'sleep ""',
    ],
    [
      "added before others",
      async (ctx) => {
        await ctx.step("check", () => 0);
        await before(ctx, undefined);
      },
      'step "charge"',
      'step "check"',
    ],
    [
      "added beside others",
      async (ctx) => {
        await Promise.all([ctx.step("charge", () => 1), ctx.step("ship", () => 2)]);
      },
      "nothing",
      'step "ship"',
    ],
    [
      "removed",
      async (ctx) => {
        await ctx.step("charge", () => 1);
        await ctx.sleep(1000);
      },
      'step "ship"',
      'sleep ""',
    ],
    [
      "reordered",
      async (ctx) => {
        await ctx.step("ship", () => 2);
        await ctx.step("charge", () => 1);
      },
      'step "charge"',
      'step "ship"',
    ],
  ];
  it.each(changes)("is stopped at an operation that was %s", async (_, code, recorded, now) => {
    const state = await redeploy(before, careful(code), three);
    expect(state.state).toBe("diverged");
    if (state.state !== "diverged") return;
    const { message: text, report } = state.divergence;
    expect(text).toContain(recorded);
    expect(text).toContain(now);
    expect(report).toMatch(new RegExp(`recorded: ${recorded}\\n\\s+now: +${now}`));
    // The user's own line comes first.
    expect(report.slice(report.indexOf("The call:"))).toMatch(/^The call:\n\s+at .*run-machine\.test\.ts:\d+/);
    await drained();
    expect(caught).toBe(0);
  });

  it("is stopped when it ends early, in the turn where the history goes on", async () => {
    const state = await redeploy(before, async (ctx) => void (await ctx.step("charge", () => 1)), three);
    expect(state).toMatchObject({
      state: "diverged",
      divergence: { message: expect.stringMatching(/command 2 .* history has step "ship", but the code did nothing/) },
    });
  });

  it("is stopped when it asks for less in a turn", async () => {
    const both: Code = async (ctx) => void (await Promise.all([ctx.step("a", () => 1), ctx.step("b", () => 1)]));
    const state = await redeploy(
      both,
      careful(async (ctx) => void (await ctx.step("a", () => 1))),
      async (recording) => void (await recording.complete(1)),
    );
    expect(state).toMatchObject({
      state: "diverged",
      divergence: { message: expect.stringContaining('step "b", but the code did nothing') },
    });
    expect(caught).toBe(0);
  });

  it("goes on where it fits, with what is new after the end of the history", async () => {
    const state = await redeploy(
      before,
      async (ctx) => {
        await before(ctx, undefined);
        await ctx.step("new", () => 3);
      },
      three,
    );
    expect(state).toEqual({ state: "waiting" });
  });
});

describe("code that waits for something that is not durable", () => {
  const foreigns: readonly [string, () => Promise<unknown>][] = [
    ["a timer", () => new Promise((resolve) => void setTimeout(resolve, 1))],
    ["an immediate", () => new Promise((resolve) => void setImmediate(resolve))],
    ["a file", async () => (await import("node:fs/promises")).readFile(new URL(import.meta.url))],
    ["a timer that fails", () => new Promise((_, reject) => void setTimeout(() => reject(new Error("late")), 1))],
  ];
  const ends: readonly [string, Code][] = [
    ["calls ctx", async (ctx) => void (await ctx.step("after", () => 1))],
    ["returns", async () => 1],
    [
      "throws",
      async () => {
        throw new Error("after");
      },
    ],
  ];

  it.each(foreigns.flatMap(([what, wait]) => ends.map(([then, after]) => [what, then, wait, after] as const)))(
    "%s, then %s: parked after the turn, and none of its code is told",
    async (_what, _then, wait, after) => {
      let caught = 0;
      const recording = new Recording(async (ctx, input) => {
        await ctx.step("before", () => 1);
        await wait();
        try {
          return await after(ctx, input);
        } catch (error) {
          // Only the code's own error may come by.
          if ((error as Error).message !== "after") caught++;
          throw error;
        }
      });
      await recording.start();
      const { outcome, commands } = await recording.complete(1);
      expect(outcome).toMatchObject({ state: "diverged", divergence: { message: expect.stringContaining("not durable") } });
      expect(commands).toEqual([]);
      await new Promise((resolve) => void setTimeout(resolve, 5));
      expect(caught).toBe(0);
    },
  );

  it("is caught at its next use of ctx when something durable is pending as well, and the driver is told at once", async () => {
    let frozen = 0;
    let caught = 0;
    let goOn = (): void => undefined;
    const machine = newMachine(
      async (ctx) => {
        void ctx.step("beside", () => 1);
        await new Promise<void>((resolve) => (goOn = resolve));
        await ctx.sleep(1).catch(() => caught++);
      },
      () => frozen++,
    );
    machine.begin({ kind: "started", at: 1, input: undefined }, 1, undefined);
    await drained();
    expect(machine.end(false).outcome).toEqual({ state: "waiting" });
    goOn();
    await drained();
    expect({ frozen, caught }).toEqual({ frozen: 1, caught: 0 });
    expect(machine.divergence?.message).toContain('called ctx for sleep ""');
    expect(machine.divergence?.report).toMatch(/Noticed at:\n\s+at .*run-machine\.test\.ts/);
  });

  it("is not confused with code that listens for a cancel", async () => {
    const recording = new Recording(async (ctx) => {
      await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
      return "cleaned up";
    });
    expect((await recording.start()).outcome).toEqual({ state: "waiting" });
    expect((await recording.cancel()).outcome).toEqual({ state: "completed", result: '"cleaned up"' });
  });
});

describe("ctx inside a step body", () => {
  const uses: readonly [string, (ctx: WorkflowContext) => unknown][] = [
    ["step", (ctx) => ctx.step("inner", () => 1)],
    ["sleep", (ctx) => ctx.sleep(1)],
    ["receive", (ctx) => ctx.receive(note)],
    ["random", (ctx) => ctx.random()],
    ["uuid", (ctx) => ctx.uuid()],
    ["now", (ctx) => ctx.now()],
    ["log", (ctx) => ctx.log.info("hello")],
  ];
  it.each(uses)("throws at once, after an await and during another turn: %s", async (_, use) => {
    let context: WorkflowContext | undefined;
    const machine = new RunMachine({
      run: async (ctx) => {
        context = ctx;
        await ctx.step("outer", () => 1);
      },
      facts: { id: "w", runId: "r", name: "w", version: undefined, attempt: 1, deadlineAt: null },
      encodeError: String,
      encode: () => "null",
      insideBody,
    });
    machine.begin({ kind: "started", at: 1, input: undefined }, 1, undefined);
    await drained();
    machine.end(false);
    const errors: unknown[] = [];
    const body = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        try {
          await use(context as WorkflowContext);
          errors.push("nothing");
        } catch (error) {
          errors.push((error as { code?: string }).code);
        }
        if (i === 1) machine.begin({ kind: "attempt_failed", at: 2, command: 1, attempt: 1, retryAt: 3 }, 2, undefined);
        await Promise.resolve();
      }
    };
    await new Promise<void>((resolve) => runBody(() => void body().then(resolve)));
    expect(errors).toEqual(["context_misuse", "context_misuse", "context_misuse"]);
    expect(machine.end(false)).toMatchObject({ commands: [], outcome: { state: "waiting" } });
  });
});

describe("cancelling", () => {
  it("fires the abort listeners first, then rejects in command order, all in one turn", async () => {
    const order: string[] = [];
    const recording = new Recording(async (ctx) => {
      ctx.signal.addEventListener("abort", () => order.push("listener 1"));
      const told = (name: string) => (error: unknown) => void order.push(`${name}: ${String(error)}`);
      const third = ctx.step("third", () => 1);
      const first = ctx.scope(async (inner) => {
        inner.signal.addEventListener("abort", () => order.push("listener 2"));
        await inner.sleep(1).catch(told("in scope"));
      });
      const waits = [ctx.receive(note).catch(told("receive")), third.catch(told("step")), first];
      await Promise.all(waits);
      await ctx.step("afterwards", () => 1).catch(told("refused"));
      throw ctx.signal.reason;
    });
    await recording.start();
    const { outcome, commands, withdrawn } = await recording.cancel("no more");
    const error = "CancelledError: The run was cancelled: no more";
    expect(order).toEqual(["listener 1", "listener 2", `step: ${error}`, `in scope: ${error}`, `receive: ${error}`, `refused: ${error}`]);
    expect(withdrawn.map(({ number }) => number)).toEqual([1, 2, 3]);
    expect(commands).toEqual([]);
    expect(outcome.state).toBe("cancelled");
  });

  it("does not reach behind a shield, and late results of what it withdrew are dropped", async () => {
    const recording = new Recording(async (ctx) => {
      try {
        await ctx.step("work", () => 1);
      } finally {
        await ctx.shield((inner) => inner.step("release", () => 1));
      }
    });
    await recording.start();
    expect((await recording.cancel()).commands).toMatchObject([{ kind: "step", name: "release", number: 2 }]);
    expect((await recording.complete(1)).outcome).toEqual({ state: "waiting" });
    expect((await recording.complete(2)).outcome.state).toBe("cancelled");
  });

  it("that the code swallows leaves a run that completed; another error makes it failed", async () => {
    const swallow = new Recording(async (ctx) => ctx.sleep(1000).catch(() => "early"));
    await swallow.start();
    expect((await swallow.cancel()).outcome).toEqual({ state: "completed", result: '"early"' });
    const replace = new Recording(async (ctx) => ctx.sleep(1000).catch(() => Promise.reject(new Error("instead"))));
    await replace.start();
    expect((await replace.cancel()).outcome).toMatchObject({ state: "failed" });
  });
});

describe("scopes", () => {
  it("time out as one: what they wait for rejects, what is beside them goes on", async () => {
    const recording = new Recording(async (ctx) => {
      const beside = ctx.step("beside", () => 1);
      const limited = ctx.scope((inner) => Promise.all([inner.step("a", () => 1), inner.sleep(5000)]), { timeout: 100 }).catch(String);
      return [await limited, await beside];
    });
    await recording.start();
    const { withdrawn, outcome } = await recording.fire(2);
    expect(withdrawn.map(({ number }) => number)).toEqual([3, 4]);
    expect(outcome).toEqual({ state: "waiting" });
    expect((await recording.complete(1, "one")).outcome).toMatchObject({
      result: '["TimeoutError: The scope took longer than its timeout.","one"]',
    });
  });

  it("cancel what they leave behind, and their timer", async () => {
    const recording = new Recording(async (ctx) => {
      await ctx.scope(
        async (inner) => {
          void inner.sleep(5000);
          await inner.step("a", () => 1);
        },
        { timeout: 100 },
      );
      await ctx.step("after", () => 1);
    });
    await recording.start();
    const { withdrawn } = await recording.complete(3);
    expect(withdrawn.map(({ kind }) => kind).sort()).toEqual(["scope_timeout", "sleep"]);
    expect([...recording.machine.pending.keys()]).toEqual([4]);
  });

  it("refuse use of their ctx after their end, and a function that uses the outer ctx only", async () => {
    const recording = new Recording(async (ctx) => {
      let leaked: WorkflowContext | undefined;
      await ctx.scope(async (inner) => {
        leaked = inner;
        await inner.sleep(1);
      });
      const late = await leaked?.step("late", () => 1).catch((error) => (error as { code: string }).code);
      const outer = await ctx.scope(() => ctx.sleep(1)).catch((error) => (error as { code: string }).code);
      return [late, outer];
    });
    await recording.start();
    await recording.fire(1);
    expect((await recording.fire(2)).outcome).toMatchObject({ result: '["context_misuse","context_misuse"]' });
  });

  it("begin cancelled inside of one that is, and shielded ones do not", async () => {
    const recording = new Recording(async (ctx) => {
      await ctx.sleep(1000).catch(() => undefined);
      const inner = await ctx.scope((one) => one.sleep(1)).catch(String);
      const shielded = await ctx.shield((one) => one.step("clean", () => 1));
      return [inner, shielded];
    });
    await recording.start();
    expect((await recording.cancel("stop")).commands).toMatchObject([{ name: "clean" }]);
    expect((await recording.complete(2, "cleaned")).outcome).toMatchObject({
      result: '["CancelledError: The run was cancelled: stop","cleaned"]',
    });
  });
});

describe("a turn", () => {
  it("settles one promise: branches move one event at a time, in the order of the history", async () => {
    const order: string[] = [];
    const recording = new Recording(async (ctx) => {
      const branch = async (name: string): Promise<void> => {
        for (let i = 0; i < 2; i++) {
          await ctx.step(name, () => 1);
          order.push(`${name}${i}`);
        }
      };
      await Promise.all([branch("a"), branch("b")]);
    });
    await recording.start();
    await recording.complete(2);
    await recording.complete(3);
    await recording.complete(1);
    expect(order).toEqual(["b0", "b1", "a0"]);
    expect((await recording.complete(4)).outcome.state).toBe("completed");
  });

  it("keeps log lines for after the commit, and none on replay", async () => {
    const code: Code = async (ctx) => {
      ctx.log.info("begun", { a: 1 });
      await ctx.step("a", () => 1);
      ctx.log.warn("done");
    };
    const recording = new Recording(code);
    expect((await recording.start()).logs).toEqual([{ level: "info", message: "begun", data: { a: 1 } }]);
    expect((await recording.complete(1)).logs).toMatchObject([{ level: "warn" }]);
    const { machine } = await replay(recording, code);
    expect(machine.end(false).logs).toEqual([]);
  });

  it("fails a run whose result cannot be stored", async () => {
    const recording = new Recording(async () => 1n);
    expect((await recording.start()).outcome).toMatchObject({ state: "failed", error: expect.any(TypeError) });
  });
});
