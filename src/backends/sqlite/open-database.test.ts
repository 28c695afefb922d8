import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PerdureError } from "../../errors.js";
import { systemRuntime } from "../../platform/runtime.js";
import type { SqliteConnection, SqliteDriver } from "./driver.js";
import { loadDriver } from "./drivers/load-driver.js";
import { assertSameFile } from "./file-identity.js";
import type { OpenDatabaseOptions } from "./open-database.js";
import { applicationId, assertKnownVersion, openDatabase, readPragma, readSchemaVersion, stampSchemaVersion } from "./open-database.js";

const driver = loadDriver();
const runtime = systemRuntime();
let folder: string;
let path: string;
let opened: SqliteConnection[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "perdure-open-"));
  path = join(folder, "a.db");
});
afterEach(() => {
  for (const connection of opened) connection.close();
  opened = [];
  chmodSync(folder, 0o755);
  rmSync(folder, { recursive: true, force: true });
});

async function open(options: Partial<OpenDatabaseOptions> = {}, using: SqliteDriver = driver) {
  const result = await openDatabase(using, runtime, { path, synchronous: "full", waitMaxMs: 50, ...options });
  opened.push(result.connection);
  return result;
}

async function create(): Promise<void> {
  const { connection } = await open();
  connection.exec("BEGIN IMMEDIATE; CREATE TABLE t (n INTEGER)");
  stampSchemaVersion(connection, 3);
  connection.exec("COMMIT");
  connection.close();
}

async function codeOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof PerdureError)) throw new Error(`expected a coded error, got ${String(error)}`);
  return `${error.code}: ${error.message}`;
}

describe("an opened database", () => {
  it("has every setting that the store relies on, on every connection", async () => {
    for (const synchronous of ["full", "normal"] as const) {
      const { connection } = await open({ synchronous });
      const settings = ["journal_mode", "synchronous", "busy_timeout", "foreign_keys", "wal_autocheckpoint"].map((name) =>
        readPragma(connection, name),
      );
      expect(settings).toEqual(["wal", synchronous === "full" ? 2 : 1, 0, 0, 1000]);
    }
  });

  it("is refused when a setting does not take", async () => {
    const deaf: SqliteDriver = {
      name: driver.name,
      open(file) {
        const connection = driver.open(file);
        const exec = (sql: string): void => (sql.includes("synchronous") ? undefined : connection.exec(sql));
        return Object.create(connection, { exec: { value: exec } }) as SqliteConnection;
      },
    };
    expect(await codeOf(open({ synchronous: "normal" }, deaf))).toContain("PRAGMA synchronous is 2 although it was set to 1");
  });

  it("works in memory", async () => {
    const { connection, identity } = await open({ path: ":memory:" });
    expect([readPragma(connection, "journal_mode"), identity]).toEqual(["memory", undefined]);
  });

  it("is marked as perdure's by the first migration and opens again", async () => {
    await create();
    const { connection } = await open();
    expect([readPragma(connection, "application_id"), readSchemaVersion(connection)]).toEqual([applicationId, 3]);
    expect(() => assertKnownVersion(connection, path, 3)).not.toThrow();
    expect(() => assertKnownVersion(connection, path, 2)).toThrow(expect.objectContaining({ code: "backend_mismatch" }));
  });

  it("can be read-only", async () => {
    await create();
    const { connection } = await open({ readOnly: true });
    expect(connection.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: 0 });
    expect(() => connection.exec("DELETE FROM t")).toThrow(expect.objectContaining({ primary: "SQLITE_READONLY" }));
  });
});

describe("a file that cannot be used", () => {
  it("belongs to another application", async () => {
    const foreign = driver.open(path);
    foreign.exec("CREATE TABLE customers (id INTEGER)");
    expect(await codeOf(open())).toMatch(/^backend_mismatch: .*belongs to another application/);
    foreign.exec("DROP TABLE customers; PRAGMA application_id = 7");
    expect(await codeOf(open())).toMatch(/^backend_mismatch: /);
    // Nothing was done to it.
    expect([readPragma(foreign, "journal_mode"), readPragma(foreign, "user_version")]).toEqual(["delete", 0]);
    foreign.close();
  });

  it("is no database", async () => {
    writeFileSync(path, "This is a text, and longer than the header of a database would be. ".repeat(20));
    expect(await codeOf(open())).toMatch(/^backend_mismatch: .*not a SQLite database/);
  });

  it("is a folder, or in none", async () => {
    mkdirSync(join(folder, "sub"));
    expect(await codeOf(open({ path: join(folder, "sub") }))).toMatch(/^backend_failed: .*cannot be opened/);
    expect(await codeOf(open({ path: join(folder, "no", "a.db") }))).toMatch(/^backend_failed: .*the folder .*no does not exist/);
  });

  it("is damaged", async () => {
    const damaged = Buffer.alloc(8192, 0xff);
    damaged.write("SQLite format 3\0", 0, "latin1");
    writeFileSync(path, damaged);
    expect(await codeOf(open())).toMatch(/^backend_(failed|mismatch): .*(damaged|not a SQLite database)/);
  });

  it("stays locked by another process, and opens once it is free", async () => {
    const other = driver.open(path);
    other.exec("BEGIN EXCLUSIVE");
    stampSchemaVersion(other, 1);
    expect(await codeOf(open())).toMatch(/^backend_unavailable: .*another process keeps the database locked/);
    const waiting = open({ waitMaxMs: 10_000 });
    await new Promise((resolve) => void setImmediate(resolve));
    other.exec("COMMIT");
    other.close();
    expect(readSchemaVersion((await waiting).connection)).toBe(1);
  });
});

describe("the identity of a file", () => {
  it("notices that it was deleted, moved or replaced", async () => {
    const { identity } = await open();
    if (identity === undefined) throw new Error("no identity");
    expect(() => assertSameFile(identity)).not.toThrow();
    copyFileSync(path, join(folder, "copy.db"));
    renameSync(join(folder, "copy.db"), path);
    expect(() => assertSameFile(identity)).toThrow(/was replaced/);
    unlinkSync(path);
    expect(() => assertSameFile(identity)).toThrow(/was deleted or moved/);
  });
});
