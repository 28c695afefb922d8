import { createHash } from "node:crypto";
import { PerdureError } from "../../errors.js";

const identifier = /^[A-Za-z_][A-Za-z0-9_]{0,30}$/;

/** Checks the name of a schema. It is quoted wherever it is used as well. @throws PerdureError `invalid_argument` */
export function checkSchemaName(name: unknown): string {
  if (typeof name === "string" && identifier.test(name) && !name.toLowerCase().startsWith("pg_")) return name;
  throw new PerdureError(
    "invalid_argument",
    `The schema of postgres() is ${JSON.stringify(name)}. Give a name of 1 to 31 letters, digits and underscores that begins with none of the digits and not with "pg_".`,
  );
}

/** Up to this length an id is in the index as it is. PostgreSQL's limit for an entry is 2,700 bytes, and one character can be three. */
const plainLengthMax = 200;

const loneSurrogate = /\p{Surrogate}/u;

/** The form of an id or name that tables are indexed by: itself or, where it is too long for an index, its beginning and a digest of the whole. */
export function indexForm(text: string): string {
  if (text.length <= plainLengthMax) return text;
  const digest = createHash("sha256").update(text).digest("hex");
  // Longer than any plain form, so the two never meet. Not cut inside a character.
  const beginning = text.slice(0, plainLengthMax);
  return `${loneSurrogate.test(beginning) ? beginning.slice(0, -1) : beginning}#${digest}`;
}

/** The names that do not fit into an index, as JSON text; null if all do. */
export function longForms(names: Readonly<Record<string, string>>): string | null {
  const long = Object.entries(names).filter(([, text]) => text.length > plainLengthMax);
  return long.length === 0 ? null : JSON.stringify(Object.fromEntries(long));
}

/** A stable number for a schema: the first half of its advisory locks' keys. FNV-1a, as a signed 32-bit integer. */
export function lockClassOf(schema: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < schema.length; index += 1) hash = Math.imul(hash ^ schema.charCodeAt(index), 0x01000193);
  return hash | 0;
}
