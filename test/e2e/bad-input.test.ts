import { expect, it } from "vitest";
import { z } from "zod";
import {
  activity,
  activityRef,
  connect,
  encryption,
  isPerdureError,
  launch,
  message,
  workflow,
  workflowRef,
  type Engine,
  type WorkflowContext,
} from "perdure";
import { onEveryBackend, type Lab } from "../support/lab.js";

const loose = (value: unknown): never => value as never;
const go = message<unknown>("go");

/** `code: message` of what a call throws, now or later. */
async function refusal(call: () => unknown): Promise<string> {
  try {
    const value = await call();
    return `accepted: ${String(value)}`;
  } catch (error) {
    return isPerdureError(error) ? `${error.code}: ${error.message}` : `uncoded: ${String(error)}`;
  }
}

/** What workflow code is told when it does this, and whether its run goes on. */
async function refusedInside(lab: Lab, engineOptions: object, act: (ctx: WorkflowContext) => unknown): Promise<string> {
  const wf = workflow("inside", async (ctx) => {
    const told = await refusal(() => act(ctx));
    return `${told} | ${await ctx.step("after", () => "goes on")}`;
  });
  const engine = await lab.launch({ workflows: [wf], ...engineOptions });
  return lab.time.run(engine.execute(wf));
}

onEveryBackend("launch and connect refuse", (lab) => {
  const wf = workflow("w", () => 1);
  const act = activity("a", () => 1);
  const cases: Record<string, readonly [options: () => object, expected: RegExp]> = {
    "two workflows of one name": [() => ({ workflows: [wf, workflow("w", () => 2)] }), /^duplicate_definition: .*workflow.*"w"/],
    "two activities of one name": [() => ({ activities: [act, activity("a", () => 2)] }), /^duplicate_definition: .*activity.*"a"/],
    "a reference in the place of a definition": [() => ({ workflows: [workflowRef("w")] }), /^invalid_argument: .*workflow\(name, run\)/],
    "an activity among the workflows": [() => ({ workflows: [act] }), /^invalid_argument: /],
    "a misspelt option": [() => ({ workflow: [wf] }), /^invalid_argument: launch has no option "workflow"/],
    "a misspelt option in an option": [() => ({ concurrency: { run: 5 } }), /^invalid_argument: .*"run"/],
    "a concurrency of nothing": [() => ({ concurrency: { runs: 0 } }), /^invalid_argument: .*concurrency\.runs.*0/],
    "half a warm run": [() => ({ warmRuns: 0.5 }), /^invalid_argument: .*warmRuns/],
    "a lease that is no duration": [() => ({ lease: "soon" }), /^invalid_duration: .*lease/],
    "a lease that is too short": [() => ({ lease: 100 }), /^invalid_argument: .*500/],
    "limits that do not exist": [() => ({ limits: { maxSize: 5 } }), /^invalid_argument: limits\.maxSize/],
    "two codec links of one name": [
      () => ({ codec: [1, 2].map((n) => encryption({ keys: { k: new Uint8Array(32).fill(n) }, current: "k" })) }),
      /^invalid_argument: .*unique/,
    ],
  };
  for (const [what, [options, expected]] of Object.entries(cases)) {
    it(what, async () => expect(await refusal(() => lab.launch(options()))).toMatch(expected));
  }

  it("a missing backend and what is none", async () => {
    for (const backend of [undefined, null, "orders.db", {}]) {
      expect(await refusal(() => launch({ backend: loose(backend) }))).toMatch(/^invalid_argument: The option backend/);
      expect(await refusal(() => connect({ backend: loose(backend) }))).toMatch(/^invalid_argument: The option backend/);
    }
    expect(await refusal(() => lab.connect(loose({ workflows: [wf] })))).toMatch(/^invalid_argument: connect has no option "workflows"/);
  });

  it("keys that cannot be keys", async () => {
    expect(await refusal(() => encryption({ keys: { k: new Uint8Array(16) }, current: "k" }))).toMatch(/^invalid_argument: .*32/);
    expect(await refusal(() => encryption({ keys: {}, current: "k" }))).toMatch(/^invalid_argument: /);
  });
});

