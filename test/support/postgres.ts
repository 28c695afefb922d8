// Where the tests of the PostgreSQL store find a server: the one of PERDURE_POSTGRES_URL, or one that they start for themselves.
import pg from "pg";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { findPostgresPrograms, startPostgres, type PostgresServer } from "../../scripts/postgres-server.mjs";

export interface TestServer {
  readonly url: string;
  /** Null for a server that is not ours: it is not restarted. */
  readonly own: PostgresServer | null;
  /** Runs SQL as the administrator. */
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  /** A name for a schema that nobody has used. */
  schema(): string;
  drop(schema: string): Promise<void>;
}

export interface TestServerOptions {
  readonly isOwn?: boolean;
  readonly settings?: readonly string[];
}

/** Call at the top of a test file: the server is up from before its first test until after its last. */
export function postgresServer(options: TestServerOptions = {}): TestServer {
  const server = postgresServerIfAny(options);
  if (server !== undefined) return server;
  beforeEach((context) => context.skip());
  return { url: "", own: null, query: async () => [], schema: () => "", drop: async () => undefined };
}

/** The same for a file whose other tests need none: undefined, after a loud line, if there is none to be had and none is demanded. */
export function postgresServerIfAny(options: TestServerOptions = {}): TestServer | undefined {
  const given = options.isOwn === true ? undefined : process.env["PERDURE_POSTGRES_URL"];
  let own: PostgresServer | null = null;
  let client: pg.Client | undefined;
  let schemas = 0;
  const isMissing = given === undefined && findPostgresPrograms() === undefined;
  const isDemanded = process.env["CI"] !== undefined && process.env["CI"] !== "";
  if (isMissing && !isDemanded) {
    process.stderr.write(
      "\n*** NO POSTGRESQL: these tests are skipped. Run npm ci, or set PERDURE_POSTGRES_URL or PERDURE_POSTGRES_BIN. ***\n\n",
    );
    return undefined;
  }
  beforeAll(() => {
    // Where there is none and one is demanded, this throws.
    if (given === undefined) own = startPostgres({ settings: options.settings ?? [] });
  });
  afterAll(async () => {
    await client?.end();
    own?.remove();
  });
  const server: TestServer = {
    get url() {
      return given ?? own?.url ?? "";
    },
    get own() {
      return own;
    },
    async query(sql) {
      if (client === undefined) {
        client = new pg.Client({ connectionString: server.url });
        // A server that is restarted under it: the next query opens another.
        client.on("error", () => (client = undefined));
        await client.connect();
      }
      return (await client.query<Record<string, unknown>>(sql)).rows;
    },
    schema: () => `test_${process.pid}_${(schemas += 1)}`,
    drop: async (schema) => void (await server.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`)),
  };
  return server;
}
