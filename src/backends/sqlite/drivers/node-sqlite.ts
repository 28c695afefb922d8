import type { SqliteConnection, SqliteDriver, SqliteRow } from "../driver.js";
import { SqliteError, codeOfName, sqliteCodes } from "../sqlite-error.js";
import type { NativeHandle, NativeSpec } from "./connection.js";
import { messageOf, toConnection, translating } from "./connection.js";

/** The part of `node:sqlite` that is used (Node >= 22.13, Deno, Bun). Its own types exist only on the newer Nodes. */
export interface NodeSqliteModule {
  readonly DatabaseSync: new (path: string, options?: { readOnly?: boolean }) => NodeSqliteDatabase;
}

export interface NodeSqliteDatabase {
  /** Missing before Node 22.16. */
  readonly isTransaction?: boolean;
  prepare(sql: string): {
    /** Are integers to come as bigints? An application may have made that the default of its database. */
    setReadBigInts(on: boolean): void;
    /** The same of rows as arrays. Missing before Node 24. */
    setReturnArrays?(on: boolean): void;
    run(...params: readonly unknown[]): { changes: number | bigint };
    get(...params: readonly unknown[]): unknown;
    all(...params: readonly unknown[]): unknown[];
  };
  exec(sql: string): void;
  close(): void;
}

const spec: NativeSpec = { name: "node:sqlite", toError };

export function nodeSqliteDriver(module: NodeSqliteModule): SqliteDriver {
  return {
    name: spec.name,
    open: (path, options = {}) =>
      toConnection(spec, nodeSqliteHandle(translating(spec, () => new module.DatabaseSync(path, { readOnly: options.readOnly ?? false })))),
  };
}

export function adoptNodeSqlite(database: NodeSqliteDatabase): SqliteConnection {
  return toConnection(spec, nodeSqliteHandle(database));
}

function nodeSqliteHandle(database: NodeSqliteDatabase): NativeHandle {
  return {
    exec: (sql) => database.exec(sql),
    close: () => database.close(),
    inTransaction: () => database.isTransaction ?? probeTransaction(database),
    prepare(sql) {
      const statement = database.prepare(sql);
      statement.setReadBigInts(false);
      statement.setReturnArrays?.(false);
      return {
        run: (params) => Number(statement.run(...params).changes),
        get: (params) => statement.get(...params) as SqliteRow | undefined,
        all: (params) => statement.all(...params) as SqliteRow[],
      };
    },
  };
}

function probeTransaction(database: NodeSqliteDatabase): boolean {
  try {
    database.exec("BEGIN DEFERRED");
  } catch {
    return true;
  }
  database.exec("ROLLBACK");
  return false;
}

function toError(error: unknown): SqliteError {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  if (typeof errcode === "number") return new SqliteError(errcode, messageOf(error), { cause: error });
  // ERR_OUT_OF_RANGE: a column beyond 2^53. ERR_INVALID_STATE: used after close.
  const fallback =
    code === "ERR_OUT_OF_RANGE" ? sqliteCodes.mismatch : code === "ERR_INVALID_STATE" ? sqliteCodes.misuse : sqliteCodes.error;
  return new SqliteError(codeOfName(code) ?? fallback, messageOf(error), { cause: error });
}
