// The databases that failover is tried on: one entry each. Servers are those that the environment names, or are started for the occasion.
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Backend } from "perdure";
import { mysql } from "perdure/mysql";
import { postgres } from "perdure/postgres";
import { sqlite } from "perdure/sqlite";
import pg from "pg";

/** A database for one trial, as JSON: worker processes are told of it. */
export interface Place {
  readonly backend: BackendName;
  /** A file or a URL. */
  readonly target: string;
  /** What keeps the trials of one database apart. */
  readonly name: string;
}

/** What is up for as long as the trials take. */
export interface Site {
  /** An empty place; `number` tells it from the others of this site. */
  make(number: number): Promise<Place>;
  clear(place: Place): Promise<void>;
  close(): Promise<void>;
}

interface Entry {
  /** @param folder for whatever needs files; removed by the caller */
  readonly open: (folder: string) => Promise<Site>;
  readonly connect: (place: Place) => Backend;
}

const nothing = async (): Promise<void> => undefined;

const entries = {
  sqlite: {
    open: async (folder) => ({
      make: async (number) => ({ backend: "sqlite", target: join(folder, `trial-${number}.db`), name: "" }),
      clear: nothing,
      close: nothing,
    }),
    connect: ({ target }) => sqlite(target),
  },
  postgres: { open: openPostgres, connect: ({ target, name }) => postgres(target, { schema: name }) },
  mysql: { open: openMysql, connect: ({ target }) => mysql(target) },
} as const satisfies Record<string, Entry>;

export type BackendName = "sqlite" | "postgres" | "mysql";

const byName: Readonly<Record<BackendName, Entry>> = entries;
export const backendNames = Object.keys(entries) as readonly BackendName[];

export const openSite = (name: BackendName, folder: string): Promise<Site> => byName[name].open(folder);
export const backendAt = (place: Place): Backend => byName[place.backend].connect(place);

interface PostgresServer {
  readonly url: string;
  remove(): void;
}

/** The script that the tests use as well. It is not compiled, hence found from the repository's root, where `npm run` starts us. */
async function startPostgres(): Promise<PostgresServer> {
  const script = (await import(pathToFileURL(resolve("scripts/postgres-server.mjs")).href)) as { startPostgres(): PostgresServer };
  return script.startPostgres();
}

async function openPostgres(): Promise<Site> {
  const given = process.env["PERDURE_POSTGRES_URL"];
  const own = given === undefined ? await startPostgres() : undefined;
  const url = given ?? own?.url ?? "";
  return {
    make: async (number) => ({ backend: "postgres", target: url, name: `failover_${process.pid}_${number}` }),
    async clear({ name }) {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`DROP SCHEMA IF EXISTS "${name}" CASCADE`);
      await client.end();
    },
    close: async () => own?.remove(),
  };
}

async function openMysql(): Promise<Site> {
  // Loaded when it is asked for: it may install a server.
  const { mariadbServer } = await import("../test/support/mariadb-server.js");
  const server = await mariadbServer({ durable: true });
  if (server === undefined) throw new Error("There is no MariaDB server to try: set PERDURE_MYSQL_URL to one, or install mariadb-server.");
  return {
    async make() {
      const { url, name } = await server.database();
      return { backend: "mysql", target: url, name };
    },
    clear: async ({ name }) => void (await server.execute(`DROP DATABASE IF EXISTS ${name}`)),
    close: () => server.stop(),
  };
}
