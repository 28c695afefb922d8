import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type } from "arktype";
import * as v from "valibot";
import { expect, test } from "vitest";
import { z } from "zod";
import { isPerdureError } from "../errors.js";
import type { PerdureError } from "../errors.js";
import { parseInput } from "./schema.js";
import type { InputIssue } from "./schema.js";
import type { StandardSchema } from "../api/shape-types.js";

const what = 'The input of workflow "fulfil"';

async function refusal(schema: StandardSchema<any, any>, value: unknown): Promise<PerdureError> {
  try {
    await parseInput(schema, value, what);
  } catch (error) {
    if (isPerdureError(error)) return error;
    throw error;
  }
  throw new Error("the schema took the value");
}

const handMade = (validate: (value: unknown) => unknown): StandardSchema => ({ "~standard": { version: 1, vendor: "test", validate } });

test("without a schema the value is handed on as it is", () => {
  const value = { a: 1 };
  expect(parseInput(undefined, value, what)).toBe(value);
});

test("what the schema gives out is the answer, at once where the schema is synchronous", () => {
  const toDate = (text: string) => new Date(text);
  expect(parseInput(z.string().transform(toDate), "2025-01-01", what)).toEqual(new Date("2025-01-01"));
  expect(parseInput(v.pipe(v.string(), v.transform(toDate)), "2025-01-01", what)).toEqual(new Date("2025-01-01"));
  expect(parseInput(type("string").pipe(toDate), "2025-01-01", what)).toEqual(new Date("2025-01-01"));
  expect(parseInput(v.optional(v.number(), 3), undefined, what)).toBe(3);
});

test("asynchronous schemas are waited for, run once and may refuse", async () => {
  let runs = 0;
  const schema = z.string().refine(async (text) => {
    runs += 1;
    return text !== "bad";
  }, "not bad");
  const asynchronous = handMade((value) =>
    schema.safeParseAsync(value).then((result) => (result.success ? { value: result.data } : { issues: result.error.issues })),
  );
  expect(await parseInput(asynchronous, "good", what)).toBe("good");
  expect(runs).toBe(1);
  expect((await refusal(asynchronous, "bad")).message).toContain("not bad");
});

test.each([
  ["zod", z.object({ items: z.array(z.object({ "unit price": z.number() })) })],
  ["valibot", v.object({ items: v.array(v.object({ "unit price": v.number() })) })],
  ["arktype", type({ items: type({ "unit price": "number" }).array() })],
] as const)("a refusal by %s names the path and the complaint", async (_, schema) => {
  const error = await refusal(schema, { items: [{ "unit price": 1 }, { "unit price": "two" }] });
  expect(error.code).toBe("invalid_input");
  expect(error.message).toContain('The input of workflow "fulfil" does not fit its schema: items[1]["unit price"]: ');
  const issues = error.details?.["issues"] as readonly InputIssue[];
  expect(issues.map(({ path }) => path)).toEqual(['items[1]["unit price"]']);
  expect(issues[0]?.message).toMatch(/number/i);
});

test("many complaints are cut in the message and kept in the details, up to a hundred", async () => {
  const error = await refusal(
    handMade(() => ({ issues: Array.from({ length: 200 }, (_, n) => ({ message: `complaint ${n}`, path: [{ key: n }] })) })),
    1,
  );
  expect(error.message).toContain("[4]: complaint 4; and 195 more");
  expect(error.details?.["issues"]).toHaveLength(100);
});

test("a schema that throws or rejects is reported with its error as the cause", async () => {
  const broken = new TypeError("broken");
  const throwing = handMade(() => {
    throw broken;
  });
  for (const schema of [throwing, handMade(() => Promise.reject(broken))]) {
    const error = await refusal(schema, 1);
    expect(error).toMatchObject({ code: "invalid_input", cause: broken });
    expect(error.message).toContain("its schema threw an error (broken)");
  }
});

test("a schema that does not follow the standard is reported", async () => {
  for (const answer of [undefined, null, true])
    expect(
      (
        await refusal(
          handMade(() => answer),
          1,
        )
      ).code,
    ).toBe("invalid_argument");
  expect(
    (
      await refusal(
        handMade(() => ({ issues: [] })),
        1,
      )
    ).message,
  ).toContain("without saying why");
});

test("takes anything that follows the published interface", () => {
  const schema: StandardSchemaV1<string, number> = {
    "~standard": { version: 1, vendor: "by hand", validate: (value) => ({ value: Number(value) }) },
  };
  const ours: StandardSchema<string, number> = schema;
  expect(parseInput(ours, "42", "The input")).toBe(42);
});
