import { PerdureError } from "../errors.js";
import type { StandardSchema } from "../api/shape-types.js";

/** One complaint of a schema, as it stands in `details.issues` of an `invalid_input` error. */
export interface InputIssue {
  /** Where, like `items[2].price`; empty for the value itself. */
  readonly path: string;
  readonly message: string;
}

/**
 * Runs a definition's schema over a value, once, where the value enters; gives what the schema gives out. Without a schema: the value itself.
 * Only a schema that is asynchronous makes the answer a promise.
 * @param what what the value is, as messages should call it: `The input of workflow "fulfil"`
 * @throws PerdureError `invalid_input` (or a promise rejected with it); `details.issues` lists every complaint
 */
export function parseInput(schema: StandardSchema<any, any> | undefined, value: unknown, what: string): unknown {
  if (schema === undefined) return value;
  let result: unknown;
  try {
    result = schema["~standard"].validate(value);
  } catch (error) {
    throw schemaThrew(error, what);
  }
  if (!isThenable(result)) return outcome(result, what);
  return Promise.resolve(result).then(
    (settled) => outcome(settled, what),
    (error: unknown) => {
      throw schemaThrew(error, what);
    },
  );
}

interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

function outcome(result: unknown, what: string): unknown {
  if (typeof result !== "object" || result === null) {
    throw new PerdureError(
      "invalid_argument",
      `${what} has a schema that does not follow Standard Schema: validate() gave ${String(result)} and no object.`,
    );
  }
  const { issues, value } = result as { readonly issues?: readonly StandardIssue[] | undefined; readonly value?: unknown };
  if (issues === undefined) return value;
  throw refusal(issues.map(readIssue), what);
}

const issuesShownMax = 5;
const issuesKeptMax = 100;

function refusal(issues: readonly InputIssue[], what: string): PerdureError {
  const lines = issues.slice(0, issuesShownMax).map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  const more = issues.length > issuesShownMax ? `; and ${issues.length - issuesShownMax} more` : "";
  const text = lines.length === 0 ? "its schema refused it without saying why" : lines.join("; ");
  return new PerdureError("invalid_input", `${what} does not fit its schema: ${text}${more}. Nothing was stored.`, {
    details: { issues: issues.slice(0, issuesKeptMax) },
  });
}

function readIssue(issue: StandardIssue): InputIssue {
  return { path: formatPath(issue.path ?? []), message: String(issue.message) };
}

function formatPath(path: readonly (PropertyKey | { readonly key: PropertyKey })[]): string {
  let text = "";
  for (const part of path) {
    const key = typeof part === "object" ? part.key : part;
    if (typeof key === "string" && /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(key)) text += text === "" ? key : `.${key}`;
    else text += typeof key === "string" ? `[${JSON.stringify(key)}]` : `[${String(key)}]`;
  }
  return text;
}

function schemaThrew(error: unknown, what: string): PerdureError {
  const reason = error instanceof Error ? error.message : String(error);
  return new PerdureError("invalid_input", `${what} could not be checked: its schema threw an error (${reason}). Nothing was stored.`, {
    cause: error,
  });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
