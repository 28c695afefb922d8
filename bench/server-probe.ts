import mysql from "mysql2/promise";
import pg from "pg";
import type { Place } from "./sites.js";
import { walCommits } from "./wal-commits.js";

/** What a database was asked for so far. Only differences mean anything. */
export interface Tally {
  /** Committed write transactions, of all processes, as the database counts them. */
  readonly transactions: number;
  /** Statements that reached the server (on PostgreSQL: of this process). */
  readonly statements: number | undefined;
  /** Requests that were answered as one: several statements may be in one. Of this process. */
  readonly roundTrips: number | undefined;
}

/** Counts what happens in a database without asking the engine. What it asks itself does not count. */
export interface Probe {
  read(): Promise<Tally>;
  close(): Promise<void>;
}

/** Undefined for a place in memory. Open it before the engine. */
export async function openProbe({ backend, target }: Place): Promise<Probe | undefined> {
  switch (backend) {
    case "memory":
      return undefined;
    case "sqlite":
      return {
        read: async () => ({ transactions: walCommits(target), statements: undefined, roundTrips: undefined }),
        close: async () => undefined,
      };
    case "postgres":
      return openPostgresProbe(target);
    case "mysql":
      return openMysqlProbe(target);
    default:
      return backend satisfies never;
  }
}

type Query = (this: object, ...args: readonly unknown[]) => unknown;

/** Calls back for every `query` of clients of the same class as this one, in this process, from now on. */
function watchQueries(client: object, callback: (client: object, query: unknown) => void): () => void {
  let prototype = Object.getPrototypeOf(client) as { query: Query };
  while (!Object.hasOwn(prototype, "query")) prototype = Object.getPrototypeOf(prototype) as { query: Query };
  const original = prototype.query;
  const watched: Query = function (...args) {
    callback(this, args[0]);
    return Reflect.apply(original, this, args);
  };
  prototype.query = watched;
  return () => void (prototype.query = original);
}

/**
 * Write transactions are those that took a transaction id: it is given with the first write. A NOTIFY takes one as well and writes nothing that has to reach
 * a disk, so those of this process are taken off again.
 */
async function openPostgresProbe(url: string): Promise<Probe> {
  const own = new pg.Client({ connectionString: url });
  await own.connect();
  let [statements, notifications] = [0, 0];
  const stopWatching = watchQueries(own, (client, query) => {
    if (client === own) return;
    statements += 1;
    const text = typeof query === "string" ? query : String((query as { readonly text?: unknown }).text);
    if (/^\s*(?:NOTIFY|SELECT pg_notify)\b/i.test(text)) notifications += 1;
  });
  return {
    async read() {
      const { rows } = await own.query<{ next: string }>("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next");
      return { transactions: Number(rows[0]?.next) - notifications, statements, roundTrips: statements };
    },
    async close() {
      stopWatching();
      await own.end();
    },
  };
}

/** InnoDB's own count of transactions that wrote; switched on for the server, which is ours for the occasion. */
async function openMysqlProbe(url: string): Promise<Probe> {
  const own = await mysql.createConnection(url);
  await own.query("SET GLOBAL innodb_monitor_enable='trx_rw_commits'");
  let reads = 0;
  let roundTrips = 0;
  // What the engine uses, inside the promises.
  const { connection: plain } = own as unknown as { readonly connection: object };
  const stopWatching = watchQueries(plain, (client) => {
    if (client !== plain) roundTrips += 1;
  });
  const numberOf = async (sql: string, column: string): Promise<number> => {
    const [rows] = await own.query(sql);
    reads += 1;
    return Number((rows as readonly Record<string, unknown>[])[0]?.[column]);
  };
  return {
    async read() {
      const transactions = await numberOf("SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME='trx_rw_commits'", "COUNT");
      const questions = await numberOf("SHOW GLOBAL STATUS LIKE 'Questions'", "Value");
      return { transactions, statements: questions - reads, roundTrips };
    },
    async close() {
      stopWatching();
      await own.end();
    },
  };
}
