import { describe, expect, it } from "vitest";
import { Recording, replay, type Code } from "../support/machine-lab.js";

describe("a scope that has ended", () => {
  it("takes the scopes with it that were left behind in it: their code goes on with nothing", async () => {
    const said: string[] = [];
    const code: Code = async (ctx) => {
      await ctx.scope(async (outer) => {
        void outer
          .scope(async (inner) => {
            await inner.sleep(1000).catch((error: Error) => said.push(error.message));
            await inner.step("unseen", () => undefined).catch((error: { code: string }) => said.push(error.code));
          })
          .catch(() => undefined);
        await outer.step("a", () => 1);
      });
      await ctx.step("b", () => 2);
      return "done";
    };
    const recording = new Recording(code);
    await recording.start();
    await recording.complete(2, 1);
    expect(said).toEqual(["The scope that started this operation has ended.", "context_misuse"]);
    expect([...recording.machine.pending.values()].map(({ command }) => command.name)).toEqual(["b"]);
    expect((await recording.complete(3, 2)).outcome).toMatchObject({ state: "completed" });
    expect((await replay(recording, code)).state).toMatchObject({ state: "completed" });
  });

  it("leaves those behind a shield to end by themselves", async () => {
    const code: Code = async (ctx) => {
      let shielded: Promise<unknown> | undefined;
      await ctx.scope(async (outer) => {
        shielded = outer.shield((inner) => inner.step("kept", () => 1));
        await outer.step("a", () => 1);
      });
      return shielded;
    };
    const recording = new Recording(code);
    await recording.start();
    await recording.complete(2);
    expect((await recording.complete(1, "kept")).outcome).toEqual({ state: "completed", result: '"kept"' });
  });

  it("costs no look at everything else that the run waits for", async () => {
    const lookedAt = { count: 0 };
    const code: Code = (ctx) =>
      Promise.all(Array.from({ length: 500 }, (_, index) => ctx.scope((inner) => inner.step(`s${index}`, () => index), { timeout: "1h" })));
    const recording = new Recording(code);
    await recording.start();
    const { pending } = recording.machine;
    const walk = pending[Symbol.iterator].bind(pending);
    pending[Symbol.iterator] = () => {
      lookedAt.count += pending.size;
      return walk();
    };
    for (let index = 0; index < 500; index++) await recording.complete(2 * index + 2, index);
    expect(recording.states.at(-1)).toMatchObject({ state: "completed" });
    expect(lookedAt.count).toBe(0);
  });
});

describe("a listener that was taken off", () => {
  it("is no reason any more to think that a cancel can wake the code", async () => {
    const code: Code = async (ctx) => {
      const listen = (): void => undefined;
      ctx.signal.addEventListener("abort", listen);
      await ctx.step("a", () => 1);
      ctx.signal.removeEventListener("abort", listen);
      await new Promise(() => undefined);
    };
    const recording = new Recording(code);
    await recording.start();
    expect((await recording.complete(1)).outcome).toMatchObject({ state: "diverged" });
  });

  it("leaves the others", async () => {
    const code: Code = async (ctx) => {
      const [listen, other] = [(): void => undefined, (): void => undefined];
      ctx.signal.addEventListener("abort", listen);
      ctx.signal.addEventListener("abort", other);
      ctx.signal.removeEventListener("abort", listen);
      await new Promise(() => undefined);
    };
    expect((await new Recording(code).start()).outcome).toEqual({ state: "waiting" });
  });
});

describe("code that goes on asking after its cancel", () => {
  const loop =
    (times: number): Code =>
    async (ctx) => {
      for (let index = 0; index < times; index++) await ctx.sleep(1000).catch(() => undefined);
      return "stopped";
    };
  it("may do so for a while", async () => {
    const recording = new Recording(loop(1000));
    await recording.start();
    expect((await recording.cancel()).outcome).toMatchObject({ state: "completed" });
  });
  it("is frozen when it does not stop", async () => {
    const recording = new Recording(loop(Infinity));
    await recording.start();
    expect((await recording.cancel()).outcome).toMatchObject({ state: "diverged" });
  });
});
