import { isPerdureError, PerdureError, RetryAfterError } from "../errors.js";
import type { ErrorCode } from "../errors.js";
import { retryDefaults } from "./defaults.js";
import { parseDuration } from "./duration.js";
import type { Duration } from "./duration.js";

/** Which failures to try again, how often and when. Every field has a default; `{ attempts: 1 }` turns retrying off. */
export interface RetryPolicy {
  /** How often to try at most; the first attempt counts. `Infinity` is allowed. Default: 5. */
  readonly attempts?: number | undefined;
  /** The wait after the first failure. Default: 1 second. */
  readonly backoff?: Duration | undefined;
  /** What each further wait is multiplied by, at least 1. Default: 2. */
  readonly factor?: number | undefined;
  /** The longest wait. Default: 1 minute, or `backoff` where that is longer. */
  readonly maxBackoff?: Duration | undefined;
  /** Is this error worth another attempt? Asked after failures that are not marked as not retryable. Default: yes. A `when` that throws says no. */
  readonly when?: ((error: unknown) => boolean) | undefined;
}

/** A policy with its defaults filled in and its durations read. */
export interface RetryPlan {
  readonly attempts: number;
  readonly backoffMs: number;
  readonly factor: number;
  readonly maxBackoffMs: number;
  readonly when: ((error: unknown) => boolean) | undefined;
}

/** What comes after a failed attempt: another one after a wait, or none. */
export type NextRetry = { readonly delayMs: number } | "stop";

/**
 * Reads a policy, filling in the defaults.
 * @param what what the policy belongs to, as messages should call it: `ctx.step("charge")`
 * @throws PerdureError `invalid_argument` · `invalid_duration`
 */
export function planRetry(policy: RetryPolicy | undefined, what: string): RetryPlan {
  if (policy === undefined) return defaultPlan;
  if (typeof policy !== "object" || policy === null || Array.isArray(policy))
    throw invalid(`The option retry of ${what} must be an object like { attempts: 3 }.`);
  const stray = Object.keys(policy).find((key) => !policyKeys.has(key));
  if (stray !== undefined)
    throw invalid(`The option retry of ${what} has no field ${JSON.stringify(stray)}. Its fields are ${[...policyKeys].join(", ")}.`);
  const { attempts = retryDefaults.attempts, factor = retryDefaults.factor, when } = policy;
  if (!(attempts === Infinity || (Number.isInteger(attempts) && attempts >= 1))) {
    throw invalid(
      `retry.attempts of ${what} is ${String(attempts)}. Give a whole number from 1 (which means: no second attempt), or Infinity.`,
    );
  }
  if (typeof factor !== "number" || !(factor >= 1 && factor <= 1000))
    throw invalid(`retry.factor of ${what} is ${String(factor)}. Give a number from 1 to 1000.`);
  if (when !== undefined && typeof when !== "function")
    throw invalid(`retry.when of ${what} must be a function of the error that says whether to try again.`);
  const backoffMs = policy.backoff === undefined ? retryDefaults.backoffMs : parseDuration(policy.backoff, `retry.backoff of ${what}`);
  const longestMs =
    policy.maxBackoff === undefined
      ? Math.max(retryDefaults.maxBackoffMs, backoffMs)
      : parseDuration(policy.maxBackoff, `retry.maxBackoff of ${what}`);
  return { attempts, backoffMs, factor, maxBackoffMs: longestMs, when };
}

/**
 * Checks a policy that is to be stored with a run, which a function cannot be.
 * @throws PerdureError `invalid_argument` · `invalid_duration`
 */
export function checkStoredRetry(policy: RetryPolicy, what: string): void {
  if (planRetry(policy, what).when !== undefined)
    throw invalid(
      `retry.when of ${what} is a function, which cannot be stored with the run. Give it to the definition of the workflow; both policies count, field by field.`,
    );
}

/** One policy over another, field by field: a call's over that of the definition. */
export function mergeRetry(under: RetryPolicy | undefined, over: RetryPolicy | undefined): RetryPolicy | undefined {
  if (under === undefined || over === undefined) return over ?? under;
  const set = Object.entries(over).filter(([, value]) => value !== undefined);
  return { ...under, ...Object.fromEntries(set) };
}

/**
 * What comes after attempt number `attempt` (from 1) failed with `error`. Pure: the caller records the answer, so that a replay sees the same wait.
 * The wait before attempt n + 1 is `backoff · factor^(n-1)`, at most `maxBackoff`, shortened by up to a fifth by `random`.
 * @param random a number in [0, 1)
 */
export function nextRetry(plan: RetryPlan, attempt: number, error: unknown, random: number): NextRetry {
  if (attempt >= plan.attempts || !isRetryable(error)) return "stop";
  if (plan.when !== undefined && !asks(plan.when, error)) return "stop";
  const asked = askedDelayMs(error);
  if (asked !== undefined) return { delayMs: asked };
  // factor ** attempt overflows to Infinity after some hundred attempts; the minimum brings it back, but 0 * Infinity would be NaN.
  const fullMs = plan.backoffMs === 0 ? 0 : Math.min(plan.maxBackoffMs, plan.backoffMs * plan.factor ** (attempt - 1));
  return { delayMs: Math.round(fullMs * (1 - retryDefaults.jitter * random)) };
}

/**
 * May this failure be tried again at all? Not if it says `retryable: false` (as every `NonRetryableError` does; a property, so that it also holds for
 * classes that the deciding process does not know), nor if it is an error of perdure's that another attempt cannot change.
 */
export function isRetryable(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return true;
  if ((error as { retryable?: unknown }).retryable === false) return false;
  return !(isPerdureError(error) && lasting.has(error.code));
}

const defaultPlan: RetryPlan = {
  attempts: retryDefaults.attempts,
  backoffMs: retryDefaults.backoffMs,
  factor: retryDefaults.factor,
  maxBackoffMs: retryDefaults.maxBackoffMs,
  when: undefined,
};

const policyKeys: ReadonlySet<string> = new Set<keyof RetryPolicy>(["attempts", "backoff", "factor", "maxBackoff", "when"]);

const lasting: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "invalid_argument",
  "invalid_duration",
  "invalid_id",
  "invalid_input",
  "duplicate_definition",
  "unserializable",
  "payload_too_large",
  "context_misuse",
  "cancelled",
  "terminated",
  "outcome_unknown",
  "id_conflict",
]);

function asks(when: (error: unknown) => boolean, error: unknown): boolean {
  try {
    return when(error);
  } catch {
    // It is asked after the failure, far from any code that could handle a second one; the first error is the one to report.
    return false;
  }
}

function askedDelayMs(error: unknown): number | undefined {
  if (!(error instanceof RetryAfterError) && !(error instanceof Error && error.name === "RetryAfterError")) return undefined;
  try {
    return parseDuration((error as RetryAfterError).delay, "the delay of a RetryAfterError");
  } catch {
    return undefined;
  }
}

function invalid(text: string): PerdureError {
  return new PerdureError("invalid_argument", text);
}
