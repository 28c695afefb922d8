import { expect, it } from "vitest";
import { launch, message, state, workflow } from "perdure";
import { memory } from "perdure/memory";

const go = message("go");
const progress = state<number>("progress");

it("code that asks again and again leaves the engine its turns, also where a store answers at once", async () => {
  const wf = workflow("w", async (ctx) => {
    for (const name of ["a", "b"]) await ctx.step(name, () => name);
    ctx.publish(progress, 2);
    await ctx.receive(go);
  });
  const engine = await launch({ backend: memory(), workflows: [wf] });
  const handle = await engine.start(wf);
  // Asked for so often that it fails rather than hold up the process.
  let asked = 0;
  while (asked++ < 10_000 && (await handle.read(progress)) === undefined);
  while (asked++ < 20_000 && (await handle.describe()).status !== "waiting");
  expect(await handle.read(progress)).toBe(2);
  expect(asked).toBeLessThan(10_000);
  await engine.close({ grace: 0 });
});
