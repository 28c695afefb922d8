import * as fc from "fast-check";
import { expect, test } from "vitest";
import { CancelledError, isPerdureError, NonRetryableError, PerdureError, RetryAfterError, TimeoutError } from "../errors.js";
import { mergeRetry, nextRetry, planRetry } from "./retry.js";
import type { RetryPolicy } from "./retry.js";

const boom = new Error("boom");
const plan = (policy?: RetryPolicy) => planRetry(policy, 'ctx.step("test")');

test("the defaults are those of the documented table", () => {
  expect(plan()).toEqual({ attempts: 5, backoffMs: 1000, factor: 2, maxBackoffMs: 60_000, when: undefined });
  expect(plan({})).toEqual(plan());
  expect(plan({ attempts: undefined, backoff: undefined, factor: undefined, maxBackoff: undefined, when: undefined })).toEqual(plan());
});

test("without jitter the waits double from one second, and the fifth failure is the last", () => {
  expect([1, 2, 3, 4, 5, 6].map((attempt) => nextRetry(plan(), attempt, boom, 0))).toEqual([
    { delayMs: 1000 },
    { delayMs: 2000 },
    { delayMs: 4000 },
    { delayMs: 8000 },
    "stop",
    "stop",
  ]);
});

test("a wait is at most maxBackoff, and jitter only shortens it, by a fifth at most", () => {
  expect(nextRetry(plan({ attempts: 100 }), 50, boom, 0)).toEqual({ delayMs: 60_000 });
  expect(nextRetry(plan({ attempts: 100 }), 50, boom, 0.5)).toEqual({ delayMs: 54_000 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.integer({ min: 0, max: 10_000 }),
      (attempt, random, backoff) => {
        const next = nextRetry(plan({ attempts: Infinity, backoff, factor: 3, maxBackoff: "5s" }), attempt, boom, random);
        if (next === "stop") throw new Error("stopped although there is no limit");
        const fullMs = backoff === 0 ? 0 : Math.min(5000, backoff * 3 ** (attempt - 1));
        expect(next.delayMs).toBeGreaterThanOrEqual(Math.floor(fullMs * 0.8));
        expect(next.delayMs).toBeLessThanOrEqual(Math.ceil(fullMs));
      },
    ),
  );
});

test("a backoff longer than the default maximum raises it", () => {
  expect(plan({ backoff: "5m" }).maxBackoffMs).toBe(300_000);
  expect(nextRetry(plan({ backoff: "5m" }), 2, boom, 0)).toEqual({ delayMs: 300_000 });
});

test("one attempt means no retry", () => {
  expect(nextRetry(plan({ attempts: 1 }), 1, boom, 0)).toBe("stop");
});

test("errors that say so are not retried: the class, a subclass, a foreign object, one restored without its class", () => {
  class Declined extends NonRetryableError {}
  const restored = Object.assign(new Error("declined"), { name: "Declined", retryable: false });
  for (const error of [new NonRetryableError("no"), new Declined("no"), { retryable: false }, restored])
    expect(nextRetry(plan(), 1, error, 0)).toBe("stop");
  for (const error of [{ retryable: true }, "text", undefined, null, new TimeoutError("slow")])
    expect(nextRetry(plan(), 1, error, 0)).toEqual({ delayMs: 1000 });
});

test("errors of perdure's that another attempt cannot change are not retried", () => {
  const lasting = [
    new CancelledError("stop"),
    new PerdureError("unserializable", "x"),
    new PerdureError("payload_too_large", "x"),
    new PerdureError("context_misuse", "x"),
  ];
  for (const error of lasting) expect(nextRetry(plan(), 1, error, 0)).toBe("stop");
  expect(nextRetry(plan(), 1, new PerdureError("backend_unavailable", "x"), 0)).toEqual({ delayMs: 1000 });
});

test("RetryAfterError chooses the wait, unshortened and beyond maxBackoff; attempts still count", () => {
  const limited = new RetryAfterError("limited", "10 minutes");
  expect(nextRetry(plan(), 4, limited, 0.9)).toEqual({ delayMs: 600_000 });
  expect(nextRetry(plan(), 5, limited, 0.9)).toBe("stop");
  expect(nextRetry(plan(), 1, Object.assign(new Error("limited"), { name: "RetryAfterError", delay: 30_000 }), 0)).toEqual({
    delayMs: 30_000,
  });
  expect(nextRetry(plan(), 1, new RetryAfterError("limited", "soon" as "1s"), 0)).toEqual({ delayMs: 1000 });
});

test("when decides on the error, is not asked about what is not retryable, and says no by throwing", () => {
  const asked: unknown[] = [];
  const policy = plan({
    when: (error) => {
      asked.push(error);
      return error === boom;
    },
  });
  expect(nextRetry(policy, 1, boom, 0)).toEqual({ delayMs: 1000 });
  expect(nextRetry(policy, 1, new Error("other"), 0)).toBe("stop");
  expect(nextRetry(policy, 1, new NonRetryableError("no"), 0)).toBe("stop");
  expect(asked).toHaveLength(2);
  const thrower = plan({
    when: () => {
      throw new Error("in when");
    },
  });
  expect(nextRetry(thrower, 1, boom, 0)).toBe("stop");
});

test.each<[unknown, string, string]>([
  [{ attempts: 0 }, "invalid_argument", "retry.attempts"],
  [{ attempts: 1.5 }, "invalid_argument", "retry.attempts"],
  [{ attempts: Number.NaN }, "invalid_argument", "retry.attempts"],
  [{ attempts: "3" }, "invalid_argument", "retry.attempts"],
  [{ factor: 0.5 }, "invalid_argument", "retry.factor"],
  [{ factor: Infinity }, "invalid_argument", "retry.factor"],
  [{ backoff: "soon" }, "invalid_duration", "retry.backoff"],
  [{ maxBackoff: -1 }, "invalid_duration", "retry.maxBackoff"],
  [{ when: true }, "invalid_argument", "retry.when"],
  [{ maxAttempts: 3 }, "invalid_argument", '"maxAttempts"'],
  [3, "invalid_argument", "must be an object"],
  [null, "invalid_argument", "must be an object"],
])("%o is refused", (policy, code, words) => {
  let error: unknown;
  try {
    plan(policy as RetryPolicy);
  } catch (caught) {
    error = caught;
  }
  expect(isPerdureError(error) && error.code).toBe(code);
  expect(String(error)).toContain(words);
  expect(String(error)).toContain('ctx.step("test")');
});

test("a call's policy goes over the definition's, field by field", () => {
  expect(mergeRetry({ attempts: 3, backoff: "1s" }, { attempts: 7, backoff: undefined })).toEqual({ attempts: 7, backoff: "1s" });
  expect(mergeRetry(undefined, { attempts: 7 })).toEqual({ attempts: 7 });
  expect(mergeRetry({ attempts: 3 }, undefined)).toEqual({ attempts: 3 });
  expect(mergeRetry(undefined, undefined)).toBeUndefined();
});
