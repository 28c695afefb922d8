import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemRuntime } from "../../platform/runtime.js";
import type { SqliteConnection } from "./driver.js";
import { loadDriver } from "./drivers/load-driver.js";
import { openDatabase } from "./open-database.js";
import { migrate } from "./schema.js";
import { prepareTables } from "./tables.js";

let folder: string;
let connection: SqliteConnection;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "perdure-plans-"));
  const path = join(folder, "a.db");
  ({ connection } = await openDatabase(loadDriver(), systemRuntime(), { path, synchronous: "normal", waitMaxMs: 1000 }));
  migrate(connection, path);
});
afterEach(() => {
  connection.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Every statement that the store prepares. */
function statements(): readonly string[] {
  const texts: string[] = [];
  prepareTables({
    driverName: connection.driverName,
    inTransaction: false,
    exec: (sql) => connection.exec(sql),
    close: () => {},
    prepare(sql) {
      texts.push(sql.replaceAll(/\s+/g, " "));
      return connection.prepare(sql);
    },
  });
  return texts;
}

const planOf = (sql: string): readonly string[] => {
  const params = Array.from(sql.matchAll(/\?/g), () => null);
  return connection
    .prepare(`EXPLAIN QUERY PLAN ${sql}`)
    .all<{ detail: string }>(params)
    .map(({ detail }) => detail);
};

/** Walks over whole tables that may grow, and sorting: what a statement must not do. */
const faultsOf = (sql: string): readonly string[] =>
  planOf(sql)
    // Workers are few, and so are names, and the attributes that one asks for.
    .filter((detail) => /^SCAN (?!worker\b|name\b|CONSTANT ROW|w VIRTUAL TABLE)|TEMP B-TREE/.test(detail))
    .map((detail) => `${detail}: ${sql}`);

function fill(rows: number): void {
  connection.exec(`
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO run (key, chain, route, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, ended_at)
      SELECT i, i - i % 2, i % 3, iif(i % 2 = 0, 0, 2), NULL, 1, 2, 0, 0, iif(i % 2 = 0, 1000 + i, NULL), iif(i % 2 = 0, NULL, 1) FROM n;
    INSERT INTO run_fact (key, workflow_id, generation, run_id, name, engine_version, input_hash, created_at, parent_run_id)
      SELECT key, 'workflow ' || key, 1, 'run ' || key, key % 3, 1, 'hash', 1, iif(key % 4 = 0, 'run ' || (key % 100), NULL) FROM run;
    INSERT INTO history (run, seq, at, event) SELECT key, 1, 1, '{}' FROM run;
    INSERT INTO inbox (chain, position, kind, name) SELECT key, 1, 'message', 'note' FROM run;
    INSERT INTO entry (chain, name, version) SELECT key, 'state', 1 FROM run;
    INSERT INTO attribute (chain, name, value) SELECT key, 'customer', key % 100 FROM run;
    INSERT INTO chunk (chain, stream, "offset", writer, number) SELECT key % 10, 'tokens', key, key % 3, key FROM run;
    INSERT INTO task (key, run, command, name, route, attempt, due_at, expires_at, options, input)
      SELECT key, key, 1, key % 3, key % 3, 1, key, iif(key % 2 = 0, key, NULL), '{}', '' FROM run`);
}

it("reaches every row by an index, on empty tables, on grown ones and on analysed ones", () => {
  const texts = statements();
  expect(texts.length).toBeGreaterThan(60);
  expect(texts.flatMap(faultsOf)).toEqual([]);
  fill(20_000);
  expect(texts.flatMap(faultsOf)).toEqual([]);
  connection.exec("ANALYZE");
  expect(texts.flatMap(faultsOf)).toEqual([]);
});

it("touches no index when a driver goes on with its run", () => {
  const advance = statements().find((sql) => sql.startsWith("UPDATE run SET last_seq = ?, inbox_seen = ? WHERE"));
  const opened = connection
    .prepare(`EXPLAIN ${String(advance)}`)
    .all<{ opcode: string }>(Array.from({ length: 6 }, () => null))
    .filter(({ opcode }) => opcode === "OpenWrite" || opcode === "IdxInsert" || opcode === "IdxDelete");
  expect(opened.map(({ opcode }) => opcode)).toEqual(["OpenWrite"]);
});
