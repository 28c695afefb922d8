import { afterAll, describe, it } from "vitest";
import mysql2 from "mysql2/promise";
import { mysql } from "perdure/mysql";
import { backendConformance } from "../../src/testing/conformance/index.js";
import { mariadbServer } from "../support/mariadb-server.js";

const server = await mariadbServer();
afterAll(() => server?.stop());

describe.runIf(server !== undefined)("mysql", () => {
  if (server === undefined) return;
  backendConformance({
    name: "mysql, by an address",
    describe,
    it,
    create: async () => {
      const database = await server.database();
      return { backend: mysql(database.url), dispose: () => database.drop() };
    },
    expectHints: true,
  });

  // Such a pool sends one statement at a time, so this is the other way in which a transaction goes over the wire. And no lane may wait for another.
  backendConformance({
    name: "mysql, by a pool, with one connection for each store",
    describe,
    it,
    create: async () => {
      const database = await server.database();
      const pool = mysql2.createPool({ uri: database.url, connectionLimit: 50, bigNumberStrings: true, supportBigNumbers: true });
      return {
        backend: mysql(pool, { connections: 1, prefix: "app_" }),
        dispose: async () => {
          await pool.end();
          await database.drop();
        },
      };
    },
    expectHints: true,
  });
});
