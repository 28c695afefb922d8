// Transactional steps when the network cuts a COMMIT, and when transactions collide: on servers as they are, in real time.
import { afterAll, afterEach, describe, expect, it } from "vitest";
import mysql2, { type Connection, type PoolConnection } from "mysql2/promise";
import pg from "pg";
import { launch, workflow, type Backend, type TransactionSource } from "perdure";
import { mysql, transactions as mysqlTransactions } from "perdure/mysql";
import { postgres, transactions as postgresTransactions } from "perdure/postgres";
import type { Row, Sql } from "../support/application.js";
import { mariadbServer } from "../support/mariadb-server.js";
import { commitProxy, mysqlProxy, type MysqlProxy } from "../support/mysql-proxy.js";
import { postgresServerIfAny } from "../support/postgres.js";

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

interface Site {
  readonly backend: Backend;
  readonly proxy: MysqlProxy;
  /** By way of the proxy. */
  readonly source: TransactionSource<Sql>;
  readonly query: (sql: string) => Promise<readonly Row[]>;
}

const mariadb = await mariadbServer();
afterAll(() => mariadb?.stop());
const server = postgresServerIfAny({ isOwn: true });

async function inMariadb(): Promise<Site> {
  if (mariadb === undefined) throw new Error("no server");
  const { url, drop } = await mariadb.database();
  disposals.push(drop);
  const proxy = await mysqlProxy(url);
  disposals.push(() => proxy.close());
  const pool = mysql2.createPool(proxy.url);
  const direct = mysql2.createPool(url);
  disposals.push(
    () => direct.end(),
    () => pool.end(),
  );
  const rowsOf = async (connection: Pick<Connection, "query">, sql: string): Promise<readonly Row[]> => {
    const [rows] = await connection.query(sql);
    return Array.isArray(rows) ? (rows as Row[]) : [];
  };
  const as = (connection: PoolConnection): Sql => ({ query: (sql) => rowsOf(connection, sql) });
  return { backend: mysql(url), proxy, source: mysqlTransactions(pool, { as }), query: (sql) => rowsOf(direct, sql) };
}

async function inPostgres(): Promise<Site> {
  if (server === undefined || server.own === null) throw new Error("no server");
  const schema = server.schema();
  await server.query(`CREATE SCHEMA "${schema}"`);
  const { url, drop } = server;
  disposals.push(() => drop(schema));
  const proxy = await commitProxy("postgresql://postgres@127.0.0.1/postgres", { path: server.own.socket });
  disposals.push(() => proxy.close());
  const options = `-c search_path=${schema}`;
  const pool = new pg.Pool({ connectionString: proxy.url, options });
  const direct = new pg.Pool({ connectionString: url, options });
  disposals.push(
    () => direct.end(),
    () => pool.end(),
  );
  const source = postgresTransactions(pool, {
    isolation: "repeatable read",
    as: (client): Sql => ({ query: async (sql) => (await client.query<Row>(sql)).rows }),
  });
  return { backend: postgres(url, { schema }), proxy, source, query: async (sql) => (await direct.query<Row>(sql)).rows };
}

const sites = [
  ["MariaDB", mariadb !== undefined, inMariadb],
  ["PostgreSQL", server !== undefined, inPostgres],
] as const;

describe.each(sites)("on %s", (_, isThere, create) => {
  it.runIf(isThere)("a COMMIT whose answer is lost is found to have happened, and its statements are not run again", async () => {
    const { backend, proxy, source, query } = await create();
    await query("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
    let runs = 0;
    const wf = workflow("book", (ctx) =>
      ctx.transaction("book", source, async (sql) => {
        await sql.query("INSERT INTO booking VALUES (1)");
        if (++runs === 1) proxy.cutNext("after");
        return runs;
      }),
    );
    const engine = await launch({ backend, workflows: [wf] });
    disposals.push(() => engine.close());
    const handle = await engine.start(wf);
    expect(await handle.result()).toBe(1);
    expect([runs, proxy.cuts, await query("SELECT seat FROM booking")]).toEqual([1, 1, [{ seat: 1 }]]);
    expect((await handle.history()).map(({ kind }) => kind)).toEqual(["started", "operation_completed", "run_completed"]);
  });

  it.runIf(isThere)("a COMMIT that never reached the server did not happen, and the next attempt does it", async () => {
    const { backend, proxy, source, query } = await create();
    await query("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
    let runs = 0;
    const wf = workflow("book", (ctx) =>
      ctx.transaction(
        "book",
        source,
        async (sql) => {
          await sql.query("INSERT INTO booking VALUES (1)");
          if (++runs === 1) proxy.cutNext("before");
          return runs;
        },
        { retry: { backoff: 1 } },
      ),
    );
    const engine = await launch({ backend, workflows: [wf] });
    disposals.push(() => engine.close());
    expect(await engine.execute(wf)).toBe(2);
    expect([runs, proxy.cuts, await query("SELECT seat FROM booking")]).toEqual([2, 1, [{ seat: 1 }]]);
  });

  it.runIf(isThere)("a lost COMMIT of the only attempt is no failure of the step", async () => {
    const { backend, proxy, source, query } = await create();
    await query("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
    const wf = workflow("book", (ctx) =>
      ctx.transaction(
        "book",
        source,
        async (sql) => {
          await sql.query("INSERT INTO booking VALUES (1)");
          proxy.cutNext("after");
        },
        { retry: { attempts: 1 } },
      ),
    );
    const engine = await launch({ backend, workflows: [wf] });
    disposals.push(() => engine.close());
    await engine.execute(wf);
    expect([proxy.cuts, await query("SELECT seat FROM booking")]).toEqual([1, [{ seat: 1 }]]);
  });

  it.runIf(isThere)("transactions that deadlock, or meet changed rows, are run again as a whole and count as one attempt", async () => {
    const { backend, source, query } = await create();
    await query("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)");
    await query("INSERT INTO account VALUES (1, 0), (2, 0)");
    let runs = 0;
    let meet = (): void => undefined;
    const bothAreIn = new Promise<void>((resolve) => (meet = resolve));
    const wf = workflow("transfer", (ctx, [from, to]: readonly [number, number]) =>
      ctx.transaction("transfer", source, async (sql) => {
        runs += 1;
        await sql.query(`UPDATE account SET amount = amount - 1 WHERE id = ${from}`);
        if (runs === 2) meet();
        await bothAreIn;
        await sql.query(`UPDATE account SET amount = amount + 1 WHERE id = ${to}`);
      }),
    );
    const engine = await launch({ backend, workflows: [wf] });
    disposals.push(() => engine.close());
    const handles = await Promise.all([engine.start(wf, [1, 2]), engine.start(wf, [2, 1])]);
    for (const handle of handles) {
      await handle.result();
      expect((await handle.history()).map(({ kind }) => kind)).not.toContain("attempt_failed");
    }
    expect(runs).toBeGreaterThan(2);
    expect(await query("SELECT amount FROM account")).toEqual([{ amount: 0 }, { amount: 0 }]);
  });
});

it.runIf(server !== undefined)(
  "a statement that failed and was swallowed rolls everything back at COMMIT, and that is noticed",
  async () => {
    const { source, query } = await inPostgres();
    await query("CREATE TABLE booking (seat INTEGER PRIMARY KEY)");
    const swallowed = source.run(async (sql) => {
      await sql.query("INSERT INTO booking VALUES (1)");
      await sql.query("SELECT nonsense").catch(() => undefined);
    });
    await expect(swallowed).rejects.toMatchObject({ code: "backend_failed" });
    expect(await query("SELECT seat FROM booking")).toEqual([]);
  },
);
