/** The table of completions in a database that is not the backend's: names, statements and rows, as far as all databases agree. */
import type { Completion } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";

export const completionTableDefault = "perdure_completion";

const namePattern = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;

/**
 * The name of a table, perhaps after that of a schema, in the database's quotes.
 * @throws PerdureError `invalid_argument`
 */
export function quotedTable(name: unknown, quote: '"' | "`"): string {
  const parts = typeof name === "string" ? name.split(".") : [];
  if (parts.length === 0 || parts.length > 2 || !parts.every((part) => namePattern.test(part)))
    throw new PerdureError(
      "invalid_argument",
      `The table of completions is to be named ${JSON.stringify(name) ?? String(name)}. Give up to 63 letters, digits and underscores, at most with a schema and a dot before.`,
    );
  return parts.map((part) => `${quote}${part}${quote}`).join(".");
}

/** Columns of a row: run, command, status, payload as text, payload as bytes. */
export type CompletionValues = readonly [string, number, string, string | null, Uint8Array | null];

export const valuesOf = ({ runId, command, status, payload }: Completion): CompletionValues => [
  runId,
  command,
  status,
  typeof payload === "string" ? payload : null,
  typeof payload === "string" ? null : payload,
];

/** What is found in the last three of these columns. */
export function completionOf(runId: string, command: number, [status, text, bytes]: readonly unknown[]): Completion {
  if ((status !== "completed" && status !== "failed") || (typeof text !== "string" && !(bytes instanceof Uint8Array)))
    throw new PerdureError("internal", `The table of completions holds a row of run ${runId} that perdure did not write.`);
  return { runId, command, status, payload: typeof text === "string" ? text : new Uint8Array(bytes as Uint8Array) };
}