onEveryBackend("start refuses", (lab) => {
  const wf = workflow("w", (_ctx, input: unknown) => typeof input);
  const strict = workflow("strict", (_ctx, input) => input.n, { input: z.object({ n: z.number() }) });
  const cases: Record<string, readonly [call: (engine: Engine) => unknown, expected: RegExp]> = {
    "what is no workflow": [(engine) => engine.start(loose(activity("a", () => 1))), /^invalid_argument: .*workflow/],
    "nothing at all": [(engine) => engine.start(loose(undefined)), /^invalid_argument: /],
    "a misspelt option": [(engine) => engine.start(wf, 1, loose({ ID: "x" })), /^invalid_argument: .*"ID"/],
    "an empty id": [(engine) => engine.start(wf, 1, { id: "" }), /^invalid_id: .*empty/],
    "an id that is no text": [(engine) => engine.start(wf, 1, { id: loose(5) }), /^invalid_id: .*number/],
    "an id with NUL": [(engine) => engine.start(wf, 1, { id: "a\0b" }), /^invalid_id: .*NUL/],
    "an id with half a character": [(engine) => engine.start(wf, 1, { id: "a\uD83D" }), /^invalid_id: .*surrogate/],
    "an id that is too long": [(engine) => engine.start(wf, 1, { id: "x".repeat(1001) }), /^invalid_id: .*1001/],
    "an id function that gives none": [(engine) => engine.start(workflow("ids", () => 1, { id: () => loose(7) })), /^invalid_id: /],
    "a timeout that is no duration": [
      (engine) => engine.start(wf, 1, { timeout: loose("5 fortnights") }),
      /^invalid_duration: .*fortnights/,
    ],
    "a negative delay": [(engine) => engine.start(wf, 1, { delay: -5 }), /^invalid_duration: .*negative/],
    "a delay until no time": [(engine) => engine.start(wf, 1, { delay: new Date(Number.NaN) }), /^invalid_argument: .*Date/],
    "a retry policy with a function": [(engine) => engine.start(wf, 1, { retry: { when: () => true } }), /^invalid_argument: .*definition/],
    "a message without envelope": [(engine) => engine.start(wf, 1, { send: [loose(go)] }), /^invalid_argument: .*message\.of/],
    "an input that its schema refuses": [(engine) => engine.start(strict, loose({ n: "x" })), /^invalid_input: .*n: /],
    "a function": [(engine) => engine.start(wf, { a: [{ f: () => 1 }] }), /^unserializable: .*a\[0\]\.f/],
    "a symbol": [(engine) => engine.start(wf, { s: Symbol("x") }), /^unserializable: .*s/],
    "an instance of an unknown class": [
      (engine) => engine.start(wf, { deep: { it: new (class Order {})() } }),
      /^unserializable: .*deep\.it.*Order/s,
    ],
    "a promise that was forgotten": [(engine) => engine.start(wf, { p: Promise.resolve(1) }), /^unserializable: .*p/],
    "what is too large": [(engine) => engine.start(wf, "x".repeat(5 * 1024 * 1024)), /^payload_too_large: /],
    "what is too deep": [
      (engine) =>
        engine.start(
          wf,
          Array.from({ length: 300 }).reduce((inner) => [inner], 1),
        ),
      /^payload_too_large: .*level|^payload_too_large: .*deep/s,
    ],
  };
  for (const [what, [call, expected]] of Object.entries(cases)) {
    it(what, async () => {
      const engine = await lab.launch({ workflows: [wf, strict] });
      expect(await refusal(() => call(engine))).toMatch(expected);
      for await (const run of engine.list()) expect(run).toBe("nothing was stored");
      expect(await lab.time.run(engine.execute(wf, "fine"))).toBe("string");
    });
  }

  it("what is too large for the limits that were set, and reads what was stored under others", async () => {
    const small = await lab.launch({ workflows: [wf], limits: { maxBytes: 100 } });
    expect(await refusal(() => small.start(wf, "x".repeat(200)))).toMatch(/^payload_too_large: .*100/);
    const client = await lab.connect();
    const handle = await client.start(wf, "x".repeat(200));
    expect(await lab.time.run(handle.result())).toBe("string");
  });
});

