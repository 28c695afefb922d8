import { expect, it } from "vitest";
import { message, NonRetryableError, RetryAfterError, RunFailedError, workflow, type WorkflowContext } from "perdure";
import { onEveryBackend } from "../support/lab.js";

class CardError extends Error {
  override readonly name = "CardError";
  readonly card: string;
  constructor(text: string, card: string, options?: ErrorOptions) {
    super(text, options);
    this.card = card;
  }
}

const go = message("go");

onEveryBackend("steps", (lab) => {
  it("run once: a result that is recorded survives restarts", async () => {
    const ran: string[] = [];
    const wf = workflow("once", async (ctx) => {
      const a = await ctx.step("a", () => (ran.push("a"), { n: 1, at: new Date(7) }));
      await ctx.receive(go);
      const b = await ctx.step("b", async () => (ran.push("b"), a.n + 1));
      return [a, b] as const;
    });
    let engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    for (let round = 0; round < 3; round++) {
      await lab.waits(engine.get("1"), "message");
      engine = await lab.restart(engine, { workflows: [wf] });
    }
    await engine.get("1").send(go);
    expect(await lab.time.run(engine.get(wf, "1").result())).toEqual([{ n: 1, at: new Date(7) }, 2]);
    expect(ran).toEqual(["a", "b"]);
    expect((await engine.get("1").history()).map((event) => event.kind)).toEqual([
      "started",
      "operation_completed",
      "message_received",
      "operation_completed",
      "run_completed",
    ]);
  });

  it("run again after a crash in the middle, as the same attempt with the same key", async () => {
    const seen: { readonly attempt: number; readonly idempotencyKey: string }[] = [];
    let release = (): void => undefined;
    const wf = workflow("crash", (ctx) =>
      ctx.step("slow", ({ attempt, idempotencyKey }) => {
        seen.push({ attempt, idempotencyKey });
        return seen.length === 1 ? new Promise<string>((resolve) => void (release = () => resolve("first"))) : "second";
      }),
    );
    const dying = await lab.launch({ workflows: [wf] });
    await dying.start(wf, undefined, { id: "1" });
    await lab.time.until(() => seen.length === 1);
    lab.kill(dying);
    const engine = await lab.launch({ workflows: [wf] });
    const result = engine.get(wf, "1").result();
    await lab.time.until(() => seen.length === 2);
    // What the dead process gives now is nobody's any more.
    release();
    expect(await lab.time.run(result)).toBe("second");
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]?.attempt).toBe(1);
  });

  it("count attempts and keep their back-off over restarts", async () => {
    const attempts: { readonly attempt: number; readonly atMs: number; readonly key: string }[] = [];
    const wf = workflow("retry", (ctx) =>
      ctx.step(
        "flaky",
        ({ attempt, idempotencyKey }) => {
          attempts.push({ attempt, atMs: lab.time.now(), key: idempotencyKey });
          if (attempt < 4) throw new Error(`attempt ${attempt}`);
          return "done";
        },
        { retry: { attempts: 4, backoff: "10s", factor: 3 } },
      ),
    );
    let engine = await lab.launch({ workflows: [wf] });
    await engine.start(wf, undefined, { id: "1" });
    await lab.time.until(() => attempts.length === 1);
    engine = await lab.restart(engine, { workflows: [wf] });
    await lab.time.until(() => attempts.length === 2);
    await lab.time.advance(1000);
    engine = await lab.restart(engine, { workflows: [wf] });
    expect(await lab.time.run(engine.get("1").result())).toBe("done");
    expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(new Set(attempts.map(({ key }) => key)).size).toBe(1);
    // 10 s, 30 s, 60 s (the longest), each shortened by up to a fifth, and late by what a poll takes.
    for (const [index, fullMs] of [10_000, 30_000, 60_000].entries()) {
      const waited = attempts[index + 1]!.atMs - attempts[index]!.atMs;
      expect(waited).toBeGreaterThanOrEqual(fullMs * 0.8);
      expect(waited).toBeLessThan(fullMs + 1500);
    }
  });

  it("give up after the last attempt, with the error that it threw", async () => {
    let ran = 0;
    const wf = workflow("fail", (ctx) =>
      ctx.step("bad", () => Promise.reject(new TypeError(`no ${++ran}`)), { retry: { attempts: 3, backoff: 10 } }),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const error: unknown = await lab.time.run(engine.execute(wf, undefined, { id: "1" }).catch((thrown: unknown) => thrown));
    expect(error).toBeInstanceOf(RunFailedError);
    expect(error).toMatchObject({ code: "run_failed", cause: expect.any(TypeError) });
    expect((error as RunFailedError).cause).toMatchObject({ message: "no 3" });
    expect(ran).toBe(3);
  });

  it("stop at errors that are not worth another attempt", async () => {
    const ran = { nonRetryable: 0, property: 0, when: 0, none: 0 };
    const wf = workflow("stop", async (ctx) => {
      const caught: string[] = [];
      const attempt = async (step: Promise<unknown>): Promise<void> => {
        await step.catch((error: unknown) => void caught.push(`${(error as Error).name}: ${(error as Error).message}`));
      };
      await attempt(ctx.step("a", () => (ran.nonRetryable++, Promise.reject(new NonRetryableError("declined")))));
      await attempt(ctx.step("b", () => (ran.property++, Promise.reject(Object.assign(new Error("marked"), { retryable: false })))));
      await attempt(
        ctx.step("c", () => (ran.when++, Promise.reject(new Error(ran.when < 3 ? "again" : "final"))), {
          retry: { attempts: 10, backoff: 1, when: (error) => (error as Error).message === "again" },
        }),
      );
      await attempt(ctx.step("d", () => (ran.none++, Promise.reject(new Error("only one"))), { retry: { attempts: 1 } }));
      return caught;
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toEqual([
      "NonRetryableError: declined",
      "Error: marked",
      "Error: final",
      "Error: only one",
    ]);
    expect(ran).toEqual({ nonRetryable: 1, property: 1, when: 3, none: 1 });
  });

  it("wait as long as a RetryAfterError asks", async () => {
    const at: number[] = [];
    const wf = workflow("after", (ctx) =>
      ctx.step("limited", () => {
        at.push(lab.time.now());
        if (at.length === 1) throw new RetryAfterError("rate limited", "45s");
        return at.length;
      }),
    );
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toBe(2);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(45_000);
    expect(at[1]! - at[0]!).toBeLessThan(46_000);
  });

  it("end an attempt at its timeout, with the signal, and try again", async () => {
    const reasons: unknown[] = [];
    const wf = workflow("timeout", (ctx) =>
      ctx.step(
        "hangs",
        ({ signal, attempt }) =>
          attempt === 2
            ? "in time"
            : new Promise<string>((resolve) => {
                signal.addEventListener("abort", () => {
                  reasons.push(signal.reason);
                  resolve("too late");
                });
              }),
        { timeout: "5s", retry: { backoff: "1s" } },
      ),
    );
    const engine = await lab.launch({ workflows: [wf] });
    const startedMs = lab.time.now();
    expect(await lab.time.run(engine.execute(wf, undefined, { id: "1" }))).toBe("in time");
    expect(lab.time.now() - startedMs).toBeGreaterThanOrEqual(5800);
    expect(reasons).toEqual([expect.objectContaining({ code: "timeout" })]);
    const failed = (await engine.get("1").history()).find((event) => event.kind === "attempt_failed");
    expect(failed).toMatchObject({ attempt: 1, data: { code: "timeout" } });
  });

  it("have keys of their own, one for each step of each run", async () => {
    const wf = workflow("keys", (ctx) => Promise.all(["a", "a"].map((name) => ctx.step(name, ({ idempotencyKey }) => idempotencyKey))));
    const engine = await lab.launch({ workflows: [wf] });
    const keys = (await Promise.all([1, 2].map(() => lab.time.run(engine.execute(wf))))).flat();
    expect(new Set(keys).size).toBe(4);
  });

  it("take bodies that throw at once, and things that are no errors", async () => {
    const odd: readonly unknown[] = ["plain text", undefined, null, 42, { code: "E1", nested: { why: "this" } }, Symbol("s")];
    const wf = workflow("odd", async (ctx) => {
      const seen: unknown[] = [];
      for (const [index, thrown] of odd.entries()) {
        const step = ctx.step(
          `odd ${index}`,
          () => {
            throw thrown;
          },
          { retry: { attempts: 1 } },
        );
        await step.catch((error: unknown) => void seen.push(error instanceof Error ? [error.message, error.cause] : error));
      }
      return seen as (readonly [string, unknown])[];
    });
    const engine = await lab.launch({ workflows: [wf] });
    const seen = await lab.time.run(engine.execute(wf));
    expect(seen).toHaveLength(odd.length);
    for (const [index, hint] of ["plain text", "undefined", "null", "42", "object", "Symbol(s)"].entries())
      expect(seen[index]?.[0]).toContain(hint);
    expect(seen[4]?.[1]).toEqual(odd[4]);
  });

  it("refuse a result that cannot be stored where it is awaited, and the run goes on", async () => {
    const wf = workflow("unserializable", async (ctx) => {
      const error: unknown = await ctx
        .step("bad", () => ({ list: [1, { callback: () => 1 }] }))
        .then(
          () => "no error",
          (thrown: unknown) => thrown,
        );
      const { code, message: text } = error as { code: string; message: string };
      return { code, text, after: await ctx.step("good", () => "fine") };
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    const result = await lab.time.run(handle.result());
    expect(result).toMatchObject({ code: "unserializable", after: "fine" });
    expect(result.text).toMatch(/step "bad"/);
    expect(result.text).toMatch(/list\[1\]\.callback/);
    expect((await handle.describe()).status).toBe("completed");
  });

  it("throw registered classes with their cause, the same live and on replay", async () => {
    const seen: unknown[] = [];
    const look = (error: unknown): unknown =>
      error instanceof CardError && error.cause instanceof RangeError
        ? { card: error.card, cause: error.cause.message, text: error.message }
        : `not so: ${String(error)}`;
    const wf = workflow("classes", async (ctx) => {
      try {
        await ctx.step("charge", () => Promise.reject(new CardError("declined", "4242", { cause: new RangeError("limit") })), {
          retry: { attempts: 1 },
        });
      } catch (error) {
        seen.push(look(error));
        await ctx.receive(go);
        throw error;
      }
    });
    const options = { workflows: [wf], errors: [CardError] };
    let engine = await lab.launch(options);
    await engine.start(wf, undefined, { id: "1" });
    await lab.waits(engine.get("1"), "message");
    engine = await lab.restart(engine, options);
    await engine.get("1").send(go);
    const failure: unknown = await lab.time.run(
      engine
        .get("1")
        .result()
        .catch((error: unknown) => error),
    );
    const expected = { card: "4242", cause: "limit", text: "declined" };
    expect(seen).toEqual([expected, expected]);
    expect(look((failure as Error).cause)).toEqual(expected);
    const stranger = await lab.connect();
    const told: unknown = await lab.time.run(
      stranger
        .get("1")
        .result()
        .catch((error: unknown) => error),
    );
    expect((told as Error).cause).toMatchObject({ name: "CardError", message: "declined", card: "4242" });
  });

  it("refuse ctx inside a body, and the run goes on", async () => {
    const wf = workflow("nested", async (ctx) => {
      const inner = (own: WorkflowContext) => own.step("inner", () => 1);
      const code = await ctx
        .step("outer", async () => inner(ctx), { retry: { attempts: 1 } })
        .then(String, (error: unknown) => (error as { code: string }).code);
      return [code, await ctx.step("after", () => "fine")];
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toEqual(["context_misuse", "fine"]);
  });

  it("give workflow code what is stored, not what the body holds on to", async () => {
    const shared = { list: [1] };
    const wf = workflow("decoded", async (ctx) => {
      const first = await ctx.step("a", () => shared);
      shared.list.push(2);
      return { same: first === (shared as unknown), list: first.list };
    });
    const engine = await lab.launch({ workflows: [wf] });
    expect(await lab.time.run(engine.execute(wf))).toEqual({ same: false, list: [1] });
  });
});
