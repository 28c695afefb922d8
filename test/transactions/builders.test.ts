// Transactions of Kysely and Drizzle: begun by them, or by a source that hands its transactions to them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { drizzle as drizzleMysql, type MySql2Database } from "drizzle-orm/mysql2";
import { int, mysqlTable } from "drizzle-orm/mysql-core";
import { drizzle as drizzlePostgres, type NodePgDatabase } from "drizzle-orm/node-postgres";
import { integer, pgTable } from "drizzle-orm/pg-core";
import { CompiledQuery, Kysely, MysqlDialect, PostgresDialect, SqliteDialect, type Transaction } from "kysely";
import Libsql from "libsql";
import callbackMysql from "mysql2";
import mysql2 from "mysql2/promise";
import pg from "pg";
import { launch, workflow, type Backend, type TransactionSource } from "perdure";
import * as perdureMysql from "perdure/mysql";
import * as perdurePostgres from "perdure/postgres";
import * as perdureSqlite from "perdure/sqlite";
import { mariadbServer } from "../support/mariadb-server.js";
import { postgresServerIfAny } from "../support/postgres.js";

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});
const mariadb = await mariadbServer();
afterAll(() => mariadb?.stop());
const server = postgresServerIfAny();

interface Shop {
  readonly booking: { readonly seat: number };
}

/** Books in a transactional step whose first attempt fails after its statement, and starts a run in a transaction that rolls back and in one that does not. */
async function prove<Tx>(backend: Backend, source: TransactionSource<Tx>, insert: (transaction: Tx, seat: number) => Promise<unknown>) {
  let runs = 0;
  const book = workflow("book", (ctx, seat: number) =>
    ctx.transaction(
      "book",
      source,
      async (transaction) => {
        await insert(transaction, seat);
        if (++runs === 1) throw new Error("once more");
        return `seat ${seat}`;
      },
      { retry: { backoff: 1 } },
    ),
  );
  const engine = await launch({ backend, workflows: [book] });
  disposals.push(() => engine.close());
  expect(await engine.execute(book, 1)).toBe("seat 1");
  expect(runs).toBe(2);
  const never = source.run(async (transaction) => {
    await insert(transaction, 2);
    await engine.start(book, 3, { id: "never", transaction: source.use(transaction) });
    throw new Error("no money");
  });
  await expect(never).rejects.toThrow("no money");
  const handle = await source.run(async (transaction) => {
    await insert(transaction, 4);
    return engine.start(book, 5, { id: "started", transaction: source.use(transaction) });
  });
  expect(await handle.result()).toBe("seat 5");
  await expect(engine.get("never").describe()).rejects.toMatchObject({ code: "not_found" });
}

const seats = [1, 4, 5];