onEveryBackend("handles refuse", (lab) => {
  const wf = workflow("w", (ctx) => ctx.receive(go));
  const cases: Record<string, readonly [call: (engine: Engine) => unknown, expected: RegExp]> = {
    "an id that cannot be": [(engine) => engine.get("\0"), /^invalid_id: /],
    "a message that is none": [(engine) => engine.get("1").send(loose("go"), 1), /^invalid_argument: .*message/],
    "a value that cannot be stored": [(engine) => engine.get("1").send(go, { f: () => 1 }), /^unserializable: .*message "go".*f/s],
    "an empty key": [(engine) => engine.get("1").send(go, 1, { key: "" }), /^invalid_id: .*key/],
    "a misspelt option of send": [(engine) => engine.get("1").send(go, 1, loose({ dedupe: "k" })), /^invalid_argument: .*"dedupe"/],
    "a reason that is no text": [(engine) => engine.get("1").cancel(loose({})), /^invalid_argument: .*reason/],
    "a wait that is no duration": [(engine) => engine.get("1").result({ timeout: loose("later") }), /^invalid_duration: .*result/],
    "a misspelt option of result": [(engine) => engine.get("1").result(loose({ timeOut: 5 })), /^invalid_argument: .*"timeOut"/],
    "a misspelt filter": [
      async (engine) => {
        for await (const run of engine.list(loose({ workflow: "w" }))) return run;
        return undefined;
      },
      /^invalid_argument: .*"workflow"/,
    ],
    "a status that there is not": [
      async (engine) => {
        for await (const run of engine.list({ status: loose("stuck") })) return run;
        return undefined;
      },
      /^invalid_argument: .*stuck/,
    ],
    "a limit that is no number": [
      async (engine) => {
        for await (const run of engine.list({ limit: loose("5") })) return run;
        return undefined;
      },
      /^invalid_argument: .*limit/,
    ],
    "a misspelt option of close": [(engine) => engine.close(loose({ graceMs: 5 })), /^invalid_argument: .*"graceMs"/],
    "a grace that is no duration": [(engine) => engine.close({ grace: loose("a while") }), /^invalid_duration: .*grace/],
  };
  for (const [what, [call, expected]] of Object.entries(cases)) {
    it(what, async () => {
      const engine = await lab.launch({ workflows: [wf] });
      const handle = await engine.start(wf, undefined, { id: "1" });
      expect(await refusal(() => call(engine))).toMatch(expected);
      // It left nothing behind: the engine works, the run has no message.
      await handle.send(go, "fine");
      expect(await lab.time.run(handle.result())).toBe("fine");
    });
  }
});

