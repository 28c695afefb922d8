/**
 * The stored text, version 1.
 *
 * Plain JSON (null, booleans, strings, finite numbers but -0, arrays, plain objects, no object twice) is its own `JSON.stringify` text.
 * Everything else is `{"$perdure":1,"value":…}`: still JSON, still readable in psql and sqlite3, and inside `value`
 * - an object with a key that starts with one `$` is a tag of the closed set below;
 * - a key of the user's own that starts with `$` is written with one `$` more.
 * A plain value whose text would start like the envelope is put into one, so no user data can be taken for a tag.
 *
 *   {"$const":"undefined" | "NaN" | "Infinity" | "-Infinity" | "-0" | "hole"}      a hole only as an element of an array
 *   {"$bigint":"123"}   {"$date":"2026-01-31T09:00:00.000Z" | null}   {"$url":"https://…"}   {"$regexp":["source","flags"]}
 *   {"$map":[[key,value],…]}   {"$set":[value,…]}   {"$bare":{…}} (no prototype)
 *   {"$bytes":"base64"} (Uint8Array)   {"$binary":["Float64Array","base64"]} (little-endian)
 *   {"$error":{"name","class"?,"message","stack"?,"props"?,"cause"?,"errors"?,"dropped"?}}
 *   {"$id":1,"of":…} the first sight of an object that is met again as {"$ref":1}
 */
export const formatVersion = 1;

/** How every text that is not plain JSON starts, in this and in later versions. */
export const envelopeStart = '{"$perdure":';

/** The most common value that is not plain: what a step without a result returns. */
export const undefinedText = `${envelopeStart}${formatVersion},"value":{"$const":"undefined"}}`;

/** What a walk over JSON meets. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** Sets an own property whatever its name is: assigning to `__proto__` would set the prototype instead. */
export function setOwn(target: object, key: string | number, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  else (target as Record<string | number, unknown>)[key] = value;
}
