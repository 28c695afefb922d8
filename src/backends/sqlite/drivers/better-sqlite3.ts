import type { SqliteConnection, SqliteDriver, SqliteRow } from "../driver.js";
import { SqliteError, codeOfName, sqliteCodes } from "../sqlite-error.js";
import type { NativeHandle, NativeSpec } from "./connection.js";
import { messageOf, toConnection, translating } from "./connection.js";
import { checkRow } from "../values.js";

/** The part of `better-sqlite3` that is used. */
export type BetterSqlite3Module = new (path: string, options?: { readonly?: boolean; timeout?: number }) => BetterSqlite3Database;

export interface BetterSqlite3Database {
  readonly inTransaction: boolean;
  prepare(sql: string): {
    /** Does the statement return rows? `run` is fine either way; `get` and `all` throw when it does not. */
    readonly reader: boolean;
    /** Are integers to come as bigints? An application may have made that the default of its database. */
    safeIntegers(on: boolean): unknown;
    run(params: readonly unknown[]): { changes: number };
    get(params: readonly unknown[]): unknown;
    all(params: readonly unknown[]): unknown[];
  };
  exec(sql: string): unknown;
  close(): unknown;
}

const spec: NativeSpec = { name: "better-sqlite3", toError };

export function betterSqlite3Driver(module: BetterSqlite3Module): SqliteDriver {
  return {
    name: spec.name,
    // Its default timeout of 5 s would block the event loop.
    open: (path, options = {}) =>
      toConnection(
        spec,
        betterSqlite3Handle(translating(spec, () => new module(path, { readonly: options.readOnly ?? false, timeout: 0 }))),
      ),
  };
}

export function adoptBetterSqlite3(database: BetterSqlite3Database): SqliteConnection {
  return toConnection(spec, betterSqlite3Handle(database));
}

function betterSqlite3Handle(database: BetterSqlite3Database): NativeHandle {
  return {
    exec: (sql) => void database.exec(sql),
    inTransaction: () => database.inTransaction,
    close: () => void database.close(),
    prepare(sql) {
      const statement = database.prepare(sql);
      statement.safeIntegers(false);
      return {
        run: (params) => statement.run(params).changes,
        get(params) {
          if (!statement.reader) return void statement.run(params);
          const row = statement.get(params) as SqliteRow | undefined;
          return row === undefined ? undefined : checkRow(row);
        },
        all(params) {
          if (!statement.reader) {
            statement.run(params);
            return [];
          }
          const rows = statement.all(params) as SqliteRow[];
          for (const row of rows) checkRow(row);
          return rows;
        },
      };
    },
  };
}

function toError(error: unknown): SqliteError {
  const message = messageOf(error);
  return new SqliteError(codeOfName((error as { code?: unknown }).code) ?? guessCode(message), message, { cause: error });
}

function guessCode(message: string): number {
  if (message.startsWith("Cannot open database")) return sqliteCodes.cantopen;
  return message.includes("connection is not open") ? sqliteCodes.misuse : sqliteCodes.error;
}
