// What a definition's parts must be. Types say it too; this is for plain JavaScript, and for values that arrive as `any`.
import { readCallOptions } from "../core/calls.js";
import { checkKind, kindOf } from "../core/check-options.js";
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
  const { version, versioning, id, timeout, retry, queue } = options;
  if (versioning !== undefined && versioning !== "moving" && versioning !== "pinned")
    throw invalid(`The option versioning of ${what} is ${JSON.stringify(versioning)}. Give "moving" or "pinned".`);
  if (versioning === "pinned" && version === undefined)
    throw invalid(`${what} is pinned, so it needs a version to be pinned to. Give the option version as well.`);
  if (retry !== undefined) planRetry(retry, what);
  if (queue !== undefined) checkKind(queue, "queue", `The option queue of ${what}`, "made by queue(…)");
  if (version !== undefined && (typeof version !== "string" || version === ""))
    throw invalid(`The option version of ${what} must be a non-empty string.`);
  if (id !== undefined && typeof id !== "function")
    throw invalid(`The option id of ${what} must be a function of the input; it is ${kindOf(id)}.`);
  if (timeout !== undefined) parseDuration(timeout, `the timeout of ${what}`);
}

export function checkCallOptions(options: CallOptions | undefined, what: string): void {
  if (options === undefined) return;
  readCallOptions(what, options, undefined);
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
