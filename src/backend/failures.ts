import { PerdureError, type ErrorCode } from "../errors.js";

/**
 * How a store says that a call failed as a whole. `outcome` tells what the engine may conclude:
 * `none`: nothing was written; `unknown`: the writes may have happened, so find out by re-claiming, never by reading or by sending them again.
 * `transient` failures are worth retrying with back-off; others (a constraint violated, a value refused) are not.
 */
export class StoreFailure extends PerdureError {
  readonly outcome: "none" | "unknown";
  readonly transient: boolean;
  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly outcome: "none" | "unknown"; readonly transient: boolean; readonly cause?: unknown },
  ) {
    super(code, message, "cause" in options ? { cause: options.cause } : {});
    this.name = "StoreFailure";
    this.outcome = options.outcome;
    this.transient = options.transient;
  }
}
