import { expect, expectTypeOf, test } from "vitest";
import {
  CancelledError,
  errorCodes,
  isPerdureError,
  NonRetryableError,
  PerdureError,
  RetryAfterError,
  RunFailedError,
  TimeoutError,
} from "./errors.js";
import type { ErrorCode } from "./errors.js";

test("an error tells its code, its page, its details and its cause", () => {
  const cause = new Error("disk");
  const error = new PerdureError("backend_full", "The disk is full.", { cause, details: { path: "orders.db" } });
  expect(error).toMatchObject({
    name: "PerdureError",
    code: "backend_full",
    message: "The disk is full.",
    cause,
    details: { path: "orders.db" },
  });
  expect(error.docs).toMatch(/errors#backend_full$/);
  expect(error).toBeInstanceOf(Error);
  expect("cause" in new PerdureError("internal", "x")).toBe(false);
});

test("the classes carry their code and name", () => {
  const made = [new TimeoutError("x"), new CancelledError("x"), new RunFailedError("x")];
  expect(made.map(({ code, name }) => [code, name])).toEqual([
    ["timeout", "TimeoutError"],
    ["cancelled", "CancelledError"],
    ["run_failed", "RunFailedError"],
  ]);
  expect(made.every((error) => error instanceof PerdureError)).toBe(true);
  expectTypeOf(new TimeoutError("x").code).toEqualTypeOf<"timeout">();
});

test("isPerdureError knows its own by a brand, also those of another copy of the package, and narrows the code", () => {
  const error: unknown = new TimeoutError("x");
  expect(isPerdureError(error)).toBe(true);
  expect(isPerdureError(error, "timeout")).toBe(true);
  expect(isPerdureError(error, "cancelled")).toBe(false);
  for (const other of [new Error("x"), { code: "timeout" }, null, undefined, "timeout"]) expect(isPerdureError(other)).toBe(false);
  const fromAnotherCopy = { code: "closed", [Symbol.for("perdure.error")]: true };
  expect(isPerdureError(fromAnotherCopy, "closed")).toBe(true);
  if (isPerdureError(error, "timeout")) expectTypeOf(error.code).toEqualTypeOf<"timeout">();
  if (isPerdureError(error)) expectTypeOf(error.code).toEqualTypeOf<ErrorCode>();
});

test("what users throw is no error of perdure's, and holds what retrying needs as plain properties", () => {
  expect(isPerdureError(new NonRetryableError("no"))).toBe(false);
  expect(Object.entries(new NonRetryableError("no", { cause: 1 }))).toEqual([
    ["retryable", false],
    ["name", "NonRetryableError"],
  ]);
  expect(Object.entries(new RetryAfterError("later", "30s"))).toEqual([
    ["delay", "30s"],
    ["name", "RetryAfterError"],
  ]);
  expect(new NonRetryableError("no", { cause: 1 }).cause).toBe(1);
});

test("codes are words in snake case, and every text is a sentence", () => {
  for (const [code, text] of Object.entries(errorCodes)) {
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(text).toMatch(/^\S.{9,}\.$/);
  }
});
