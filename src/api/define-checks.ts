// What a definition's parts must be. Types say it too; this is for plain JavaScript, and for values that arrive as `any`.
import { kindOf } from "../core/check-options.js";
import { parseDuration } from "../core/duration.js";
import { planRetry } from "../core/retry.js";
import { PerdureError } from "../errors.js";
import type { CallOptions, WorkflowOptions } from "./definition-types.js";
import type { StandardSchema } from "./shape-types.js";

export { checkOptions } from "../core/check-options.js";
export { checkName } from "../core/names.js";

export function checkRun(run: unknown, what: string): void {
  if (typeof run !== "function") throw invalid(`${what} needs a function as its second argument; it got ${kindOf(run)}.`);
}

export function checkWorkflowOptions(options: WorkflowOptions<any> | undefined, what: string): void {
  if (options === undefined) return;
  const { version, id, timeout } = options;
  if (version !== undefined && (typeof version !== "string" || version === ""))
    throw invalid(`The option version of ${what} must be a non-empty string.`);
  if (id !== undefined && typeof id !== "function")
    throw invalid(`The option id of ${what} must be a function of the input; it is ${kindOf(id)}.`);
  if (timeout !== undefined) parseDuration(timeout, `the timeout of ${what}`);
}

export function checkCallOptions(options: CallOptions | undefined, what: string): void {
  if (options === undefined) return;
  if (options.timeout !== undefined) parseDuration(options.timeout, `the timeout of ${what}`);
  if (options.retry !== undefined) planRetry(options.retry, what);
}

export function checkSchema(schema: unknown, what: string): StandardSchema<any, any> | undefined {
  if (schema === undefined) return undefined;
  if (isSchema(schema)) return schema;
  throw invalid(
    `The option input of ${what} must be a Standard Schema (zod, valibot, arktype, …), which has a "~standard" property; it is ${kindOf(schema)}.`,
  );
}

function isSchema(value: unknown): value is StandardSchema<any, any> {
  // arktype's schemas are functions with properties.
  if ((typeof value !== "object" && typeof value !== "function") || value === null || !("~standard" in value)) return false;
  const standard: unknown = value["~standard"];
  return typeof standard === "object" && standard !== null && "validate" in standard && typeof standard.validate === "function";
}

function invalid(text: string): PerdureError {
  return new PerdureError("invalid_argument", text);
}
