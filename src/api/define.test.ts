import { type } from "arktype";
import { expect, test } from "vitest";
import { z } from "zod";
import { isPerdureError } from "../errors.js";
import { fakeContext, fakeStep } from "../testing/fake-context.js";
import { activity, activityRef, hasCode, message, workflow, workflowRef } from "./define.js";

function codeOf(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    return isPerdureError(error) ? `${error.code}: ${error.message}` : `uncoded: ${String(error)}`;
  }
  return "accepted";
}

test("definitions are frozen plain values that hold what they were given", () => {
  const schema = z.number();
  const run = async (_ctx: unknown, n: number) => n;
  const wf = workflow("double", run, { version: "2", timeout: "1 hour", id: (n) => `n-${n}`, input: schema });
  expect(wf).toMatchObject({ kind: "workflow", name: "double", version: "2", input: schema, run });
  expect(wf.options.timeout).toBe("1 hour");
  const act = activity("print", (text: string) => text, { retry: { attempts: 2 }, timeout: "5s" });
  expect(act).toMatchObject({ kind: "activity", name: "print", input: undefined, options: { retry: { attempts: 2 }, timeout: "5s" } });
  const told = message<boolean>("told");
  expect(told).toMatchObject({ kind: "message", name: "told", input: undefined });
  for (const value of [wf, wf.options, act, act.options, told, workflowRef("double"), activityRef("print")])
    expect(Object.isFrozen(value)).toBe(true);
});

test("the options are copied: changing the object afterwards changes nothing", () => {
  const options = { timeout: "5s" as "5s" | "6s" };
  const act = activity("print", () => 1, options);
  options.timeout = "6s";
  expect(act.options.timeout).toBe("5s");
});

test("run is the function as it was given", async () => {
  const wf = workflow("add", async (ctx, n: number) => n + (await ctx.step("one", () => 1)));
  expect(await wf.run(fakeContext(), 2)).toBe(3);
  const act = activity("upper", async (text: string, { attempt }) => `${text}${attempt}`);
  expect(await act.run("a", fakeStep())).toBe("a1");
});

test("a message makes envelopes that carry its definition and value", () => {
  const told = message<boolean>("told");
  expect(told.of(true)).toEqual({ kind: "envelope", message: told, value: true });
  const stop = message("stop");
  expect(stop.of()).toEqual({ kind: "envelope", message: stop, value: undefined });
});

test("a reference is told from a definition by its missing code", () => {
  expect(hasCode(workflow("a", () => 1))).toBe(true);
  expect(hasCode(workflowRef("a"))).toBe(false);
  expect(hasCode(activityRef("a"))).toBe(false);
  expect(workflowRef("a")).toEqual({ kind: "workflow", name: "a" });
});

const makers: readonly [string, (name: string) => unknown][] = [
  ["workflow", (name) => workflow(name, () => 1)],
  ["activity", (name) => activity(name, () => 1)],
  ["message", (name) => message(name)],
  ["workflowRef", (name) => workflowRef(name)],
  ["activityRef", (name) => activityRef(name)],
];

test.each(makers)("%s checks its name", (_, make) => {
  for (const name of ["", "a\0b", "a\uD800", "\uDC00b", "x".repeat(1001), undefined, null, 5, {}, Symbol("s")]) {
    expect(codeOf(() => make(name as string))).toMatch(/^invalid_id: /);
  }
  for (const name of ["a", "order/ü 漢字 😀", "x".repeat(1000), "__proto__"]) expect(codeOf(() => make(name))).toBe("accepted");
});

test("what is not a function, an option, a schema or a duration is refused with a code that fits", () => {
  const run = () => 1;
  const loose = (value: unknown) => value as never;
  expect(codeOf(() => workflow("a", loose(undefined)))).toMatch(/^invalid_argument: workflow\("a"\) needs a function/);
  expect(codeOf(() => activity("a", loose({ run })))).toMatch(/^invalid_argument: activity\("a"\) needs a function/);
  expect(codeOf(() => workflow("a", run, loose("5m")))).toMatch(/^invalid_argument: The options of workflow\("a"\) must be an object/);
  expect(codeOf(() => activity("a", run, loose({ retries: 3 })))).toMatch(
    /^invalid_argument: activity\("a"\) has no option "retries"\. Its options are "retry"/,
  );
  expect(codeOf(() => message("a", loose({ schema: z.string() })))).toMatch(/^invalid_argument: message\("a"\) has no option "schema"/);
  expect(codeOf(() => workflow("a", run, { timeout: loose("soon") }))).toMatch(/^invalid_duration: the timeout of workflow\("a"\)/);
  expect(codeOf(() => activity("a", run, { timeout: loose(-1) }))).toMatch(/^invalid_duration: /);
  expect(codeOf(() => activity("a", run, { retry: { attempts: 0 } }))).toMatch(/^invalid_argument: retry\.attempts of activity\("a"\)/);
  expect(codeOf(() => workflow("a", run, { version: "" }))).toMatch(/^invalid_argument: The option version/);
  expect(codeOf(() => workflow("a", run, { id: loose("a-1") }))).toMatch(/^invalid_argument: The option id/);
  for (const input of [{}, null, "string", { "~standard": {} }, (value: unknown) => value]) {
    expect(codeOf(() => workflow("a", run, { input: loose(input) }))).toMatch(/^invalid_argument: The option input .*Standard Schema/);
  }
});

test("schemas that are functions are schemas", () => {
  expect(codeOf(() => workflow("a", () => 1, { input: type("number | undefined") }))).toBe("accepted");
});

test("options that are undefined count as absent", () => {
  expect(codeOf(() => workflow("a", () => 1, { version: undefined, id: undefined, timeout: undefined, input: undefined }))).toBe(
    "accepted",
  );
  expect(codeOf(() => activity("a", () => 1, { retry: undefined, timeout: undefined }))).toBe("accepted");
});
