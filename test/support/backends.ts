import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "perdure";
import { sqlite } from "perdure/sqlite";
import Libsql from "libsql";
import { completionTableSql, transactions } from "perdure/sqlite";
import { applicationOn, type Application, type Row, type Sql } from "./application.js";
import { memoryOn } from "../../src/backends/memory/memory.js";
import { createMemoryState } from "../../src/backends/memory/state.js";
import { inMariadb } from "./mariadb-backend.js";
import { inPostgres } from "./postgres-backend.js";
import { textOf } from "./text-of.js";
import type { VirtualTime } from "./virtual-time.js";

/** A place for data, of which engines may be opened, closed and opened again. */
export interface TestStore {
  readonly backend: Backend;
  /** Everything that is stored, as text: to look for what must not be there. */
  dump(): Promise<string>;
  /** An application that has its own tables there; of a store in memory there is none. */
  application?(): Promise<Application>;
  dispose(): Promise<void>;
}

export interface TestBackend {
  readonly name: string;
  /** Called where tests are declared: has the server that they need, if any, started before the first of them and ended after the last. */
  declare(): void;
  /** Undefined if there is no such server to be had, which the reader was told loudly. */
  create(time: VirtualTime): Promise<TestStore | undefined>;
}

const inMemory: TestBackend = {
  name: "memory",
  declare: () => undefined,
  create: async () => {
    const state = createMemoryState();
    return { backend: memoryOn(state), dump: async () => textOf(state), dispose: async () => undefined };
  },
};

const inSqlite: TestBackend = {
  name: "SQLite",
  declare: () => undefined,
  create: async (time) => {
    const folder = mkdtempSync(join(tmpdir(), "perdure-e2e-"));
    return {
      application: async () => sqliteApplication(folder, time),
      // A power cut is not what these tests are about, and waiting for the disk is most of what they would do.
      backend: sqlite(join(folder, "a.db"), { synchronous: "normal" }),
      dump: async () =>
        readdirSync(folder)
          .map((name) => readFileSync(join(folder, name), "latin1"))
          .join("\n"),
      dispose: async () => rmSync(folder, { recursive: true, force: true }),
    };
  },
};

function sqliteApplication(folder: string, time: VirtualTime): Application {
  const open = (file: string): { readonly handle: Libsql.Database; readonly sql: Sql } => {
    const handle = new Libsql(join(folder, file));
    return { handle, sql: sqlOn(handle) };
  };
  const [own, outside, other] = [open("a.db"), open("a.db"), open("other.db")];
  other.handle.exec(completionTableSql());
  return applicationOn(time, {
    source: transactions(own.handle, { as: sqlOn }),
    other: transactions(other.handle, { as: sqlOn, completions: "perdure_completion" }),
    query: (sql) => outside.sql.query(sql),
    queryOther: (sql) => other.sql.query(sql),
    begin: async () => {
      const { handle, sql } = open("a.db");
      handle.exec("BEGIN IMMEDIATE");
      const end = async (how: string): Promise<void> => {
        handle.exec(how);
        handle.close();
      };
      return { sql, connection: handle, end };
    },
    close: async () => {
      for (const { handle } of [own, outside, other]) handle.close();
    },
  });
}

const sqlOn = (handle: Libsql.Database): Sql => ({
  query: async (sql) => {
    const statement = handle.prepare(sql);
    if (statement.reader) return statement.all() as Row[];
    statement.run();
    return [];
  },
});

export const backends: readonly TestBackend[] = [inMemory, inSqlite, inPostgres, inMariadb];
