import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isPerdureError } from "../errors.js";
import { durationMaxMs, parseDuration } from "./duration.js";
import type { Duration } from "./duration.js";

const parse = (value: unknown) => parseDuration(value as Duration, "the timeout of a test");

test.each([
  [0, 0],
  [250, 250],
  [1.2, 2],
  ["0s", 0],
  ["250ms", 250],
  ["5s", 5000],
  ["5 s", 5000],
  ["1 second", 1000],
  ["30 seconds", 30_000],
  ["5m", 300_000],
  ["1 minute", 60_000],
  ["90 minutes", 5_400_000],
  ["2h", 7_200_000],
  ["1 hour", 3_600_000],
  ["2 hours", 7_200_000],
  ["1.5h", 5_400_000],
  [".5s", 500],
  ["1.1s", 1100],
  ["0.0001ms", 1],
  ["3d", 259_200_000],
  ["1 day", 86_400_000],
  ["3 days", 259_200_000],
  ["1w", 604_800_000],
  ["1 week", 604_800_000],
  ["2 weeks", 1_209_600_000],
  ["36525d", durationMaxMs],
])("%j is %i ms", (value, ms) => {
  expect(parse(value)).toBe(ms);
});

test.each([
  "",
  " ",
  "5",
  "m",
  "soon",
  "5 M",
  "5M",
  "5  m",
  " 5m",
  "5m ",
  "5m 3s",
  "5,5s",
  "1e3s",
  "0x10s",
  "--5s",
  "+5s",
  "5 fortnights",
  "5 mins",
  "1 month",
  "1 year",
  "٥m",
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  "-5m",
  durationMaxMs + 1,
  "36526d",
  "9".repeat(400) + "s",
  undefined,
  null,
  true,
  5n,
  {},
  [],
  new Date(0),
  Symbol("s"),
  () => 5,
  { hours: 1 },
])("%o is refused with a code, the purpose and examples", (value) => {
  let error: unknown;
  try {
    parse(value);
  } catch (caught) {
    error = caught;
  }
  if (!isPerdureError(error, "invalid_duration")) throw new Error(`not refused as it should be: ${String(error)}`);
  expect(error.message).toMatch(/^the timeout of a test: .+ "5m", "2 hours"/s);
  expect(error.message.length).toBeLessThan(400);
});

test("the message shows the value and what is wrong with it", () => {
  expect(() => parse("5 fortnights")).toThrow('the timeout of a test: "5 fortnights" is not a duration.');
  expect(() => parse(-1)).toThrow("the timeout of a test: -1 is negative.");
  expect(() => parse("36526d")).toThrow('"36526d" is longer than 100 years.');
  expect(() => parse(new Date(0))).toThrow("a Date is not a duration.");
});

test("any text either parses to whole milliseconds in bounds or is refused with the code", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^-?[0-9.]{0,5} ?[a-z]{0,8}$/), fc.double()), (value) => {
      try {
        const ms = parse(value);
        expect(Number.isInteger(ms) && ms >= 0 && ms <= durationMaxMs).toBe(true);
      } catch (error) {
        expect(isPerdureError(error, "invalid_duration")).toBe(true);
      }
    }),
  );
});

test("a duration is never shortened", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 99_999 }), fc.integer({ min: 0, max: 999 }), (whole, thousandths) => {
      const text = `${whole}.${String(thousandths).padStart(3, "0")}s` as Duration;
      expect(parse(text)).toBe(whole * 1000 + thousandths);
    }),
  );
});
