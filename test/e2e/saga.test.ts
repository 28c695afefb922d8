import { expect, it } from "vitest";
import { message, workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message("go");

onEveryBackend("compensation", (lab) => {
  const trip = (log: string[]) =>
    workflow("trip", async (ctx, failAt: string) => {
      for (const part of ["flight", "hotel", "car"]) {
        ctx.compensate(`cancel ${part}`, () => void log.push(`cancel ${part}`));
        await ctx.step(
          `book ${part}`,
          () => {
            if (part === failAt) throw new Error(`no ${part}`);
            log.push(`book ${part}`);
          },
          { retry: { attempts: 1 } },
        );
      }
      await ctx.receive(go);
      return "booked";
    });

  it("undoes the last first when the run fails, and the run fails with what it failed of", async () => {
    const log: string[] = [];
    const wf = trip(log);
    const engine = await lab.launch({ workflows: [wf] });
    await expect(lab.time.run(engine.execute(wf, "car"))).rejects.toThrow("no car");
    expect(log).toEqual(["book flight", "book hotel", "cancel car", "cancel hotel", "cancel flight"]);
  });

  it("runs after a cancel, which does not reach it", async () => {
    const log: string[] = [];
    const wf = trip(log);
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, "");
    await lab.waits(handle, "message");
    await handle.cancel("changed my mind");
    await expect(lab.time.run(handle.result())).rejects.toMatchObject({ code: "cancelled" });
    expect(log.slice(3)).toEqual(["cancel car", "cancel hotel", "cancel flight"]);
  });

  it("does not run when all goes well", async () => {
    const log: string[] = [];
    const wf = trip(log);
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, "", { send: [go.of()] });
    expect(await lab.time.run(handle.result())).toBe("booked");
    expect(log).toEqual(["book flight", "book hotel", "book car"]);
  });

  it("goes on when one of them fails for good, and says so", async () => {
    const log: string[] = [];
    const wf = workflow("w", async (ctx) => {
      ctx.compensate("first", () => void log.push("first"));
      ctx.compensate(
        "second",
        () => {
          throw new Error("cannot undo");
        },
        { retry: { attempts: 2, backoff: 10 } },
      );
      throw new Error("the cause");
    });
    const engine = await lab.launch({ workflows: [wf] });
    await expect(lab.time.run(engine.execute(wf))).rejects.toThrow("the cause");
    expect(log).toEqual(["first"]);
    expect(lab.logs.filter(({ level }) => level === "error").map(({ message: text }) => text)).toEqual([
      expect.stringContaining('"second" failed'),
    ]);
  });

  it("goes on elsewhere when its process dies in the middle, each step recorded once", async () => {
    const log: string[] = [];
    const hang = { now: true };
    const wf = workflow("w", async (ctx) => {
      ctx.compensate("a", () => void log.push("a"));
      ctx.compensate("b", ({ signal }) => {
        log.push("b");
        return hang.now ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))) : undefined;
      });
      ctx.compensate("c", () => void log.push("c"));
      throw new Error("the cause");
    });
    const first = await lab.launch({ workflows: [wf] });
    await first.start(wf, undefined, { id: "w" });
    await lab.time.until(() => log.includes("b"));
    lab.kill(first);
    hang.now = false;
    const second = await lab.launch({ workflows: [wf] });
    await expect(lab.time.run(second.get("w").result())).rejects.toThrow("the cause");
    expect(log).toEqual(["c", "b", "b", "a"]);
  });
});
