import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PerdureError } from "../../../errors.js";
import { currentHost, loadBuiltin } from "../../../platform/load-builtin.js";
import type { SqliteConnection, SqliteDriver, SqliteDriverName, SqliteParam } from "../driver.js";
import { SqliteError } from "../sqlite-error.js";
import type { DriverSources } from "./load-driver.js";
import { adoptDatabase, loadDriver } from "./load-driver.js";

const names: readonly SqliteDriverName[] = ["bun:sqlite", "node:sqlite", "better-sqlite3", "libsql"];

function driversHere(): SqliteDriver[] {
  return names.flatMap((name) => {
    try {
      return [loadDriver(name)];
    } catch {
      return [];
    }
  });
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "perdure-driver-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the choice of a driver", () => {
  it("finds one on this machine", () => {
    expect(names).toContain(loadDriver().name);
  });

  const nothing: DriverSources = {
    host: { name: "node", nodeMajor: 20 },
    builtin: () => undefined,
    require: (specifier) => {
      throw Object.assign(new Error(`Cannot find module '${specifier}'`), { code: "MODULE_NOT_FOUND" });
    },
  };

  it("says what to install when there is none", () => {
    const error = errorOf(() => loadDriver(undefined, nothing)) as PerdureError;
    expect(error).toBeInstanceOf(PerdureError);
    expect(error.code).toBe("driver_missing");
    expect(error.message).toContain("npm install libsql");
    for (const name of names) expect(error.message).toContain(name);
  });

  it("tells a broken installation from a missing one", () => {
    const broken: DriverSources = {
      ...nothing,
      require: () => {
        throw new Error("Cannot load native module\n  at …");
      },
    };
    const error = errorOf(() => loadDriver("libsql", broken)) as PerdureError;
    expect(error.message).toContain("cannot be loaded (Cannot load native module)");
  });

  it("does not touch a better-sqlite3 that crashes on this Node", () => {
    const loaded: string[] = [];
    const sources: DriverSources = {
      ...nothing,
      require: (specifier) => {
        loaded.push(specifier);
        return specifier.endsWith("package.json") ? { version: "13.2.0" } : function Database() {};
      },
    };
    const error = errorOf(() => loadDriver("better-sqlite3", sources)) as PerdureError;
    expect(error.code).toBe("driver_missing");
    expect(error.message).toContain("crashes on Node 20");
    expect(loaded).toEqual(["better-sqlite3/package.json"]);
    expect(loadDriver("better-sqlite3", { ...sources, host: { name: "node", nodeMajor: 22 } }).name).toBe("better-sqlite3");
  });

  it("prefers what comes with the runtime", () => {
    const everything: DriverSources = { host: { name: "bun", nodeMajor: 24 }, builtin: () => ({}), require: () => function Database() {} };
    expect(loadDriver(undefined, everything).name).toBe("bun:sqlite");
    expect(loadDriver(undefined, { ...everything, host: currentHost() }).name).toBe("node:sqlite");
  });

  it("refuses a name it does not know and an object that is no database", () => {
    expect((errorOf(() => loadDriver("sqlite4" as SqliteDriverName)) as PerdureError).code).toBe("invalid_argument");
    for (const value of [undefined, null, "x.db", {}, { prepare() {}, exec() {}, close() {} }]) {
      expect((errorOf(() => adoptDatabase(value)) as PerdureError).code).toBe("invalid_argument");
    }
  });

  it("keeps only the experimental warning quiet", async () => {
    const warnings: string[] = [];
    const listen = (warning: Error): void => void warnings.push(warning.name);
    process.on("warning", listen);
    loadBuiltin("node:sqlite");
    process.emitWarning("something else", "DeprecationWarning");
    await new Promise<void>((resolve) => void setImmediate(resolve));
    process.off("warning", listen);
    expect(warnings).toEqual(["DeprecationWarning"]);
  });
});

