// Real processes that move money in transactional steps, killed at random moments: every transfer happens exactly once, on every SQL database, in the
// backend's own database and in another one.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import Libsql from "libsql";
import mysql2 from "mysql2/promise";
import pg from "pg";
import { connect, workflowRef, type Backend, type WorkflowRef } from "perdure";
import { completionTableSql as mysqlCompletions, mysql } from "perdure/mysql";
import { completionTableSql as postgresCompletions, postgres } from "perdure/postgres";
import { completionTableSql as sqliteCompletions, sqlite } from "perdure/sqlite";
import { mariadbServer } from "../support/mariadb-server.js";
import { postgresServerIfAny } from "../support/postgres.js";
import { spawnWorker, until, type WorkerProcess } from "../support/worker-process.js";

type Place = "own" | "elsewhere";

interface Bank {
  readonly backend: Backend;
  /** What a worker is given on its command line. */
  readonly args: readonly string[];
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  readonly completions: string;
}

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});
const mariadb = await mariadbServer();
afterAll(() => mariadb?.stop());
const server = postgresServerIfAny();

async function inSqlite(place: Place): Promise<Bank> {
  const folder = mkdtempSync(join(tmpdir(), "perdure-transfers-"));
  disposals.push(async () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "a.db");
  const money = place === "own" ? path : join(folder, "money.db");
  const backend = sqlite(path);
  await (await connect({ backend })).close();
  const handle = new Libsql(money);
  disposals.push(async () => handle.close());
  handle.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000");
  return {
    backend,
    args: ["sqlite", path, "", place, money],
    query: async (sql) => {
      const statement = handle.prepare(sql);
      return statement.reader ? (statement.all() as Record<string, unknown>[]) : (statement.run(), []);
    },
    completions: sqliteCompletions(),
  };
}

async function inPostgres(place: Place): Promise<Bank> {
  if (server === undefined) throw new Error("no server");
  const { url, query, drop } = server;
  const schema = server.schema();
  await query(`CREATE SCHEMA "${schema}"`);
  disposals.push(() => drop(schema));
  const pool = new pg.Pool({ connectionString: url, options: `-c search_path=${schema}` });
  disposals.push(() => pool.end());
  return {
    backend: postgres(url, { schema }),
    args: ["postgres", url, schema, place, url],
    query: async (sql) => (await pool.query<Record<string, unknown>>(sql)).rows,
    completions: postgresCompletions(),
  };
}

async function inMariadb(place: Place): Promise<Bank> {
  if (mariadb === undefined) throw new Error("no server");
  const own = await mariadb.database();
  const elsewhere = await mariadb.database();
  disposals.push(own.drop, elsewhere.drop);
  const money = place === "own" ? own.url : elsewhere.url;
  const pool = mysql2.createPool(money);
  disposals.push(() => pool.end());
  return {
    backend: mysql(own.url),
    args: ["mysql", own.url, "", place, money],
    query: async (sql) => {
      const [rows] = await pool.query(sql);
      return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
    },
    completions: mysqlCompletions(),
  };
}

const transfers = workflowRef<WorkflowRef<{ readonly rounds: number; readonly accounts: number }, number>>("transfers");
const [runs, rounds, accounts, killRounds] = [8, 40, 5, 5];
const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

describe.each([
  ["SQLite", true, inSqlite],
  ["PostgreSQL", server !== undefined, inPostgres],
  ["MariaDB", mariadb !== undefined, inMariadb],
] as const)("transfers on %s", (_, isThere, open) => {
  it.runIf(isThere).each(["own", "elsewhere"] as const)(
    "happen exactly once, whoever is killed when: money in the database of the backend or not (%s)",
    { timeout: 120_000 },
    async (place) => {
      const bank = await open(place);
      await bank.query("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)");
      await bank.query("CREATE TABLE ledger (run INTEGER NOT NULL, round INTEGER NOT NULL)");
      if (place === "elsewhere") await bank.query(bank.completions);
      for (let id = 0; id < accounts; id++) await bank.query(`INSERT INTO account VALUES (${id}, 100)`);
      const client = await connect({ backend: bank.backend });
      disposals.push(() => client.close());
      const workers: WorkerProcess[] = [];
      const spawn = async (index: number): Promise<void> => {
        const worker = spawnWorker("transfer-worker", bank.args);
        workers[index] = worker;
        await until(() => worker.said.length > 0 || !worker.alive());
      };
      disposals.push(async () => {
        for (const worker of workers) if (worker.alive()) worker.signal("SIGKILL");
        await Promise.all(workers.map(({ ended }) => ended));
      });
      await Promise.all([spawn(0), spawn(1)]);
      const done = Promise.all(
        Array.from({ length: runs }, async (__, id) => (await client.start(transfers, { rounds, accounts }, { id: String(id) })).result()),
      );
      done.catch(() => undefined);
      const progress = async (): Promise<number> => Number((await bank.query("SELECT COUNT(*) AS n FROM ledger"))[0]?.["n"]);
      let killedAmidWork = 0;
      for (let round = 1; round <= killRounds; round++) {
        const enough = Math.floor((runs * rounds * round) / (killRounds + 1));
        await until(async () => (await progress()) >= enough);
        for (const worker of workers) {
          // A random moment, and no condition.
          await pause(Math.random() * 10);
          worker.signal("SIGKILL");
        }
        await Promise.all(workers.map(({ ended }) => ended));
        // On a busy machine the rest may be done between the look and the kill.
        if ((await progress()) < runs * rounds) killedAmidWork++;
        await Promise.all([spawn(0), spawn(1)]);
      }
      expect(await done).toEqual(Array.from({ length: runs }, () => rounds));
      expect(killedAmidWork).toBeGreaterThanOrEqual(2);
      const ledger = await bank.query("SELECT run, round, COUNT(*) AS n FROM ledger GROUP BY run, round");
      expect(ledger.filter(({ n }) => Number(n) !== 1)).toEqual([]);
      expect(ledger).toHaveLength(runs * rounds);
      const expected = Array.from({ length: accounts }, () => 100);
      for (let run = 0; run < runs; run++) {
        for (let round = 0; round < rounds; round++) {
          const from = (run + round) % accounts;
          expected[from] = (expected[from] ?? 0) - 1;
          expected[(from + 1) % accounts] = (expected[(from + 1) % accounts] ?? 0) + 1;
        }
      }
      expect((await bank.query("SELECT amount FROM account ORDER BY id")).map(({ amount }) => Number(amount))).toEqual(expected);
    },
  );
});
