import { PerdureError } from "../../errors.js";
import { StoreFailure } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import { connectionOf, loadMysql2, type MysqlConnection, type MysqlPool } from "./driver.js";
import { maskOf, toStoreFailure, type Mask } from "./failure.js";
import { Session } from "./session.js";

/** Where connections come from. */
export interface Source {
  /** A connection with the store's settings. @throws StoreFailure */
  connect(): Promise<Session>;
  readonly mask: Mask;
}

const connectTimeoutMs = 10_000;

/** Also what shows that settings stick: no server has this by default, as it may have all else. */
const lockWaitSeconds = 2;

export const strictMode = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/**
 * What the store relies on, whatever the server's defaults. READ COMMITTED has no gap locks, so that writers of different rows do not meet; every rule of
 * the store is held by keys and row locks. A short lock wait, so that a row which somebody keeps is a failure and not a standstill. MariaDB, which alone
 * reads such comments, ends a transaction whose process hangs in the middle of it, and with it the locks that nobody could take the runs over for.
 */
const settings = [
  "SET NAMES utf8mb4",
  "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
  `SET SESSION sql_mode='${strictMode}',autocommit=1,innodb_lock_wait_timeout=${lockWaitSeconds},lock_wait_timeout=20 /*M! ,idle_transaction_timeout=2 */`,
  // Asked of the session itself: a pooler may have swallowed what was set.
  "SELECT VERSION(), DATABASE(), LENGTH('\\\\'), @@autocommit, @@log_bin, @@binlog_format, @@character_set_client, LENGTH('é'), @@innodb_lock_wait_timeout",
] as const;

export function sourceOf(target: string | MysqlPool, runtime: Runtime): Source {
  const mask = maskOf(typeof target === "string" ? secretsOf(target) : []);
  return {
    mask,
    connect: async () => {
      const connection = await open(target, mask);
      const session = new Session(connection, runtime);
      try {
        checkServer(await session.prepare(settings));
        return session;
      } catch (error) {
        session.destroy();
        throw error instanceof PerdureError ? error : toStoreFailure(error, "nothing", mask);
      }
    },
  };
}

async function open(target: string | MysqlPool, mask: Mask): Promise<MysqlConnection> {
  try {
    if (typeof target !== "string") return await connectionOf(target);
    const { createConnection } = await loadMysql2();
    // Of the URL's parameters, none may change how values come back.
    const connection = createConnection({
      uri: target,
      multipleStatements: true,
      charset: "UTF8MB4_BIN",
      connectTimeout: connectTimeoutMs,
    });
    await new Promise<void>((resolve, reject) => {
      connection.on("connect", () => resolve());
      connection.on("error", reject);
    });
    return connection;
  } catch (error) {
    throw error instanceof PerdureError ? error : toStoreFailure(error, "nothing", mask);
  }
}

function secretsOf(url: string): readonly string[] {
  const { password } = new URL(url);
  return [password, decodeURIComponent(password)];
}

const leastMariadb = [10, 11] as const;
const leastMysql = [8, 0] as const;

function checkServer(rows: readonly (readonly unknown[])[]): void {
  const [version, database, backslash, autocommit, logBin, binlogFormat, charset, accent, lockWait] = rows[0] ?? [];
  const refuse = (message: string): never => {
    throw new StoreFailure("backend_mismatch", `MySQL: ${message}`, { outcome: "none", transient: false });
  };
  const shown = String(version);
  const [major = 0, minor = 0] = (/^(?:5\.5\.5-)?(\d+)\.(\d+)/.exec(shown) ?? []).slice(1).map(Number);
  const least = shown.includes("MariaDB") ? leastMariadb : leastMysql;
  if (major < least[0] || (major === least[0] && minor < least[1]))
    refuse(`the server is ${shown}. perdure needs MariaDB 10.11 or newer, or MySQL 8.0 or newer.`);
  if (database === null) refuse("the address names no database. Add one, for example mysql://user@host/app.");
  if (Number(backslash) !== 1 || Number(autocommit) !== 1 || Number(lockWait) !== lockWaitSeconds)
    refuse("the session's settings do not stick. Is there a pooler between? Let it keep session state, or connect to the server.");
  if (charset !== "utf8mb4" || Number(accent) !== 2)
    refuse(`the connection's character set is ${String(charset)}, not utf8mb4. Set charset: "utf8mb4" where the pool is made.`);
  if (Number(logBin) === 1 && binlogFormat === "STATEMENT")
    refuse("binlog_format is STATEMENT, which does not go with READ COMMITTED. Set it to ROW or MIXED.");
}
