import mysql2, { type Pool, type PoolConnection, type QueryOptions } from "mysql2";
import { afterAll, beforeAll } from "vitest";
import promiseMysql, { type PoolConnection as PromisePoolConnection } from "mysql2/promise";
import { completionTableSql, mysql, transactions } from "perdure/mysql";
import type { MysqlPool } from "../../src/backends/mysql/driver.js";
import { applicationOn, type Application, type Row, type Sql } from "./application.js";
import type { TestBackend } from "./backends.js";
import { mariadbServer, type MariadbServer } from "./mariadb-server.js";
import { textOf } from "./text-of.js";
import type { VirtualTime } from "./virtual-time.js";

/** Where there is none, it is installed first. */
const startMaxMs = 300_000;

let server: MariadbServer | undefined;
let isDeclared = false;

/** The MySQL store on a real MariaDB and on virtual time; one server for each test file, one database for each test. */
export const inMariadb: TestBackend = {
  name: "MariaDB",
  declare: () => {
    if (isDeclared) return;
    isDeclared = true;
    beforeAll(async () => void (server = await mariadbServer()), startMaxMs);
    afterAll(() => server?.stop());
  },
  create: async (time) => {
    if (server === undefined) return undefined;
    const found = server;
    const { execute } = found;
    const { name, url, drop } = await server.database();
    const pool = mysql2.createPool({ uri: url, connectionLimit: 100, multipleStatements: true, charset: "UTF8MB4_BIN" });
    return {
      backend: mysql(onVirtualTime(pool, time)),
      application: () => application(found, url, time),
      dump: async () => textOf(await everyRow(execute, name)),
      dispose: async () => {
        await pool.promise().end();
        await drop();
      },
    };
  },
};

async function application(found: MariadbServer, url: string, time: VirtualTime): Promise<Application> {
  const elsewhere = await found.database();
  const [pool, other] = [promiseMysql.createPool(url), promiseMysql.createPool(elsewhere.url)];
  await other.query(completionTableSql());
  const as = (connection: PromisePoolConnection): Sql => ({ query: (sql) => rowsOf(connection.query(sql)) });
  return applicationOn(time, {
    source: transactions(pool, { as }),
    other: transactions(other, { as, completions: "perdure_completion" }),
    query: (sql) => rowsOf(pool.query(sql)),
    queryOther: (sql) => rowsOf(other.query(sql)),
    begin: async () => {
      const connection = await pool.getConnection();
      await connection.query("START TRANSACTION");
      const end = async (how: string): Promise<void> => {
        await connection.query(how);
        connection.release();
      };
      return { sql: as(connection), connection, end };
    },
    close: async () => {
      await Promise.all([pool.end(), other.end()]);
      await elsewhere.drop();
    },
  });
}

async function rowsOf(answer: Promise<readonly [unknown, unknown]>): Promise<readonly Row[]> {
  const [rows] = await answer;
  return Array.isArray(rows) ? (rows as Row[]) : [];
}

async function everyRow(execute: MariadbServer["execute"], database: string): Promise<readonly unknown[]> {
  const tables = await execute(`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = '${database}'`);
  return Promise.all(tables.map(({ name }) => execute(`SELECT * FROM ${database}.${String(name)}`)));
}

type Answered = (error: unknown, result: unknown) => void;
type Ask = (query: QueryOptions, answered: Answered) => unknown;

const realClock = /\bUTC_TIMESTAMP\(6\)/g;

/** A pool whose server has the time of the test; the clock stands still while the server works. */
function onVirtualTime(pool: Pool, time: VirtualTime): MysqlPool {
  return {
    getConnection(lend: (error: unknown, connection?: PoolConnection) => void) {
      const letGo = time.hold();
      pool.getConnection((error, connection) => {
        if (error === null) lend(null, connectionOn(connection, time));
        else lend(error);
        letGo();
      });
    },
  };
}

function connectionOn(connection: PoolConnection, time: VirtualTime): PoolConnection {
  const ask = connection.query.bind(connection) as unknown as Ask;
  const destroy = connection.destroy.bind(connection);
  const underWay = new Set<() => void>();
  return Object.assign(connection, {
    query(query: QueryOptions, answered: Answered) {
      const letGo = time.hold();
      underWay.add(letGo);
      return ask({ ...query, sql: query.sql.replace(realClock, literalOf(time.now())) }, (error, result) => {
        underWay.delete(letGo);
        answered(error, result);
        letGo();
      });
    },
    destroy() {
      // The driver forgets those who wait for an answer.
      for (const letGo of underWay) letGo();
      underWay.clear();
      destroy();
    },
  });
}

function literalOf(nowMs: number): string {
  const micros = Math.floor(nowMs * 1000);
  const toTheMs = new Date(Math.floor(micros / 1000)).toISOString().slice(0, 23).replace("T", " ");
  return `TIMESTAMP'${toTheMs}${String(micros % 1000).padStart(3, "0")}'`;
}
