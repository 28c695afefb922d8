// The databases that benchmark and failover are run on: one entry each. Servers are those that the environment names, or are started for the occasion.
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Backend } from "perdure";
import { memory } from "perdure/memory";
import { mysql } from "perdure/mysql";
import { postgres } from "perdure/postgres";
import { sqlite } from "perdure/sqlite";
import pg from "pg";

export type BackendName = "sqlite" | "postgres" | "mysql" | "memory";

/** The names of those that processes can share. */
export const sharedBackends = ["sqlite", "postgres", "mysql"] as const satisfies readonly BackendName[];
export const backendNames = ["sqlite", "memory", "postgres", "mysql"] as const satisfies readonly BackendName[];

/** A database of one's own, as JSON: other processes are told of it. */
export interface Place {
  readonly backend: BackendName;
  /** A file or a URL. */
  readonly target: string;
  /** What keeps the places of one server apart. */
  readonly name: string;
}

/** What is up for as long as something is tried or measured. */
export interface Site {
  /** What commits wait for there, in a line. */
  readonly description: string;
  /** The process whose family does the server's work; undefined if there is none, or if it is not ours. */
  readonly serverPid: number | undefined;
  /** An empty place; `number` tells it from the others of this site. */
  make(number: number): Promise<Place>;
  clear(place: Place): Promise<void>;
  close(): Promise<void>;
}

const nothing = async (): Promise<void> => undefined;

/** @param folder for whatever needs files; removed by the caller */
export function openSite(name: BackendName, folder: string): Promise<Site> {
  switch (name) {
    case "sqlite":
      return Promise.resolve({
        description: "SQLite in WAL mode, synchronous=FULL",
        serverPid: undefined,
        make: async (number) => ({ backend: name, target: join(folder, `place-${number}.db`), name: "" }),
        clear: nothing,
        close: nothing,
      });
    case "memory":
      return Promise.resolve({
        description: "memory",
        serverPid: undefined,
        make: async () => ({ backend: name, target: "", name: "" }),
        clear: nothing,
        close: nothing,
      });
    case "postgres":
      return openPostgres();
    case "mysql":
      return openMysql();
    default:
      return name satisfies never;
  }
}

/** A backend on a place. One in memory is empty whenever it is made. */
export function backendAt({ backend, target }: Place): Backend {
  switch (backend) {
    case "sqlite":
      return sqlite(target);
    case "memory":
      return memory();
    case "postgres":
      return postgres(target);
    case "mysql":
      return mysql(target);
    default:
      return backend satisfies never;
  }
}

interface PostgresServer {
  readonly url: string;
  pid(): number;
  remove(): void;
}

/** The script that the tests use as well. It is not compiled, hence found from the repository's root, where `npm run` starts us. */
async function startPostgres(port: number | undefined): Promise<PostgresServer> {
  const script = (await import(pathToFileURL(resolve("scripts/postgres-server.mjs")).href)) as {
    startPostgres(options: { readonly port?: number }): PostgresServer;
  };
  return script.startPostgres(port === undefined ? {} : { port });
}

/** The same server's URL with another database. By hand: one whose host is a socket's folder, among its parameters, is no URL for the URL class. */
export const withDatabase = (url: string, name: string): string => url.replace(/^(\w+:\/\/[^/?#]*)(?:\/[^?#]*)?/, `$1/${name}`);

/** @param port where it listens, for clients that know no sockets; one that the environment names has its own */
export async function openPostgres(port?: number): Promise<Site> {
  const given = process.env["PERDURE_POSTGRES_URL"];
  const own = given === undefined ? await startPostgres(port) : undefined;
  const url = given ?? own?.url ?? "";
  const execute = async (sql: string): Promise<readonly Record<string, unknown>[]> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const shown = "SELECT current_setting('server_version') v, current_setting('fsync') f, current_setting('synchronous_commit') s";
  const [{ v: version = "", f: fsync = "", s: commit = "" } = {}] = await execute(shown);
  return {
    description: `PostgreSQL ${String(version)}, fsync ${String(fsync)}, synchronous_commit ${String(commit)}`,
    serverPid: own?.pid(),
    async make(number) {
      const name = `perdure_${process.pid}_${number}`;
      await execute(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      await execute(`CREATE DATABASE "${name}"`);
      return { backend: "postgres", target: withDatabase(url, name), name };
    },
    clear: async ({ name }) => void (await execute(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)),
    close: async () => own?.remove(),
  };
}

async function openMysql(): Promise<Site> {
  // Loaded when it is asked for: it may install a server.
  const { mariadbServer } = await import("../test/support/mariadb-server.js");
  const server = await mariadbServer({ durable: true });
  if (server === undefined) throw new Error("There is no MariaDB server to try: set PERDURE_MYSQL_URL to one, or install mariadb-server.");
  const [{ v: version = "", f: flush = "" } = {}] = await server.execute("SELECT VERSION() v, @@innodb_flush_log_at_trx_commit f");
  return {
    description: `${String(version)}, innodb_flush_log_at_trx_commit ${String(flush)}`,
    serverPid: server.pid(),
    async make() {
      const { url, name } = await server.database();
      return { backend: "mysql", target: url, name };
    },
    clear: async ({ name }) => void (await server.execute(`DROP DATABASE IF EXISTS ${name}`)),
    close: () => server.stop(),
  };
}
