import { PerdureError } from "../errors.js";

/** The longest name or id, in UTF-16 code units. */
export const nameLengthMax = 1000;

/**
 * Checks a name or an id before it goes near a store: a string, not empty, at most 1000 characters, well-formed, without NUL
 * (PostgreSQL stores neither NUL nor half of a surrogate pair).
 * @throws PerdureError `invalid_id`
 */
export function checkName(value: unknown, what: string): asserts value is string {
  const problem = problemOf(value);
  if (problem === undefined) return;
  throw new PerdureError("invalid_id", `${what} ${problem}. Give a non-empty string of at most ${nameLengthMax} characters.`, {
    details: { what },
  });
}

function problemOf(value: unknown): string | undefined {
  if (typeof value !== "string") return `must be a string, not ${value === null ? "null" : typeof value}`;
  if (value === "") return "is empty";
  if (value.length > nameLengthMax) return `has ${value.length} characters`;
  const nul = value.indexOf("\0");
  if (nul >= 0) return `holds a NUL character at position ${nul}`;
  const half = loneSurrogate.exec(value);
  if (half !== null) return `holds half of a surrogate pair at position ${half.index} (a text cut in the middle of a character)`;
  return undefined;
}

const loneSurrogate = /\p{Surrogate}/u;
