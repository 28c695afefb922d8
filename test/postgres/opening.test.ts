// What opening a store says of a server, a user or a database that will not do, and how its tables come about.
import pg from "pg";
import { expect, test } from "vitest";
import { isPerdureError, type Backend } from "perdure";
import { migrationSql, postgres, type PostgresPool } from "perdure/postgres";
import { systemRuntime } from "../../src/platform/runtime.js";
import { sampleRun, startOf } from "../../src/testing/conformance/samples.js";
import { postgresServer } from "../support/postgres.js";

const server = postgresServer({ isOwn: true });
const runtime = systemRuntime();

/** Everything that an error says, as a logger would show it. */
function everything(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const parts = Object.getOwnPropertyNames(error).map((key) => everything((error as unknown as Record<string, unknown>)[key]));
  return [error.message, error.stack ?? "", ...parts].join("\n");
}

async function openError(backend: Backend): Promise<Error & { readonly code: string }> {
  try {
    await (await backend.open(runtime)).close();
  } catch (error) {
    if (isPerdureError(error)) return error;
    throw error;
  }
  throw new Error("it was opened");
}

test.each([
  ["nobody listens", () => "postgresql://me:hunter2@127.0.0.1:1/db", "backend_unavailable", "ECONNREFUSED"],
  ["the host is unknown", () => "postgresql://me:hunter2@host.invalid/db", "backend_unavailable", "host.invalid"],
  [
    "the database is missing",
    () => server.url.replace("/postgres?", "/nowhere?").replace(":secret@", ":hunter2@"),
    "backend_failed",
    "nowhere",
  ],
  ["the user is unknown", () => server.url.replace("postgres:secret@", "stranger:hunter2@"), "backend_failed", "stranger"],
])("where %s, the error says so and keeps the password", async (_title, url, code, hint) => {
  const error = await openError(postgres(url()));
  expect(error.code).toBe(code);
  expect(error.message).toContain(hint);
  expect(everything(error)).not.toContain("hunter2");
});

test("a source or an option that cannot be meant is refused at once, without a word of the URL", () => {
  for (const source of ["mysql://me:hunter2@host/db", "", undefined, null, 7, {}]) {
    expect(() => postgres(source as string)).toThrow(/postgres\(\) takes a URL/);
  }
  try {
    postgres("host=there password=hunter2");
  } catch (error) {
    expect(everything(error)).not.toContain("hunter2");
  }
  const url = "postgresql://me@host/db";
  for (const schema of ["", "a b", 'a"b', "1a", "pg_own", "x".repeat(32), "ä", "a;drop table x"]) {
    expect(() => postgres(url, { schema })).toThrow(/schema of postgres/);
    expect(() => migrationSql({ schema })).toThrow(/schema of postgres/);
  }
  expect(() => postgres(url, { schemas: "x" } as object)).toThrow(/no option "schemas"/);
  expect(() => postgres({ connect: async () => ({}) as never, options: { max: 2 } })).toThrow(/at most 2 connections/);
});

test("a server that is too old, or a database in another encoding, is refused", async () => {
  // The server itself, but for what it says of itself: no server of those days can be had.
  const saying = (number: string, encoding: string): PostgresPool => {
    const pool = new pg.Pool({ connectionString: server.url });
    return {
      async connect() {
        const client = await pool.connect();
        const query = client.query.bind(client) as (query: unknown) => Promise<{ rows: unknown[][] }>;
        const wrapped = {
          on: client.on.bind(client),
          removeListener: client.removeListener.bind(client),
          release: () => (client.release(true), void pool.end()),
          async query(asked: { readonly text: string }) {
            const answer = await query(asked);
            if (asked.text.includes("server_version_num")) answer.rows[0] = [1, number, number, encoding, false];
            return answer;
          },
        };
        return wrapped as unknown as pg.PoolClient;
      },
    };
  };
  expect(await openError(postgres(saying("130012", "UTF8")))).toMatchObject({
    code: "backend_mismatch",
    message: expect.stringContaining("14 or newer"),
  });
  expect(await openError(postgres(saying("150001", "LATIN1")))).toMatchObject({
    code: "backend_mismatch",
    message: expect.stringContaining("LATIN1"),
  });
});

test("ten processes that open an empty database at once make its tables once", async () => {
  const schema = server.schema();
  const stores = await Promise.all(Array.from({ length: 10 }, () => postgres(server.url, { schema }).open(runtime)));
  await Promise.all(stores.map((store) => store.close()));
  expect(await server.query(`SELECT version FROM "${schema}".migration`)).toHaveLength(1);
});

test("two schemas of one database know nothing of one another", async () => {
  const [one, other] = await Promise.all(
    [server.schema(), server.schema()].map((schema) => postgres(server.url, { schema }).open(runtime)),
  );
  const start = startOf(sampleRun({ workflowId: "w" }));
  expect((await one!.apply([start]))[0].status).toBe("started");
  expect(await other!.listRuns({ limit: 10 })).toEqual([]);
  expect((await other!.apply([start]))[0].status).toBe("started");
  await Promise.all([one!.close(), other!.close()]);
});

test("a user without the right to create is told what to do; with what migrationSql gives, it needs no such right", async () => {
  const schema = server.schema();
  await server.query("CREATE ROLE worker LOGIN");
  const url = server.url.replace("postgres:secret@", "worker:hunter2@");
  const refused = await openError(postgres(url, { schema }));
  expect(refused).toMatchObject({ code: "backend_failed", message: expect.stringContaining("migrationSql()") });
  expect(await openError(postgres(server.url, { schema, migrate: "never" }))).toMatchObject({
    code: "backend_mismatch",
    message: expect.stringContaining("migrationSql()"),
  });

  await server.query(migrationSql({ schema }));
  expect((await openError(postgres(url, { schema }))).message).toContain("lacks a right");
  await server.query(`GRANT USAGE ON SCHEMA "${schema}" TO worker; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO worker;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA "${schema}" TO worker`);
  const store = await postgres(url, { schema, migrate: "never" }).open(runtime);
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: 10_000 });
  expect((await store.apply([startOf(sampleRun({ workflowId: "w" }))]))[0].status).toBe("started");
  expect((await store.claimRuns({ worker, routes: ["order"], limit: 1, suspects: 0 })).runs).toHaveLength(1);
  await store.recover(worker);
  await store.retireWorker(worker);
  await store.close();
});

test("tables of a newer version are used if they say that they can be, and refused if not", async () => {
  const schema = server.schema();
  await (await postgres(server.url, { schema }).open(runtime)).close();
  await server.query(`INSERT INTO "${schema}".migration (version, title, oldest_reader) VALUES (998, 'additive', 1)`);
  await (await postgres(server.url, { schema }).open(runtime)).close();
  await server.query(`INSERT INTO "${schema}".migration (version, title, oldest_reader) VALUES (999, 'another world', 999)`);
  expect(await openError(postgres(server.url, { schema }))).toMatchObject({
    code: "backend_mismatch",
    message: expect.stringContaining("Upgrade perdure"),
  });
});
