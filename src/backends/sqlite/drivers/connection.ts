import type { SqliteConnection, SqliteDriverName, SqliteParam, SqliteRow, SqliteStatement } from "../driver.js";
import { SqliteError, sqliteCodes } from "../sqlite-error.js";
import { toValues } from "../values.js";

/** A library's database handle, reduced to what differs; {@link toConnection} adds what is the same for all. */
export interface NativeHandle {
  prepare(sql: string): NativeStatement;
  exec(sql: string): void;
  inTransaction(): boolean;
  close(): void;
}

/** May throw anything: {@link NativeSpec.toError} translates. */
export interface NativeStatement {
  run(params: readonly unknown[]): number;
  get(params: readonly unknown[]): SqliteRow | undefined;
  all(params: readonly unknown[]): SqliteRow[];
}

export interface NativeSpec {
  readonly name: SqliteDriverName;
  /** Translates an error of this library. */
  readonly toError: (error: unknown) => SqliteError;
}

/** Runs something of a library and translates its errors. */
export function translating<T>(spec: NativeSpec, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof SqliteError ? error : spec.toError(error);
  }
}

export function toConnection(spec: NativeSpec, handle: NativeHandle): SqliteConnection {
  let closed = false;
  const assertOpen = (): void => {
    if (closed) throw new SqliteError(sqliteCodes.misuse, "The connection is closed.");
  };
  return {
    driverName: spec.name,
    get inTransaction() {
      return !closed && handle.inTransaction();
    },
    prepare(sql) {
      assertOpen();
      return toStatement(
        spec,
        assertOpen,
        translating(spec, () => handle.prepare(sql)),
      );
    },
    exec(sql) {
      assertOpen();
      translating(spec, () => handle.exec(sql));
    },
    close() {
      if (closed) return;
      // A transaction left open would keep its locks for as long as the library keeps the handle, which can be until garbage collection.
      if (handle.inTransaction()) translating(spec, () => handle.exec("ROLLBACK"));
      closed = true;
      translating(spec, () => handle.close());
    },
  };
}

function toStatement(spec: NativeSpec, assertOpen: () => void, statement: NativeStatement): SqliteStatement {
  // Written out three times: a shared closure here would be allocated once per executed statement, on the hottest path of the store.
  return {
    run(params?: readonly SqliteParam[]) {
      assertOpen();
      try {
        return statement.run(toValues(params));
      } catch (error) {
        throw error instanceof SqliteError ? error : spec.toError(error);
      }
    },
    get<Row>(params?: readonly SqliteParam[]) {
      assertOpen();
      try {
        return statement.get(toValues(params)) as Row | undefined;
      } catch (error) {
        throw error instanceof SqliteError ? error : spec.toError(error);
      }
    },
    all<Row>(params?: readonly SqliteParam[]) {
      assertOpen();
      try {
        return statement.all(toValues(params)) as Row[];
      } catch (error) {
        throw error instanceof SqliteError ? error : spec.toError(error);
      }
    },
  };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
