import { createHash } from "node:crypto";
import type { Payload } from "../../backend/index.js";

/**
 * Values as SQL text. Statements are sent as text and not as prepared ones: one packet then carries a whole phase of a transaction, rows and all, which
 * is one round trip instead of ten. Both the quote and the backslash are doubled: a session whose sql_mode was changed behind our back could store a
 * backslash twice, but never end a literal early.
 */
export const text = (value: string | null): string => {
  if (value === null) return "NULL";
  return escaped.test(value) ? `'${value.replace(escapedAll, "$&$&")}'` : `'${value}'`;
};

const escaped = /['\\]/;
const escapedAll = /['\\]/g;

export const bytes = (value: Uint8Array): string => `x'${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}'`;

/** A number as it is; what SQL cannot hold is a bug of the caller. */
export function number(value: number | null): string {
  if (value === null) return "NULL";
  if (!Number.isFinite(value)) throw new RangeError(`${value} is not a number that can be stored`);
  return String(value);
}

/** The two columns of a payload: text or bytes. */
export const payloadColumns = (payload: Payload | null): string =>
  payload === null ? "NULL,NULL" : typeof payload === "string" ? `${text(payload)},NULL` : `NULL,${bytes(payload)}`;

/** For updating the two columns. */
export const payloadSets = (name: string, payload: Payload): string =>
  typeof payload === "string" ? `${name}_text=${text(payload)},${name}_bytes=NULL` : `${name}_text=NULL,${name}_bytes=${bytes(payload)}`;

/** The other way round. Copied, because the driver's buffers are parts of larger ones. */
export const payloadOf = (asText: unknown, asBytes: unknown): Payload | null =>
  typeof asText === "string" ? asText : asBytes instanceof Uint8Array ? new Uint8Array(asBytes) : null;

/** The longest id that is its own key, in bytes of UTF-8. */
const ownKeyBytes = 63;

/**
 * An id or name as an index key. Ids may have 4,000 bytes, an index key 3,072, and short ids that are made in the order of time should lie in an index in
 * that order: so a short one is its own key, and a long one is 0xFF (which no UTF-8 text holds) and its SHA-256. Keys are compared as bytes, the one
 * comparison without surprises: no collation, no padding with spaces.
 */
export function idKey(id: string): string {
  const utf8 = Buffer.from(id, "utf8");
  return utf8.byteLength <= ownKeyBytes ? utf8.toString("hex") : `ff${createHash("sha256").update(utf8).digest("hex")}`;
}

/** The columns of an id: its key, and the id itself if its key does not tell. */
export const idColumns = (id: string): string => {
  const key = idKey(id);
  return isHashed(key) ? `x'${key}',${text(id)}` : `x'${key}',NULL`;
};

export const nullableIdColumns = (id: string | null): string => (id === null ? "NULL,NULL" : idColumns(id));

export const keyLiteral = (id: string): string => `x'${idKey(id)}'`;

const isHashed = (key: string): boolean => key.length === 66 && key.startsWith("ff");

/** The id of a row from the same two columns. */
export const idOf = (key: unknown, long: unknown): string =>
  typeof long === "string" ? long : Buffer.isBuffer(key) ? key.toString("utf8") : String(key);

export const nullableIdOf = (key: unknown, long: unknown): string | null => (key === null || key === undefined ? null : idOf(key, long));

export const hexOf = (key: unknown): string => (Buffer.isBuffer(key) ? key.toString("hex") : Buffer.from(String(key)).toString("hex"));

/** Drivers can be told to give large integers as strings. */
export const numberOf = (value: unknown): number => Number(value);
export const nullableNumberOf = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value));
export const nullableTextOf = (value: unknown): string | null => (typeof value === "string" ? value : null);

/** Longer lists become subqueries on MariaDB (in_predicate_conversion_threshold), which changes the order of locking. */
const listMax = 500;

export function pieces<T>(list: readonly T[], max = listMax): readonly (readonly T[])[] {
  if (list.length <= max) return list.length === 0 ? [] : [list];
  return Array.from({ length: Math.ceil(list.length / max) }, (_, index) => list.slice(index * max, (index + 1) * max));
}

/** The database's clock in whole milliseconds, whatever the session's time zone, summer time or not. */
export const nowSql = "TIMESTAMPDIFF(MICROSECOND,'1970-01-01',UTC_TIMESTAMP(6)) DIV 1000";
/** The same to the microsecond, for estimating the distance between the clocks. */
export const clockSql = "TIMESTAMPDIFF(MICROSECOND,'1970-01-01',UTC_TIMESTAMP(6))";

/** What tells one database from another, as text. */
export const placeSql = "CONCAT_WS('/',@@hostname,@@port,DATABASE())";
