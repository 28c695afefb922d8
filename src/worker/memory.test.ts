import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { message, workflow, type WorkflowContext } from "perdure";
import { openFaulty } from "../../test/support/faulty-engine.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Runs 300 of a workflow that keeps an object in its closure while it does `wait`; answers how many of these objects are left in memory. */
async function kept(wait: (ctx: WorkflowContext) => Promise<unknown>, warmRuns: number): Promise<number> {
  const objects: WeakRef<object>[] = [];
  const wf = workflow("w", async (ctx) => {
    const own = { large: [ctx.info.id] };
    objects.push(new WeakRef(own));
    await wait(ctx);
    return own;
  });
  const { time, engine } = await openFaulty({ workflows: [wf], warmRuns });
  for (let index = 0; index < 300; index++) await engine.start(wf, undefined, { id: `${index}` });
  await time.advance(5000);
  collectGarbage();
  await new Promise((resolve) => void setImmediate(resolve));
  collectGarbage();
  return objects.filter((one) => one.deref() !== undefined).length;
}

describe("memory", () => {
  it("holds no run that only sleeps: it is a row", async () => {
    expect(await kept((ctx) => ctx.sleep("1 day"), 1000)).toBeLessThan(5);
  });

  it("holds as many runs that wait for messages as it may, and no more", async () => {
    const left = await kept((ctx) => ctx.receive(message("go")), 100);
    expect(left).toBeGreaterThanOrEqual(100);
    expect(left).toBeLessThan(105);
  });

  it("holds no run that has ended", async () => {
    expect(await kept((ctx) => ctx.step("a", () => 1), 1000)).toBeLessThan(5);
  });
});
