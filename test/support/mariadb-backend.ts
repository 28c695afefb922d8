import mysql2, { type Pool, type PoolConnection, type QueryOptions } from "mysql2";
import { afterAll, beforeAll } from "vitest";
import { mysql } from "perdure/mysql";
import type { MysqlPool } from "../../src/backends/mysql/driver.js";
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
    const { execute } = server;
    const { name, url, drop } = await server.database();
    const pool = mysql2.createPool({ uri: url, connectionLimit: 100, multipleStatements: true, charset: "UTF8MB4_BIN" });
    return {
      backend: mysql(onVirtualTime(pool, time)),
      dump: async () => textOf(await everyRow(execute, name)),
      dispose: async () => {
        await pool.promise().end();
        await drop();
      },
    };
  },
};

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
