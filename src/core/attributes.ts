import type { Attributes } from "../api/definition-types.js";
import { PerdureError } from "../errors.js";
import { checkName } from "./names.js";

/** Longer ones would not fit into every store's index. */
const valueLengthMax = 500;

/**
 * Attributes as they are stored and searched: text that keeps its type. Null stands for one that is to be removed.
 * @throws PerdureError `invalid_argument` · `invalid_id` (a name)
 */
export function writeAttributes(attributes: Attributes, what: string): { readonly name: string; readonly value: string | null }[] {
  if (typeof attributes !== "object" || attributes === null)
    throw new PerdureError("invalid_argument", `${what} must be an object like { customer: "c-17" }.`);
  return Object.entries(attributes).map(([name, value]) => {
    checkName(name, `the name of an attribute in ${what}`);
    const text = writeAttribute(value);
    if (text !== undefined && (text === null || text.length <= valueLengthMax)) return { name, value: text };
    throw new PerdureError(
      "invalid_argument",
      `The attribute ${JSON.stringify(name)} in ${what} cannot be stored. Give a string of at most ${valueLengthMax} characters, a finite number, a boolean, a valid Date, or null to remove it.`,
    );
  });
}

function writeAttribute(value: Attributes[string]): string | null | undefined {
  if (value === null) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : `d:${value.toISOString()}`;
  switch (typeof value) {
    case "string":
      return isStorable(value) ? `s:${value}` : undefined;
    case "number":
      return Number.isFinite(value) ? `n:${value}` : undefined;
    case "boolean":
      return `b:${value}`;
    default:
      return undefined;
  }
}

const isStorable = (text: string): boolean => !text.includes("\0") && !/\p{Surrogate}/u.test(text);

export function readAttribute(text: string): string | number | boolean | Date {
  const value = text.slice(2);
  switch (text.slice(0, 2)) {
    case "n:":
      return Number(value);
    case "b:":
      return value === "true";
    case "d:":
      return new Date(value);
    default:
      return value;
  }
}