describe.runIf(server !== undefined)("on PostgreSQL", () => {
  async function site(): Promise<{ readonly pool: pg.Pool; readonly backend: Backend }> {
    if (server === undefined) throw new Error("no server");
    const { url, query, drop } = server;
    const schema = server.schema();
    await query(`CREATE SCHEMA "${schema}"`);
    disposals.push(() => drop(schema));
    const pool = new pg.Pool({ connectionString: url, options: `-c search_path=${schema}` });
    disposals.push(() => pool.end());
    await pool.query("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
    return { pool, backend: perdurePostgres.postgres(url, { schema }) };
  }
  const booked = async (pool: pg.Pool): Promise<readonly unknown[]> =>
    (await pool.query("SELECT seat FROM booking ORDER BY seat")).rows.map(({ seat }) => seat as number);
  const booking = pgTable("booking", { seat: integer().primaryKey() });

  it("of Kysely", async () => {
    const { pool, backend } = await site();
    const db = new Kysely<Shop>({ dialect: new PostgresDialect({ pool }) });
    const source = perdurePostgres.transactions({
      run: (work) => db.transaction().execute(work),
      connection: (trx: Transaction<Shop>) => ({
        query: (text: string, values: unknown[]) => trx.executeQuery(CompiledQuery.raw(text, values)),
      }),
    });
    await prove(backend, source, (trx, seat) => trx.insertInto("booking").values({ seat }).execute());
    expect(await booked(pool)).toEqual(seats);
  });

  it("of Drizzle, which is handed the connection", async () => {
    const { pool, backend } = await site();
    const source = perdurePostgres.transactions(pool, { as: (client) => drizzlePostgres(client) });
    await prove(backend, source, (db, seat) => db.insert(booking).values({ seat }));
    expect(await booked(pool)).toEqual(seats);
  });

  it("of Drizzle, which begins them itself", async () => {
    const { pool, backend } = await site();
    const db = drizzlePostgres(pool);
    type DrizzleTransaction = Parameters<Parameters<NodePgDatabase["transaction"]>[0]>[0];
    const source = perdurePostgres.transactions({
      run: (work) => db.transaction(work),
      connection: (tx: DrizzleTransaction) => (tx as unknown as { readonly session: { readonly client: pg.PoolClient } }).session.client,
    });
    await prove(backend, source, (tx, seat) => tx.insert(booking).values({ seat }));
    expect(await booked(pool)).toEqual(seats);
  });
});

describe.runIf(mariadb !== undefined)("on MariaDB", () => {
  async function site(): Promise<{ readonly url: string; readonly backend: Backend; booked(): Promise<readonly unknown[]> }> {
    if (mariadb === undefined) throw new Error("no server");
    const { url, drop } = await mariadb.database();
    disposals.push(drop);
    const connection = await mysql2.createConnection(url);
    disposals.push(() => connection.end());
    await connection.query("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
    const booked = async (): Promise<readonly unknown[]> => {
      const [rows] = await connection.query<mysql2.RowDataPacket[]>("SELECT seat FROM booking ORDER BY seat");
      return rows.map(({ seat }) => seat as number);
    };
    return { url, backend: perdureMysql.mysql(url), booked };
  }
  const booking = mysqlTable("booking", { seat: int().primaryKey() });

  it("of Kysely, which is handed the connection", async () => {
    const { url, backend, booked } = await site();
    const pool = callbackMysql.createPool(url);
    disposals.push(() => pool.promise().end());
    const source = perdureMysql.transactions(pool, {
      as: (connection) =>
        new Kysely<Shop>({
          dialect: new MysqlDialect({
            pool: { getConnection: (lend) => lend(null, { query: connection.query.bind(connection), release() {} }), end() {} },
          }),
        }),
    });
    await prove(backend, source, (db, seat) => db.insertInto("booking").values({ seat }).execute());
    expect(await booked()).toEqual(seats);
  });

  it("of Drizzle, which is handed the connection", async () => {
    const { url, backend, booked } = await site();
    const pool = mysql2.createPool(url);
    disposals.push(() => pool.end());
    const source = perdureMysql.transactions(pool, { as: (connection) => drizzleMysql(connection) });
    await prove(backend, source, (db, seat) => db.insert(booking).values({ seat }));
    expect(await booked()).toEqual(seats);
  });

  it("of Drizzle, which begins them itself", async () => {
    const { url, backend, booked } = await site();
    const pool = mysql2.createPool(url);
    disposals.push(() => pool.end());
    const db = drizzleMysql(pool);
    type DrizzleTransaction = Parameters<Parameters<MySql2Database["transaction"]>[0]>[0];
    const source = perdureMysql.transactions({
      run: (work) => db.transaction(work),
      connection: (tx: DrizzleTransaction) => (tx as unknown as { readonly session: { readonly client: unknown } }).session.client,
    });
    await prove(backend, source, (tx, seat) => tx.insert(booking).values({ seat }));
    expect(await booked()).toEqual(seats);
  });
});

describe("on SQLite", () => {
  async function site() {
    const folder = mkdtempSync(join(tmpdir(), "perdure-builders-"));
    disposals.push(async () => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, "shop.db");
    const backend = perdureSqlite.sqlite(path);
    const engine = await launch({ backend, workflows: [] });
    await engine.close();
    const handle = new Libsql(path);
    disposals.push(async () => handle.close());
    handle.exec("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
    const booked = (): readonly unknown[] =>
      (handle.prepare("SELECT seat FROM booking ORDER BY seat").all() as { seat: number }[]).map(({ seat }) => seat);
    return { backend, handle, booked };
  }
  const kyselyOn = (handle: Libsql.Database) => new Kysely<Shop>({ dialect: new SqliteDialect({ database: handle }) });

  it("of Kysely", async () => {
    const { backend, handle, booked } = await site();
    const db = kyselyOn(handle);
    const source = perdureSqlite.transactions<Transaction<Shop>>({
      run: (work) => db.transaction().execute(work),
      connection: () => handle,
    });
    await prove(backend, source, (trx, seat) => trx.insertInto("booking").values({ seat }).execute());
    expect(booked()).toEqual(seats);
  });

  it("of Kysely, which is handed the database", async () => {
    const { backend, handle, booked } = await site();
    const source = perdureSqlite.transactions(handle, { as: kyselyOn });
    await prove(backend, source, (db, seat) => db.insertInto("booking").values({ seat }).execute());
    expect(booked()).toEqual(seats);
  });
});
