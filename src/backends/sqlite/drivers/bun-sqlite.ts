import type { SqliteConnection, SqliteDriver, SqliteRow } from "../driver.js";
import { SqliteError, codeOfName, sqliteCodes } from "../sqlite-error.js";
import type { NativeHandle, NativeSpec } from "./connection.js";
import { messageOf, toConnection, translating } from "./connection.js";
import { checkRow } from "../values.js";

/** The part of `bun:sqlite` that is used. */
export interface BunSqliteModule {
  readonly Database: new (path: string, options?: { readonly?: boolean; readwrite?: boolean; create?: boolean }) => BunSqliteDatabase;
}

export interface BunSqliteDatabase {
  readonly inTransaction: boolean;
  prepare(sql: string): BunSqliteStatement;
  exec(sql: string): unknown;
  close(throwOnError?: boolean): void;
}

interface BunSqliteStatement {
  /** Are integers to come as bigints? An application may have made that the default of its database. Missing before Bun 1.1.14. */
  safeIntegers?(on: boolean): unknown;
  run(...params: readonly unknown[]): { changes: number };
  get(...params: readonly unknown[]): unknown;
  all(...params: readonly unknown[]): unknown[];
  finalize(): void;
}

const spec: NativeSpec = { name: "bun:sqlite", toError };

export function bunSqliteDriver(module: BunSqliteModule): SqliteDriver {
  return {
    name: spec.name,
    open(path, options = {}) {
      const flags = options.readOnly === true ? { readonly: true } : { readwrite: true, create: true };
      return toConnection(spec, bunSqliteHandle(translating(spec, () => new module.Database(path, flags))));
    },
  };
}

export function adoptBunSqlite(database: BunSqliteDatabase): SqliteConnection {
  return toConnection(spec, bunSqliteHandle(database));
}

function bunSqliteHandle(database: BunSqliteDatabase): NativeHandle {
  // Bun keeps the file open (and serves statements) after close() for as long as one statement is not finalized.
  const statements: BunSqliteStatement[] = [];
  return {
    exec: (sql) => void database.exec(sql),
    inTransaction: () => database.inTransaction,
    close() {
      for (const statement of statements) statement.finalize();
      database.close(true);
    },
    prepare(sql) {
      const statement = database.prepare(sql);
      statement.safeIntegers?.(false);
      statements.push(statement);
      return {
        run: (params) => statement.run(...params).changes,
        get(params) {
          const row = statement.get(...params) as SqliteRow | null | undefined;
          return row === null || row === undefined ? undefined : checkRow(row);
        },
        all(params) {
          const rows = statement.all(...params) as SqliteRow[];
          for (const row of rows) checkRow(row);
          return rows;
        },
      };
    },
  };
}

function toError(error: unknown): SqliteError {
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  return new SqliteError(codeOfName(code) ?? (typeof errno === "number" ? errno : sqliteCodes.error), messageOf(error), { cause: error });
}
