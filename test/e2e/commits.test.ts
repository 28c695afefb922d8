import { afterEach, describe, expect, it } from "vitest";
import { activity, launch, message, state, stream, update, workflow, type Engine, type Handle, type WorkflowContext } from "perdure";
import { memory } from "perdure/memory";
import { faultyBackend } from "../support/faulty-backend.js";

// What each part of the language costs, as docs/language.md tells it: the writes of a run from its start to its end, one after the other. Those of operations
// that are under way at one time share commits.

const go = message<number>("go");
const ask = update<number, number>("ask");
const progress = state<number>("progress");
const tokens = stream<string>("tokens");
const work = activity("work", (n: number) => n);
const child = workflow("child", async () => 1);

let engine: Engine | undefined;
afterEach(() => engine?.close());

type Code = (ctx: WorkflowContext<number>, round: number) => unknown;
type Meanwhile = (handle: Handle<unknown>) => Promise<unknown>;

/** Runs it, and tells what was written. */
async function writesOf(code: Code, meanwhile?: Meanwhile): Promise<string[]> {
  const writes: string[] = [];
  const backend = faultyBackend(memory(), {
    apply(next, operations) {
      writes.push(...operations.map(({ type }) => type));
      return next();
    },
  });
  const wf = workflow("w", code);
  engine = await launch({ backend, workflows: [wf, child], activities: [work] });
  const handle = await engine.start(wf, 1);
  await meanwhile?.(handle);
  await handle.result();
  // What was begun is ended first: the errand of a child may be done after the run.
  await engine.close();
  return writes;
}

const sendGo: Meanwhile = (handle) => handle.send(go, 1);
const askThenGo: Meanwhile = async (handle) => {
  await handle.update(ask, 1).catch(() => undefined);
  await handle.send(go, 1);
};

const costs: Readonly<Record<string, readonly [writes: string, code: Code, meanwhile?: Meanwhile]>> = {
  "a run that does nothing": ["start", () => 1],
  "a step": ["start turn", (ctx) => ctx.step("a", () => 1)],
  "three steps in a row": [
    "start turn turn turn",
    async (ctx) => {
      for (const name of ["a", "b", "c"]) await ctx.step(name, () => 1);
    },
  ],
  "three steps at once, of which each is done at once": [
    "start turn",
    (ctx) => Promise.all(["a", "b", "c"].map((name) => ctx.step(name, () => 1))),
  ],
  "a step that is tried again": [
    "start turn turn",
    (ctx) => ctx.step("a", ({ attempt }) => (attempt === 1 ? Promise.reject(new Error("no")) : 1), { retry: { backoff: 1 } }),
  ],
  "an at-most-once step": ["start turn turn", (ctx) => ctx.step("a", () => 1, { atMostOnce: true })],
  "an activity, beside its claim": ["start finish_task turn", (ctx) => ctx.activity(work, 1)],
  "a local activity": ["start turn", (ctx) => ctx.activity(work, 1, { local: true })],
  // Long enough that it is not over while the start is being made, however busy the machine is.
  "a sleep, beside the claim when it is over": ["start turn", (ctx) => ctx.sleep(300)],
  "a message": ["start send turn", (ctx) => ctx.receive(go), sendGo],
  "a message to another run": ["start send turn", (ctx) => ctx.get(ctx.info.id).send(go, 1)],
  "what is only noted": [
    "start",
    async (ctx) => {
      ctx.publish(progress, 1);
      ctx.setAttributes({ customer: "c" });
      await ctx.write(tokens, "a");
      ctx.compensate("undo", () => 1);
      ctx.on(ask, (n) => n);
      ctx.log.debug(`${ctx.patched("p")} ${ctx.now().getTime()} ${ctx.random()} ${ctx.uuid()}`);
    },
  ],
  "chunks of a step, one after the other": [
    "start append append turn",
    (ctx) =>
      ctx.step("a", async ({ write }) => {
        await write(tokens, "a");
        await write(tokens, "b");
      }),
  ],
  "chunks of a step, all at once": [
    "start append append turn",
    (ctx) =>
      ctx.step("a", async ({ write }) => {
        await Promise.all(["a", "b", "c", "d"].map((chunk) => write(tokens, chunk)));
      }),
  ],
  "an update, and the message that ends the run": [
    "start send turn send turn",
    async (ctx) => {
      ctx.on(ask, (n) => n);
      await ctx.receive(go);
    },
    askThenGo,
  ],
  "continue-as-new": ["start turn turn", (ctx, n) => (n === 1 ? ctx.continueAsNew(2) : n)],
  "continue-as-new after a step, and a step in the new run": [
    "start turn turn turn",
    async (ctx, n) => {
      await ctx.step("a", () => 1);
      return n === 1 ? ctx.continueAsNew(2) : n;
    },
  ],
  "a scope with a timeout that does not pass": [
    "start turn",
    (ctx) => ctx.scope((inner) => inner.step("a", () => 1), { timeout: "1 hour" }),
  ],
};

describe("the commits", () => {
  for (const [what, [writes, code, meanwhile]] of Object.entries(costs))
    it(`of ${what}`, async () => {
      expect((await writesOf(code, meanwhile)).join(" ")).toBe(writes);
    });

  it("of a child: its own, its start, and what it tells; in the parent two turns at most, and the errand of each end", async () => {
    const writes = await writesOf((ctx) => ctx.child(child));
    const count = (type: string): number => writes.filter((one) => one === type).length;
    expect([count("start"), count("send")]).toEqual([2, 1]);
    expect(count("turn")).toBeLessThanOrEqual(2);
    // That of the parent, which closes what children are left, may be done by whoever comes next.
    expect([1, 2]).toContain(count("finish_task"));
    expect(writes).toHaveLength(3 + count("turn") + count("finish_task"));
  });
});
