// The test engine on this runtime: the clock, mocks, real work in a step, planned calls, crashes, and a process that can end.  <runtime> tester.mjs
import assert from "node:assert/strict";
import { activity, message, workflow } from "../../dist/index.js";
import { crashEverywhere, testEngine } from "../../dist/testing/index.js";

const approved = /** @type {import("../../dist/index.js").Message<boolean>} */ (message("approved"));
const ship = activity("ship", async (/** @type {string} */ id) => `shipped ${id}`);
const order = workflow("order", async (ctx, /** @type {string} */ id) => {
  const charged = await ctx.step("charge", () => new Promise((resolve) => setTimeout(resolve, 5, `charged ${id}`)), { timeout: "1ms" });
  if (!(await ctx.receive(approved, { timeout: "3 days", otherwise: false }))) return "rejected";
  await ctx.sleep("30 days");
  return `${charged}, ${await ctx.activity(ship, id)}`;
});
const options = { workflows: [order], activities: [ship] };

const engine = await testEngine(options);
assert.equal(await engine.execute(order, "1"), "rejected");
assert.equal(engine.now().toISOString(), "2025-01-04T00:00:00.000Z");
engine.mock(ship, async () => {
  await engine.sleep("12 hours");
  return "mocked";
});
const handle = await engine.start(order, "2");
engine.at("1 day", () => handle.send(approved, true));
const result = handle.result();
await engine.advance("2 days");
assert.equal((await handle.describe()).status, "sleeping");
await engine.crash();
assert.equal(await result, "charged 2, mocked");
assert.equal(engine.now().toISOString(), "2025-02-04T12:00:00.000Z");
await engine.close();

const { crashes } = await crashEverywhere(options, (one) => one.execute(order, "3", { send: [approved.of(true)] }));
assert.ok(crashes > 10);
console.log("tester: everything works");
