import { describe, expect, it } from "vitest";
import { StoreFailure } from "../../backend/failures.js";
import { toStoreFailure } from "./failure.js";
import { SqliteError, codeOfName, isSqliteError } from "./sqlite-error.js";

describe("SQLite's codes", () => {
  it.each([
    [5, "SQLITE_BUSY", "SQLITE_BUSY"],
    [517, "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY"],
    [13, "SQLITE_FULL", "SQLITE_FULL"],
    [1034, "SQLITE_IOERR_FSYNC", "SQLITE_IOERR"],
    [778, "SQLITE_IOERR_WRITE", "SQLITE_IOERR"],
    [8714, "SQLITE_IOERR_IN_PAGE", "SQLITE_IOERR"],
    [1032, "SQLITE_READONLY_DBMOVED", "SQLITE_READONLY"],
    [1555, "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT"],
    [2067, "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT"],
    [3091, "SQLITE_CONSTRAINT_DATATYPE", "SQLITE_CONSTRAINT"],
    [26, "SQLITE_NOTADB", "SQLITE_NOTADB"],
    [14, "SQLITE_CANTOPEN", "SQLITE_CANTOPEN"],
  ])("%i is %s", (extendedCode, code, primary) => {
    const error = new SqliteError(extendedCode, "text");
    expect([error.code, error.primary, codeOfName(code)]).toEqual([code, primary, extendedCode]);
    expect(isSqliteError(error, error.primary)).toBe(true);
  });

  it("of a future SQLite keep their family", () => {
    expect(new SqliteError(10 | (200 << 8), "text")).toMatchObject({
      code: "SQLITE_IOERR",
      primary: "SQLITE_IOERR",
      extendedCode: 10 | (200 << 8),
    });
    expect(codeOfName("SQLITE_NEW")).toBeUndefined();
  });
});

describe("a failure of the store", () => {
  it.each([
    [5, "backend_unavailable", true],
    [13, "backend_full", true],
    [8, "backend_readonly", false],
    [1032, "backend_mismatch", false],
    [1034, "backend_failed", true],
    [11, "backend_failed", false],
    [26, "backend_mismatch", false],
    [14, "backend_failed", false],
    [1555, "backend_failed", false],
  ])("made of %i is %s", (extendedCode, code, transient) => {
    const failure = toStoreFailure(new SqliteError(extendedCode, "text"), "a.db", "unknown");
    expect(failure).toBeInstanceOf(StoreFailure);
    expect(failure).toMatchObject({ code, transient, outcome: "unknown", cause: { extendedCode } });
    expect((failure as StoreFailure).message).toMatch(/^a\.db: .*text/);
  });

  it("leaves other errors alone", () => {
    const error = new Error("mine");
    expect(toStoreFailure(error, "a.db")).toBe(error);
  });
});
