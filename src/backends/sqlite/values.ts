import type { SqliteParam, SqliteRow, SqliteValue } from "./driver.js";
import { SqliteError, sqliteCodes } from "./sqlite-error.js";

const none: readonly SqliteValue[] = [];

/** Parameters as every library takes them. Copies only when something has to change: the hot path passes its array through. */
export function toValues(params: readonly SqliteParam[] | undefined): readonly SqliteValue[] {
  if (params === undefined) return none;
  for (let i = 0; i < params.length; i++) {
    const param = params[i];
    if (typeof param === "string" || Number.isSafeInteger(param) || param === null) continue;
    return Array.from(params, toValue);
  }
  return params as readonly SqliteValue[];
}

function toValue(param: SqliteParam, index: number): SqliteValue {
  switch (typeof param) {
    case "string":
      return param;
    case "undefined":
      return null;
    case "boolean":
      return param ? 1 : 0;
    case "number":
      // A fraction is fine; an integer that a double cannot hold exactly, NaN (which SQLite stores as NULL) and infinities are not.
      if (Number.isSafeInteger(param) || (Number.isFinite(param) && !Number.isInteger(param))) return param;
      throw refused(index, `${param} is not a number that can be stored exactly`);
    case "bigint":
      if (param >= BigInt(Number.MIN_SAFE_INTEGER) && param <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(param);
      throw refused(index, `${param}n is beyond ±(2^53 - 1)`);
    default:
      if (param === null || param instanceof Uint8Array) return param;
      throw refused(index, `a value of type ${typeof param} cannot be stored`);
  }
}

function refused(index: number, why: string): SqliteError {
  return new SqliteError(sqliteCodes.mismatch, `Parameter ${index + 1}: ${why}.`);
}

/** Makes a row of a library that rounds large integers as strict as node:sqlite, which throws. */
export function checkRow(row: SqliteRow): SqliteRow {
  for (const column in row) checkColumn(column, row[column]);
  return row;
}

export function checkColumn(column: string, value: unknown): void {
  if (typeof value === "number" && (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER)) {
    throw new SqliteError(sqliteCodes.mismatch, `Column ${column} holds ${value}, which is beyond ±(2^53 - 1).`);
  }
}