describe.each(driversHere())("the driver $name", (driver) => {
  let files = 0;
  const fresh = (): string => join(folder, `${driver.name.replace(":", "-")}-${files++}.db`);

  function withDatabase<T>(action: (connection: SqliteConnection, path: string) => T): T {
    const path = fresh();
    const connection = driver.open(path);
    try {
      connection.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT UNIQUE, n INTEGER, real REAL, bytes BLOB) STRICT");
      return action(connection, path);
    } finally {
      connection.close();
    }
  }

  it("stores and returns every kind of value alike", () => {
    withDatabase((connection) => {
      const insert = connection.prepare("INSERT INTO t VALUES (?, ?, ?, ?, ?)");
      expect(insert.run([1, "ä€😀", Number.MAX_SAFE_INTEGER, 0.5, new Uint8Array([0, 255])])).toBe(1);
      expect(insert.run([2, undefined, true, null, Buffer.from("buf")])).toBe(1);
      expect(insert.run([3, "", -5n, 1.25, new Uint8Array(0)])).toBe(1);
      const select = connection.prepare("SELECT id, text, n, real, bytes FROM t WHERE id = ?");
      const rows = connection.prepare("SELECT id, text, n, real, bytes FROM t ORDER BY id").all();
      expect(rows.map((row) => ({ ...row, bytes: [...(row["bytes"] as Uint8Array)] }))).toEqual([
        { id: 1, text: "ä€😀", n: Number.MAX_SAFE_INTEGER, real: 0.5, bytes: [0, 255] },
        { id: 2, text: null, n: 1, real: null, bytes: [98, 117, 102] },
        { id: 3, text: "", n: -5, real: 1.25, bytes: [] },
      ]);
      expect(rows.map((row) => row["bytes"] instanceof Uint8Array)).toEqual([true, true, true]);
      expect(Object.keys(select.get([1]) ?? {})).toEqual(["id", "text", "n", "real", "bytes"]);
      expect(select.get([1])?.["bytes"]).toBeInstanceOf(Uint8Array);
      expect(select.get([99])).toBeUndefined();
      expect(select.all([99])).toEqual([]);
    });
  });

  it("refuses what it cannot store exactly, and goes on", () => {
    withDatabase((connection) => {
      const insert = connection.prepare("INSERT INTO t (n, text) VALUES (?, ?)");
      const bad: unknown[] = [
        2 ** 53,
        -(2 ** 53),
        2n ** 53n,
        Number.NaN,
        Infinity,
        1e300,
        {},
        [],
        Symbol("s"),
        () => 1,
        new Date(0),
        new ArrayBuffer(1),
      ];
      for (const value of bad) {
        const error = errorOf(() => insert.run([value as SqliteParam, "x"]));
        expect(error).toBeInstanceOf(SqliteError);
        expect((error as SqliteError).primary).toBe("SQLITE_MISMATCH");
      }
      expect(insert.run([1, "x"])).toBe(1);
      expect(connection.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: 1 });
    });
  });

  it("refuses to round a column beyond 2^53", () => {
    withDatabase((connection) => {
      connection.exec("INSERT INTO t (id, n) VALUES (1, 9007199254740993)");
      const select = connection.prepare("SELECT n FROM t");
      expect((errorOf(() => select.all()) as SqliteError).primary).toBe("SQLITE_MISMATCH");
      expect((errorOf(() => select.get()) as SqliteError).primary).toBe("SQLITE_MISMATCH");
      connection.exec("UPDATE t SET n = 9007199254740991");
      expect(select.get()).toEqual({ n: Number.MAX_SAFE_INTEGER });
    });
  });

  it("counts changes, also of statements that return rows, and can commit after them", () => {
    withDatabase((connection) => {
      connection.exec("BEGIN IMMEDIATE");
      const insert = connection.prepare("INSERT INTO t (id, n) VALUES (?, 0), (?, 0) RETURNING id");
      expect(insert.run([1, 2])).toBe(2);
      expect(insert.all([3, 4])).toEqual([{ id: 3 }, { id: 4 }]);
      expect(insert.get([5, 6])).toEqual({ id: 5 });
      expect(connection.prepare("UPDATE t SET n = 1 WHERE id > ?").run([99])).toBe(0);
      expect(connection.prepare("UPDATE t SET n = 1").run()).toBe(6);
      expect(connection.prepare("UPDATE t SET n = 1").get()).toBeUndefined();
      expect(connection.prepare("UPDATE t SET n = 1").all()).toEqual([]);
      connection.exec("COMMIT");
      expect(connection.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: 6 });
    });
  });

  it("binds the parameters of each call, whatever the call before did", () => {
    withDatabase((connection) => {
      const select = connection.prepare("SELECT ? AS a UNION ALL SELECT ?");
      expect([select.all([1, 2]), select.get([3, 4]), select.get([5, 6]), select.all([7, 8])]).toEqual([
        [{ a: 1 }, { a: 2 }],
        { a: 3 },
        { a: 5 },
        [{ a: 7 }, { a: 8 }],
      ]);
      for (const returning of ["", " RETURNING id"]) {
        connection.exec("DELETE FROM t");
        const insert = connection.prepare(`INSERT INTO t (id) VALUES (?)${returning}`);
        for (const [i, method] of (["run", "get", "all", "all", "get", "run"] as const).entries()) {
          insert[method]([i]);
          for (const failing of ["run", "get", "all"] as const) {
            expect((errorOf(() => insert[failing]([i])) as SqliteError).code).toBe("SQLITE_CONSTRAINT_PRIMARYKEY");
          }
        }
        expect(connection.prepare("SELECT id FROM t").all()).toEqual([0, 1, 2, 3, 4, 5].map((id) => ({ id })));
      }
    });
  });

  it("gives a failed constraint, a syntax error and a missing table one shape", () => {
    withDatabase((connection) => {
      connection.exec("INSERT INTO t (id, text) VALUES (1, 'a')");
      const insert = connection.prepare("INSERT INTO t (id, text) VALUES (?, ?)");
      const shape = (action: () => unknown): unknown => {
        const error = errorOf(action) as SqliteError;
        return [error instanceof SqliteError, error.code, error.primary, error.extendedCode, error.cause !== undefined];
      };
      expect(shape(() => insert.run([1, "b"]))).toEqual([true, "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT", 1555, true]);
      expect(shape(() => insert.run([2, "a"]))).toEqual([true, "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT", 2067, true]);
      expect(shape(() => connection.prepare("SELEC"))).toEqual([true, "SQLITE_ERROR", "SQLITE_ERROR", 1, true]);
      expect(shape(() => connection.exec("DROP TABLE nope"))).toEqual([true, "SQLITE_ERROR", "SQLITE_ERROR", 1, true]);
      expect(shape(() => driver.open(join(folder, "no", "such", "folder", "x.db")))).toEqual([
        true,
        "SQLITE_CANTOPEN",
        "SQLITE_CANTOPEN",
        14,
        true,
      ]);
    });
  });

  it("is busy at once when another connection writes", () => {
    withDatabase((connection, path) => {
      const other = driver.open(path);
      other.exec("PRAGMA busy_timeout = 0");
      connection.exec("BEGIN IMMEDIATE");
      const error = errorOf(() => other.exec("BEGIN IMMEDIATE")) as SqliteError;
      expect([error.code, error.primary]).toEqual(["SQLITE_BUSY", "SQLITE_BUSY"]);
      connection.exec("COMMIT");
      other.exec("BEGIN IMMEDIATE");
      expect(other.inTransaction).toBe(true);
      other.close();
    });
  });

  it("knows whether a transaction is open", () => {
    withDatabase((connection) => {
      expect(connection.inTransaction).toBe(false);
      connection.exec("BEGIN");
      expect(connection.inTransaction).toBe(true);
      connection.exec("ROLLBACK");
      expect(connection.inTransaction).toBe(false);
    });
  });

  it("gives the file back on close, rolls back, and serves nothing afterwards", () => {
    const path = fresh();
    const connection = driver.open(path);
    connection.exec("CREATE TABLE t (n INTEGER)");
    const insert = connection.prepare("INSERT INTO t VALUES (?)");
    const select = connection.prepare("SELECT n FROM t");
    connection.exec("BEGIN IMMEDIATE");
    insert.run([1]);
    connection.close();
    connection.close();
    expect(connection.inTransaction).toBe(false);
    for (const use of [
      () => insert.run([2]),
      () => select.get(),
      () => select.all(),
      () => connection.exec("SELECT 1"),
      () => connection.prepare("SELECT 1"),
    ]) {
      expect((errorOf(use) as SqliteError).primary).toBe("SQLITE_MISUSE");
    }
    const other = driver.open(path);
    other.exec("BEGIN EXCLUSIVE");
    expect(other.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: 0 });
    other.close();
  });

  it("opens for reading only", () => {
    const path = withDatabase((connection, file) => (connection.exec("INSERT INTO t (n) VALUES (1)"), file));
    const connection = driver.open(path, { readOnly: true });
    expect(connection.prepare("SELECT n FROM t").get()).toEqual({ n: 1 });
    expect((errorOf(() => connection.exec("DELETE FROM t")) as SqliteError).primary).toBe("SQLITE_READONLY");
    connection.close();
  });
});
