import pg from "pg";
import { completionTableSql, postgres, transactions } from "perdure/postgres";
import { applicationOn, type Application, type Row, type Sql } from "./application.js";
import type { TestBackend } from "./backends.js";
import { postgresServerIfAny, type TestServer } from "./postgres.js";
import { textOf } from "./text-of.js";
import type { VirtualTime } from "./virtual-time.js";

/** A power cut is not what these tests are about. */
const settings = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off"];

let server: TestServer | undefined;
let isDeclared = false;

/** The PostgreSQL store on a real server and on virtual time; one server for each test file, one schema for each test. */
export const inPostgres: TestBackend = {
  name: "PostgreSQL",
  declare: () => {
    if (!isDeclared) server = postgresServerIfAny({ settings });
    isDeclared = true;
  },
  create: async (time) => {
    const found = server;
    if (found === undefined) return undefined;
    const schema = found.schema();
    const pool = new pg.Pool({ connectionString: found.url, max: 100, ...{ pipeline: true } });
    return {
      backend: postgres(onVirtualTime(pool, time), { schema }),
      application: () => application(found, schema, time),
      dump: async () => textOf(await everyRow(found, schema)),
      dispose: async () => {
        await pool.end();
        await found.drop(schema);
      },
    };
  },
};

/** One schema stands for the backend's database and another for an application's that is elsewhere: what matters is which source is used. */
async function application(found: TestServer, schema: string, time: VirtualTime): Promise<Application> {
  const elsewhere = found.schema();
  await found.query(`CREATE SCHEMA "${elsewhere}"`);
  await found.query(`CREATE SCHEMA IF NOT EXISTS "${schema}"`);
  const poolIn = (path: string): pg.Pool => new pg.Pool({ connectionString: found.url, max: 20, options: `-c search_path=${path}` });
  const [pool, other] = [poolIn(schema), poolIn(elsewhere)];
  await other.query(completionTableSql());
  const as = (client: pg.PoolClient): Sql => ({ query: async (sql) => (await client.query<Row>(sql)).rows });
  return applicationOn(time, {
    source: transactions(pool, { as }),
    other: transactions(other, { as, completions: "perdure_completion" }),
    query: async (sql) => (await pool.query<Row>(sql)).rows,
    queryOther: async (sql) => (await other.query<Row>(sql)).rows,
    // What stands for the server's clock has to be told to these connections as well.
    prepare: async (sql) => void (await sql.query(`SET perdure_test.seconds = '${(time.now() / 1000).toFixed(6)}'`)),
    begin: async () => {
      const client = await pool.connect();
      await client.query("BEGIN");
      const end = async (how: string): Promise<void> => {
        await client.query(how);
        client.release();
      };
      return { sql: as(client), connection: client, end };
    },
    close: async () => {
      await Promise.all([pool.end(), other.end()]);
      await found.drop(elsewhere);
    },
  });
}

async function everyRow({ query }: TestServer, schema: string): Promise<readonly unknown[]> {
  const tables = await query(`SELECT tablename FROM pg_tables WHERE schemaname = '${schema}'`);
  return Promise.all(tables.map(({ tablename }) => query(`SELECT * FROM "${schema}"."${String(tablename)}"`)));
}

interface Query {
  readonly text: string;
  readonly values?: readonly unknown[];
}
type Ask = (query: Query) => Promise<pg.QueryResult>;

/** What the server is asked the time by, and what it is asked instead: a setting of the session, which is told before a statement whenever it has changed. */
const realClock = /\bclock_timestamp\(\)/g;
const virtualClock = "to_timestamp(current_setting('perdure_test.seconds')::float8)";

/** A pool whose server has the time of the test, in statements as in functions; the clock stands still while the server works. */
function onVirtualTime(pool: pg.Pool, time: VirtualTime): Pick<pg.Pool, "connect"> {
  const listeners = new Set<Listener>();
  const connect = async (): Promise<pg.PoolClient> => {
    const letGo = time.hold();
    try {
      const client = await pool.connect();
      const ask = client.query.bind(client) as Ask;
      const listener = listenerOf(client, time);
      let toldSeconds = "";
      const asked: Ask = async (query) => {
        const answered = time.hold();
        const forget = isNotify(query) ? expectOnAll(listeners) : undefined;
        try {
          const seconds = (Math.floor(time.now() * 1000) / 1e6).toFixed(6);
          if (seconds !== toldSeconds) void ask({ text: `SET perdure_test.seconds = '${seconds}'` }).catch(() => undefined);
          toldSeconds = seconds;
          const answer = await ask({ ...query, text: query.text.replace(realClock, virtualClock) });
          if (query.text.startsWith("LISTEN")) listeners.add(listener);
          return answer;
        } catch (error) {
          forget?.();
          throw error;
        } finally {
          answered();
        }
      };
      client.once("end", () => listeners.delete(listener));
      return Object.assign(client, { query: (query: string | Query) => asked(typeof query === "string" ? { text: query } : query) });
    } finally {
      letGo();
    }
  };
  return { connect };
}

const isNotify = ({ text }: Query): boolean => text.includes("pg_notify(");

/** A connection that hears notifications, and how many are on their way to it: the server sends them when it has answered who sent them. */
interface Listener {
  /** One more is on its way; returns what takes that back. */
  expect(): () => void;
}

function listenerOf(client: pg.PoolClient, time: VirtualTime): Listener {
  const expected: (() => void)[] = [];
  client.on("notification", () => expected.shift()?.());
  client.once("end", () => {
    for (const letGo of expected.splice(0)) letGo();
  });
  return {
    expect() {
      const letGo = time.hold();
      expected.push(letGo);
      return () => {
        letGo();
        const index = expected.indexOf(letGo);
        if (index >= 0) expected.splice(index, 1);
      };
    },
  };
}

function expectOnAll(listeners: ReadonlySet<Listener>): () => void {
  const takeBack = [...listeners].map((listener) => listener.expect());
  return () => {
    for (const take of takeBack) take();
  };
}