onEveryBackend("ctx refuses, in the code that asked, which goes on:", (lab) => {
  const act = activity("act", (input: unknown) => typeof input);
  const cases: Record<string, readonly [act: (ctx: WorkflowContext) => unknown, expected: RegExp]> = {
    "a step without name": [(ctx) => ctx.step("", () => 1), /^invalid_id: .*step/],
    "a step with NUL in its name": [(ctx) => ctx.step("a\0", () => 1), /^invalid_id: .*NUL/],
    "a step without body": [(ctx) => ctx.step("s", loose("body")), /^invalid_argument: .*function/],
    "a misspelt option of a step": [(ctx) => ctx.step("s", () => 1, loose({ retries: 3 })), /^invalid_argument: .*"retries"/],
    "a retry policy with no attempt": [(ctx) => ctx.step("s", () => 1, { retry: { attempts: 0 } }), /^invalid_argument: .*attempts.*0/],
    "a misspelt retry policy": [(ctx) => ctx.step("s", () => 1, { retry: loose({ max: 3 }) }), /^invalid_argument: .*"max"/],
    "a step timeout that is no duration": [(ctx) => ctx.step("s", () => 1, { timeout: loose("5 min") }), /^invalid_duration: .*5 min/],
    "an activity that is none": [(ctx) => ctx.activity(loose("act"), 1), /^invalid_argument: .*activity/],
    "a misspelt option of an activity": [(ctx) => ctx.activity(act, 1, loose({ queu: "q" })), /^invalid_argument: .*"queu"/],
    "an activity input that cannot be stored": [(ctx) => ctx.activity(act, { f: () => 1 }), /^unserializable: .*f/s],
    "an activity input that is too large": [(ctx) => ctx.activity(act, "x".repeat(5 * 1024 * 1024)), /^payload_too_large: /],
    "a step result that is too large": [(ctx) => ctx.step("s", () => "x".repeat(5 * 1024 * 1024)), /^payload_too_large: /],
    "an activity timeout that is no duration": [
      (ctx) => ctx.activity(activityRef<typeof act>("act"), 1, { timeout: Number.NaN }),
      /^invalid_duration: /,
    ],
    "a child whose retry policy has a function": [
      (ctx) =>
        ctx.child(
          workflow("c", () => 1),
          undefined,
          { retry: { when: () => true } },
        ),
      /^invalid_argument: .*definition/,
    ],
    "a sleep that is no duration": [(ctx) => ctx.sleep(loose("a bit")), /^invalid_duration: .*ctx\.sleep/],
    "a negative sleep": [(ctx) => ctx.sleep(-1), /^invalid_duration: .*negative/],
    "a sleep of more than a hundred years": [(ctx) => ctx.sleep("40000 days"), /^invalid_duration: .*100 years/],
    "a sleep until no time": [(ctx) => ctx.sleepUntil(new Date(Number.NaN)), /^invalid_argument: .*Date/],
    "a sleep until the end of time": [
      (ctx) => ctx.sleepUntil(new Date(8.64e15)),
      /^invalid_argument: .*100 years|^invalid_duration: .*100 years/,
    ],
    "a message that is none": [(ctx) => ctx.receive(loose("go")), /^invalid_argument: .*message/],
    "a wait without timeout": [(ctx) => ctx.receive(go, loose({ otherwise: 1 })), /^invalid_(duration|argument): .*timeout/],
    "a misspelt option of a wait": [(ctx) => ctx.receive(go, loose({ timeout: 5, default: 1 })), /^invalid_argument: .*"default"/],
    "a wait for none of several": [(ctx) => ctx.receiveAny({}), /^invalid_argument: .*at least one/],
    "a wait for one message under two keys": [(ctx) => ctx.receiveAny({ a: go, b: go }), /^invalid_argument: .*"go"/],
    "a scope timeout that is no duration": [
      (ctx) => ctx.scope((scope) => scope.sleep(1), { timeout: loose("x") }),
      /^invalid_duration: .*scope/,
    ],
    "a misspelt option of a scope": [(ctx) => ctx.scope((scope) => scope.sleep(1), loose({ time: 5 })), /^invalid_argument: .*"time"/],
    "a scope without function": [(ctx) => ctx.scope(loose(undefined)), /^invalid_argument: .*scope/],
  };
  for (const [what, [call, expected]] of Object.entries(cases)) {
    it(what, async () => {
      const told = await refusedInside(lab, { activities: [act] }, call);
      expect(told).toMatch(expected);
      expect(told).toMatch(/ \| goes on$/);
    });
  }

  it("names and ids that are odd but allowed are taken as they are", async () => {
    const odd = ["__proto__", "constructor", "a b\n\tc", "漢字😀", "' OR 1=1 --", "x".repeat(1000)];
    const wf = workflow("odd ✓", async (ctx) => {
      for (const name of odd) await ctx.step(name, () => ({ [name]: name }));
      return odd.length;
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    expect(await lab.time.run(handle.result())).toBe(odd.length);
    expect((await handle.history()).flatMap(({ commands }) => commands.map(({ name }) => name))).toEqual(odd);
  });
});
