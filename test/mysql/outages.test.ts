// The store in large trouble, under load: whatever happens to the server, no workflow fails for it, none loses or repeats an event, and no password is shown.
import { chownSync, cpSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import mysql2, { type PoolConnection, type QueryOptions } from "mysql2";
import promiseMysql from "mysql2/promise";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { mysql } from "perdure/mysql";
import type { MysqlPool } from "../../src/backends/mysql/driver.js";
import { systemRuntime } from "../../src/platform/runtime.js";
import { mariadbServer, password, type MariadbServer } from "../support/mariadb-server.js";
import { workOnSkewedClocks } from "../support/skewed-clocks.js";
import { smallDisk, type SmallDisk } from "../support/small-disk.js";
import { pause, workThrough, workThroughRefusals } from "../support/workload.js";

// Of one's own: it is ended and started again.
const server = await mariadbServer({ own: true });
afterAll(() => server?.stop());

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

describe.runIf(server !== undefined)("outages", () => {
  if (server === undefined) return;
  const database = async () => {
    const made = await server.database();
    disposals.push(made.drop);
    return made;
  };

  test("connections that are killed again and again fail no workflow", { timeout: 60_000 }, async () => {
    const { url, name } = await database();
    let kills = 0;
    const { completed, said } = await workThrough(mysql(url), async () => {
      for (let round = 0; round < 30; round += 1) {
        await pause(100);
        const sessions = await server.execute(`SELECT id AS id FROM information_schema.processlist WHERE db = '${name}' ORDER BY RAND()`);
        // Now one of them, now all.
        const chosen = round % 2 === 0 ? sessions.slice(0, 1) : sessions;
        for (const { id } of chosen) await server.execute(`KILL ${String(id)}`).then(() => (kills += 1), ignoreEnded);
      }
    });
    expect(kills).toBeGreaterThan(30);
    expect(completed).toBeGreaterThan(50);
    expect(said).not.toContain(password);
  });

  test(
    "a server that is restarted every two seconds, in order or by a crash, fails no workflow and loses nothing",
    { timeout: 90_000 },
    async () => {
      const { url } = await database();
      const { completed, said } = await workThrough(mysql(url), async () => {
        for (const signal of ["SIGKILL", "SIGTERM", "SIGKILL", "SIGTERM"] as const) {
          await pause(2000);
          await server.kill(signal);
          await server.start();
        }
        await pause(500);
      });
      expect(completed).toBeGreaterThan(100);
      expect(said).not.toBe("");
      expect(said).not.toContain(password);
    },
  );

  test("deadlocks with an application that locks rows in another order fail no workflow", { timeout: 60_000 }, async () => {
    const { url, name } = await database();
    const { pool, victims } = countingPool(url, 1213);
    disposals.push(() => pool.end());
    await server.execute(`CREATE TABLE ${name}.ballast (n INT)`, `INSERT INTO ${name}.ballast SELECT seq FROM ${name}.seq_1_to_500`);
    const application = promiseMysql.createPool({ uri: url, connectionLimit: 4 });
    disposals.push(() => application.end());
    const meddle = async (): Promise<void> => {
      const connection = await application.getConnection();
      try {
        await connection.query("START TRANSACTION");
        // InnoDB gives up the transaction that has changed less, which shall be the store's.
        await connection.query("INSERT INTO ballast SELECT * FROM ballast LIMIT 200");
        const [rows] = await connection.query("SELECT id FROM perdure_run WHERE ended_at IS NULL ORDER BY id DESC LIMIT 8");
        for (const { id } of rows as { readonly id: number }[])
          await connection.query(`SELECT 1 FROM perdure_run WHERE id = ${id} FOR UPDATE`);
      } catch (error) {
        if ((error as { readonly errno?: unknown }).errno !== 1213) throw error;
      } finally {
        await connection.query("ROLLBACK");
        connection.release();
      }
    };
    const { completed } = await workThrough(mysql(pool), async () => {
      for (let round = 0; round < 200 && (round < 30 || victims() < 3); round += 1) await Promise.all([meddle(), meddle(), pause(20)]);
    });
    expect(completed).toBeGreaterThan(20);
    expect(victims()).toBeGreaterThan(0);
  });

  test("a disk that is full for a while fails no workflow", { timeout: 60_000 }, async () => {
    const { url, name } = await database();
    const data = String((await server.execute("SELECT @@datadir AS folder"))[0]?.["folder"]);
    const disk = smallDisk(48, data);
    if (disk !== undefined) {
      moveTo(disk, join(data, name));
      disposals.unshift(async () => disk.remove());
    }
    const full = disk ?? fullByDecree(server, name);
    const { completed, said } = await workThrough(mysql(url), async () => {
      for (let round = 0; round < 3; round += 1) {
        await pause(500);
        await full.fill();
        await pause(1500);
        await full.free();
      }
      await pause(500);
    });
    expect(completed).toBeGreaterThan(50);
    expect(said).toContain("backend_full");
    expect(said).toContain("1114");
    expect(said).not.toContain(password);
  });

  test("a right, or a password, that is taken away for a while fails no workflow", { timeout: 60_000 }, async () => {
    const { url, name } = await database();
    const user = `limited_${name}`;
    const [rights, secret] = [`SELECT, INSERT, UPDATE, DELETE ON ${name}.*`, "limited-pass"];
    await server.execute(`CREATE USER ${user}@'%' IDENTIFIED BY '${secret}'`, `GRANT ${rights} TO ${user}@'%'`);
    disposals.push(() => server.execute(`DROP USER ${user}@'%'`));
    await (await mysql(url).open(systemRuntime())).close();
    const limited = new URL(url);
    limited.username = user;
    limited.password = secret;
    // What a session may do was settled when it began.
    const endSessions = async (): Promise<void> => {
      const rows = await server.execute(`SELECT id AS id FROM information_schema.processlist WHERE user = '${user}'`);
      for (const { id } of rows) await server.execute(`KILL ${String(id)}`).catch(ignoreEnded);
    };
    const withoutRight = await workThroughRefusals(
      mysql(limited.href),
      async () => (await server.execute(`REVOKE INSERT ON ${name}.* FROM ${user}@'%'`), await endSessions()),
      async () => (await server.execute(`GRANT ${rights} TO ${user}@'%'`), await endSessions()),
    );
    expect(withoutRight).toContain("lacks a right");
    expect(withoutRight).not.toContain(secret);

    const withoutPassword = await workThroughRefusals(
      mysql(limited.href),
      async () => (await server.execute(`ALTER USER ${user}@'%' IDENTIFIED BY 'another'`), await endSessions()),
      () => server.execute(`ALTER USER ${user}@'%' IDENTIFIED BY '${secret}'`),
    );
    expect(withoutPassword).toContain("refused the user or the password");
    expect(withoutPassword).not.toContain(secret);
  });

  test("workers whose clocks are an hour off, ahead or behind, neither ring early nor bury the living", { timeout: 60_000 }, async () => {
    const { url } = await database();
    expect(await workOnSkewedClocks(mysql(url))).toEqual({ executions: [2], said: "" });
  });
});

const ignoreEnded = (): void => undefined;

/** An empty database's folder. The server's log stays where it is: without it the server itself would go down. */
function moveTo(disk: SmallDisk, folder: string): void {
  const there = join(disk.folder, "database");
  cpSync(folder, there, { recursive: true });
  const { uid, gid } = statSync(disk.folder);
  for (const path of [there, ...readdirSync(there).map((name) => join(there, name))]) chownSync(path, uid, gid);
  rmSync(folder, { recursive: true });
  symlinkSync(there, folder);
}

/** Where no file system may be mounted: every new line of a history is refused, in the words in which the server refuses what it has no room for. */
function fullByDecree({ execute }: MariadbServer, database: string): { fill(): Promise<unknown>; free(): Promise<unknown> } {
  return {
    fill: () =>
      execute(`CREATE TRIGGER ${database}.no_room BEFORE INSERT ON ${database}.perdure_history FOR EACH ROW
        SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'`),
    free: () => execute(`DROP TRIGGER ${database}.no_room`),
  };
}

/** A pool that counts how often the server refused a statement with this number. */
function countingPool(url: string, errno: number): { readonly pool: MysqlPool & { end(): Promise<void> }; victims(): number } {
  const inner = mysql2.createPool({ uri: url, multipleStatements: true, charset: "UTF8MB4_BIN" });
  let victims = 0;
  type Answered = (error: unknown, result: unknown) => void;
  const counting = (connection: PoolConnection): PoolConnection => {
    const ask = connection.query.bind(connection) as unknown as (query: QueryOptions, answered: Answered) => unknown;
    const query = (asked: QueryOptions, answered: Answered): unknown =>
      ask(asked, (error, result) => {
        if ((error as { readonly errno?: unknown } | null)?.errno === errno) victims += 1;
        answered(error, result);
      });
    return Object.assign(connection, { query });
  };
  const pool = {
    getConnection: (lend: (error: unknown, connection?: PoolConnection) => void) =>
      inner.getConnection((error, connection) => (error === null ? lend(null, counting(connection)) : lend(error))),
    end: () => inner.promise().end(),
  };
  return { pool, victims: () => victims };
}
