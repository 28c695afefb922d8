import { PerdureError } from "../errors.js";

/**
 * Options must be an object of known keys: a misspelt option that is silently ignored is worse than an error.
 * @throws PerdureError `invalid_argument`
 */
export function checkOptions(options: unknown, what: string, known: readonly string[]): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new PerdureError("invalid_argument", `The options of ${what} must be an object; they are ${kindOf(options)}.`);
  }
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const names = known.map((key) => JSON.stringify(key)).join(", ");
  throw new PerdureError("invalid_argument", `${what} has no option ${JSON.stringify(unknown)}. Its options are ${names}.`);
}

/** What a value is, for people. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (value === undefined) return "undefined";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** Refuses what is not a definition of this kind: for callers without a type checker. */
export function checkKind(value: unknown, kind: string, where: string, how: string): void {
  if (typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === kind) return;
  const article = /^[aeiou]/.test(kind) ? "an" : "a";
  throw new PerdureError("invalid_argument", `${where} needs ${article} ${kind.replace("_", " ")} ${how}; it got ${kindOf(value)}.`);
}
