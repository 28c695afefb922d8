// The whole engine on this runtime: steps, sleep, messages, an activity, a failure, a parked run, and a restart from the file.
//   <runtime> engine.mjs memory | sqlite
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { activity, isPerdureError, launch, message, NonRetryableError, workflow } from "../../dist/index.js";

const kind = process.argv[2] ?? "memory";
const folder = mkdtempSync(join(tmpdir(), "perdure-runtime-"));
const shared = kind === "memory" ? (await import("../../dist/backends/memory/index.js")).memory() : undefined;
const openSqlite = kind === "sqlite" ? (await import("../../dist/backends/sqlite/index.js")).sqlite : undefined;
const backend = () => shared ?? openSqlite?.(join(folder, "app.db")) ?? assert.fail(`no backend ${kind}`);

const approved = /** @type {import("../../dist/index.js").Message<string>} */ (message("approved"));
const shout = activity("shout", async (/** @type {string} */ text) => text.toUpperCase());
let greetings = 0;
const hello = workflow("hello", async (ctx, /** @type {string} */ name) => {
  const greeting = await ctx.step("greet", () => `hello ${name} ${++greetings}`);
  const [loud] = await Promise.all([ctx.activity(shout, greeting), ctx.sleep(20)]);
  const by = await ctx.receive(approved);
  const failure = await ctx.step("fail", () => Promise.reject(new NonRetryableError("no"))).catch(String);
  return { loud, by, failure, at: ctx.now() };
});
const inBody = workflow("in-body", async (ctx) => {
  const misuses = [];
  for (const use of [
    () => ctx.sleep(1),
    () => Promise.resolve().then(() => ctx.sleep(1)),
    () => new Promise((resolve) => setTimeout(resolve, 1)).then(() => ctx.uuid()),
  ]) {
    misuses.push(
      await ctx
        .step("misuse", async () => void (await use()), { retry: { attempts: 1 } })
        .catch((error) => String(isPerdureError(error) && error.code)),
    );
  }
  return misuses.join(" ");
});
let caught = 0;
const foreign = workflow("foreign", async (ctx) => {
  try {
    await ctx.step("one", () => 1);
    await new Promise((resolve) => void import("node:timers/promises").then(({ setTimeout: nap }) => nap(1)).then(resolve));
    await ctx.step("two", () => 2);
  } catch {
    caught++;
  }
});
const clock = workflow("clock", async (ctx) => {
  await ctx.step("allowed", () => Date.now());
  const time = Date.now();
  await ctx.sleep(time % 2);
});
const logger = { debug() {}, info() {}, warn() {}, error() {} };
const open = () => launch({ backend: backend(), workflows: [hello, inBody, foreign, clock], activities: [shout], logger, warmRuns: 0 });
/** @param {() => Promise<boolean>} condition @param {string} what */
async function until(condition, what) {
  for (const endMs = performance.now() + 10_000; !(await condition());) {
    if (performance.now() > endMs) assert.fail(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let engine = await open();
const handle = await engine.start(hello, "world", { id: "one" });
await until(async () => (await handle.describe()).waitingFor.some((one) => one.kind === "message"), "waiting for the message");
await engine.close();

engine = await open();
await engine.get(hello, "one").send(approved, "me");
const { at, ...result } = await engine.get(hello, "one").result();
assert.deepEqual(result, { loud: "HELLO WORLD 1", by: "me", failure: "NonRetryableError: no" });
assert.ok(at instanceof Date);
assert.equal(greetings, 1);

assert.equal(await engine.execute(inBody), "context_misuse context_misuse context_misuse");
for (const definition of [foreign, clock]) {
  const run = await engine.start(definition);
  await until(async () => (await run.describe()).status === "parked", `${definition.name} is parked`);
}
assert.equal(caught, 0);
assert.ok(Math.abs(Date.now() - new Date().getTime()) < 1000);
await engine.close();
rmSync(folder, { recursive: true, force: true });
console.log(`engine on ${kind}: everything works`);
