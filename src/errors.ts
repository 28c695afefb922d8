import type { Duration } from "./core/duration.js";

/**
 * Every error that perdure throws, in one table: the code is stable and public, the text says what it means and what to do.
 * `docs/errors.md` has a section for each code; a test holds the two together.
 */
export const errorCodes = {
  // wrong use, found at the call
  invalid_argument: "An argument has the wrong type or value.",
  invalid_duration: 'A duration is not a number of milliseconds nor a string like "5m" or "2 hours".',
  invalid_id: "A workflow id or a name is empty, too long, or holds NUL or half of a surrogate pair.",
  invalid_input: "The input did not pass the schema of its definition.",
  duplicate_definition: "Two definitions of one kind share a name.",
  unserializable: "A value cannot be stored; the message names the path of the culprit.",
  payload_too_large: "An encoded value is larger than the limit.",
  context_misuse: "ctx was used where it must not be: inside a step body, or after its scope or run ended.",
  // outcomes that callers handle
  timeout: "A wait, a step, an activity or a run took longer than its timeout.",
  cancelled: "The run, the scope or the wait was cancelled.",
  terminated: "The run was ended by force; its code did not get to clean up.",
  run_failed: "The workflow function threw; `cause` is what it threw.",
  step_failed: "A step or activity failed for good in a way that is not the user's own error.",
  outcome_unknown: "An at-most-once step was started and never reported: it may or may not have happened.",
  not_found: "There is no run with this id.",
  not_running: "The run has already ended, so it can take no message and no command.",
  continued: "The run has ended, and its chain goes on with another run; `details.runId` names it.",
  already_exists: "A run with this id exists and the start asked for none.",
  id_conflict: "A run with this id exists with another workflow or another input.",
  // runs that wait for somebody to mend the cause
  nondeterminism: "The workflow's code no longer does what its history says; the run is parked and goes on with fitting code.",
  poisoned: "The run ended its process several times in a row; it is parked.",
  undecodable: "A stored payload cannot be decoded (missing key, newer format, damaged data).",
  // the engine and its store
  closed: "The engine or client was closed.",
  lease_lost: "This worker lost its right to drive the run; another worker goes on with it.",
  shutdown: "The worker is shutting down; the work goes on elsewhere or after the restart.",
  history_too_long: "The run's history reached its limit; use ctx.continueAsNew.",
  backend_unavailable: "The store cannot be reached or is busy for too long; the engine retries by itself.",
  backend_failed: "The store refused an operation; the message says why and what to do.",
  backend_mismatch: "The store belongs to something else, or to a newer version of perdure.",
  backend_readonly: "The store can be read but not written.",
  backend_full: "The store is out of space; the engine goes on when there is room again.",
  driver_missing: "No usable database driver is installed.",
  internal: "A bug in perdure: an invariant did not hold. Please report it.",
} as const satisfies Record<string, string>;

/** The stable code of a {@link PerdureError}. */
export type ErrorCode = keyof typeof errorCodes;

/** Where the documentation of an error code lives. */
export const documentationOf = (code: ErrorCode): string => `https://perdure.dev/errors#${code}`;

export interface PerdureErrorOptions {
  readonly cause?: unknown;
  /** Facts for programs: ids, limits, paths. They are part of the stored error, so keep them small and free of secrets. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

const brand = Symbol.for("perdure.error");

/**
 * The base of every error that perdure throws: a stable `code`, a message that says what happened and what to do, and a page in the docs.
 * @example
 * try { await handle.result() } catch (error) { if (isPerdureError(error, "timeout")) … }
 */
export class PerdureError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  constructor(code: ErrorCode, message: string, options: PerdureErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.name = "PerdureError";
    this.code = code;
    this.details = options.details;
    Object.defineProperty(this, brand, { value: true });
  }
  /** The page that explains this error. */
  get docs(): string {
    return documentationOf(this.code);
  }
}

/**
 * Is this an error of perdure's (and of this code)? Works across copies of the package and realms, where `instanceof` does not.
 * @example if (isPerdureError(error, "not_found")) return undefined;
 */
export function isPerdureError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
): error is PerdureError & { readonly code: Code } {
  return (
    typeof error === "object" &&
    error !== null &&
    (error as Record<symbol, unknown>)[brand] === true &&
    (code === undefined || (error as PerdureError).code === code)
  );
}

/** A wait, a step, an activity or a run took longer than its timeout. */
export class TimeoutError extends PerdureError {
  declare readonly code: "timeout";
  constructor(message: string, options?: PerdureErrorOptions) {
    super("timeout", message, options);
    this.name = "TimeoutError";
  }
}

/** The run, the scope or the wait was cancelled; `details.reason` holds the reason that was given. */
export class CancelledError extends PerdureError {
  declare readonly code: "cancelled";
  constructor(message: string, options?: PerdureErrorOptions) {
    super("cancelled", message, options);
    this.name = "CancelledError";
  }
}

/** The workflow function threw: `cause` is the error as it was thrown. */
export class RunFailedError extends PerdureError {
  declare readonly code: "run_failed";
  constructor(message: string, options?: PerdureErrorOptions) {
    super("run_failed", message, options);
    this.name = "RunFailedError";
  }
}

/**
 * Throw this (or a subclass) from a step or activity to fail it at once, whatever its retry policy says.
 * Any error with a property `retryable: false` does the same.
 * @example throw new NonRetryableError("card declined");
 */
export class NonRetryableError extends Error {
  /** A property and not only a class: it survives storage even where the class is not known. */
  readonly retryable = false;
  constructor(message?: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "NonRetryableError";
  }
}

/**
 * Throw this from a step or activity to choose the wait before the next attempt: it takes the place of the policy's back-off, unshortened.
 * Attempts still count.
 * @example throw new RetryAfterError("rate limited", "30s");
 */
export class RetryAfterError extends Error {
  readonly delay: Duration;
  constructor(message: string, delay: Duration, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "RetryAfterError";
    this.delay = delay;
  }
}
