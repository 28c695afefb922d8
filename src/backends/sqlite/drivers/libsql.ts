import type { SqliteConnection, SqliteDriver, SqliteRow, SqliteValue } from "../driver.js";
import { SqliteError, codeOfName, sqliteCodes } from "../sqlite-error.js";
import type { NativeHandle, NativeSpec, NativeStatement } from "./connection.js";
import { messageOf, toConnection, translating } from "./connection.js";
import { checkColumn } from "../values.js";

/** The part of `libsql` that is used. */
export type LibsqlModule = new (path: string, options?: { timeout?: number }) => LibsqlDatabase;

export interface LibsqlDatabase {
  readonly open: boolean;
  readonly inTransaction: boolean;
  prepare(sql: string): LibsqlStatement;
  exec(sql: string): unknown;
  close(): void;
}

interface LibsqlStatement {
  readonly reader: boolean;
  /** Are integers to come as bigints? An application may have made that the default of its database. */
  safeIntegers(on: boolean): LibsqlStatement;
  raw(on: boolean): LibsqlStatement;
  columns(): readonly { readonly name: string }[];
  run(params: readonly unknown[]): { changes: number };
  all(params: readonly unknown[]): unknown[];
}

const spec: NativeSpec = { name: "libsql", toError };

export function libsqlDriver(module: LibsqlModule): SqliteDriver {
  return {
    name: spec.name,
    open(path, options = {}) {
      const connection = toConnection(spec, libsqlHandle(translating(spec, () => new module(path, { timeout: 0 }))));
      // The library cannot open a file read-only.
      if (options.readOnly === true) connection.exec("PRAGMA query_only = 1");
      return connection;
    },
  };
}

/** The library gives the file back on close only once its prepared statements are garbage; until then the descriptor stays open, without locks. */
export function adoptLibsql(database: LibsqlDatabase): SqliteConnection {
  return toConnection(spec, libsqlHandle(database));
}

function libsqlHandle(database: LibsqlDatabase): NativeHandle {
  return {
    exec: (sql) => void database.exec(sql),
    // Asked about a closed database, the library ends the process.
    inTransaction: () => database.open && database.inTransaction,
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql).safeIntegers(false);
      return statement.reader ? reader(database, statement) : writer(statement);
    },
  };
}

function writer(statement: LibsqlStatement): NativeStatement {
  const run = (params: readonly unknown[]): number => statement.run(params).changes;
  return { run, get: (params) => void run(params), all: (params) => (run(params), []) };
}

/** Rows come as arrays and are named here: as objects they carry an extra key (`get`) and blobs without their view (`all`). */
function reader(database: LibsqlDatabase, statement: LibsqlStatement): NativeStatement {
  statement.raw(true);
  const names = statement.columns().map((column) => column.name);
  const toRow = (values: SqliteValue[]): SqliteRow => {
    const row: SqliteRow = {};
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      const value = values[i] as SqliteValue;
      checkColumn(name, value);
      row[name] = value;
    }
    return row;
  };
  // Never the library's get(): after all() or an error it silently runs with the parameters of the call before. all() resets the statement first.
  const all = (params: readonly unknown[]): SqliteRow[] => (statement.all(params) as SqliteValue[][]).map(toRow);
  return {
    all,
    get: (params) => all(params)[0],
    run(params) {
      // The library's own run() leaves a statement that returns rows unfinished: nothing can commit until it is garbage.
      statement.all(params);
      return (database.prepare("SELECT changes()").safeIntegers(false).raw(true).all([]) as [[number]])[0][0];
    },
  };
}

function toError(error: unknown): SqliteError {
  const { code, rawCode } = error as { code?: unknown; rawCode?: unknown };
  const message = messageOf(error);
  const number = typeof rawCode === "number" ? rawCode : (codeOfName(code) ?? codeInMessage(message));
  return new SqliteError(number, message, { cause: error });
}

/** Opening fails with a bare error whose text ends with the code: `ConnectionFailed("Unable to open connection to local database …: 14")`. */
function codeInMessage(message: string): number {
  const found = /: (\d+)"\)$/.exec(message);
  if (found !== null) return Number(found[1]);
  return message.includes("connection is not open") ? sqliteCodes.misuse : sqliteCodes.error;
}
