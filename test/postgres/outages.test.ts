// The store in large trouble, under load: whatever happens to the server, no workflow fails for it, none loses or repeats an event, and no password is shown.
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { migrationSql, postgres, type PostgresPool } from "perdure/postgres";
import { postgresServer } from "../support/postgres.js";
import { workOnSkewedClocks } from "../support/skewed-clocks.js";
import { smallDisk, type SmallDisk } from "../support/small-disk.js";
import { transactionPooler } from "../support/transaction-pooler.js";
import { pause, workThrough, workThroughRefusals } from "../support/workload.js";

// Deadlocks are looked for before the store's own patience with a lock ends, so that there are some.
const server = postgresServer({ isOwn: true, settings: ["deadlock_timeout=10ms"] });

const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** That of the server's URL. Any word would do: it lets everybody in. */
const password = "secret";

test("connections that are killed again and again fail no workflow", { timeout: 60_000 }, async () => {
  const { completed, said } = await workThrough(postgres(server.url, { schema: server.schema() }), async () => {
    for (let round = 0; round < 30; round += 1) {
      await pause(100);
      // Now one of them, now all.
      await server.query(`SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = 'perdure' ORDER BY random()
        LIMIT ${round % 2 === 0 ? 1 : 100}) AS chosen`);
    }
  });
  expect(completed).toBeGreaterThan(50);
  expect(said).not.toBe("");
  expect(said).not.toContain(password);
});

test(
  "a server that is restarted every two seconds, in order or by a crash, fails no workflow and loses nothing",
  { timeout: 90_000 },
  async () => {
    const { completed, said } = await workThrough(postgres(server.url, { schema: server.schema() }), async () => {
      for (const mode of ["immediate", "fast", "immediate", "fast"] as const) {
        await pause(2000);
        server.own?.stop(mode);
        await pause(200);
        server.own?.start();
      }
      await pause(500);
    });
    expect(completed).toBeGreaterThan(100);
    expect(said).not.toBe("");
    expect(said).not.toContain(password);
  },
);

test("deadlocks with an application that locks rows in another order fail no workflow", { timeout: 60_000 }, async () => {
  const schema = server.schema();
  const { pool, victims } = countingPool(server.url, "40P01");
  closers.push(() => pool.end());
  const application = new pg.Pool({ connectionString: server.url, max: 4 });
  closers.push(() => application.end());
  const meddle = async (): Promise<void> => {
    const client = await application.connect();
    try {
      await client.query("BEGIN");
      const { rows } = await client.query<{ key: string }>(`SELECT key FROM "${schema}".run WHERE status < 2 ORDER BY key DESC LIMIT 8`);
      for (const { key } of rows) await client.query(`SELECT 1 FROM "${schema}".run WHERE key = ${key} FOR UPDATE`);
      await client.query("COMMIT");
    } catch {
      await client.query("ROLLBACK");
    } finally {
      client.release();
    }
  };
  const { completed } = await workThrough(postgres(pool, { schema }), async () => {
    for (let round = 0; round < 200 && (round < 30 || victims() < 3); round += 1)
      await Promise.all([meddle(), meddle(), meddle(), pause(20)]);
  });
  expect(completed).toBeGreaterThan(20);
  expect(victims()).toBeGreaterThan(0);
});

/** A pool that counts how often the server refused a statement with this code. */
function countingPool(url: string, code: string): { readonly pool: PostgresPool & { end(): Promise<void> }; victims(): number } {
  const inner = new pg.Pool({ connectionString: url });
  let victims = 0;
  const connect = async (): Promise<pg.PoolClient> => {
    const client = await inner.connect();
    const ask = client.query.bind(client) as (query: unknown) => Promise<pg.QueryResult>;
    const query = (asked: unknown): Promise<pg.QueryResult> =>
      ask(asked).catch((error: unknown) => {
        if ((error as { readonly code?: unknown }).code === code) victims += 1;
        throw error;
      });
    return Object.assign(client, { query });
  };
  return { pool: { connect, end: () => inner.end() }, victims: () => victims };
}

test("a disk that is full for a while fails no workflow", { timeout: 60_000 }, async () => {
  const schema = server.schema();
  const disk = smallDisk(48, server.own?.folder ?? "");
  const full = disk === undefined ? fullByDecree(schema) : await fullInTruth(disk);
  const { completed, said } = await workThrough(postgres(full.url, { schema }), async () => {
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
  expect(said).toContain("53100");
  expect(said).not.toContain(password);
});

interface FullDisk {
  readonly url: string;
  fill(): Promise<void>;
  free(): Promise<void>;
}

/** A database whose tables are on a disk of their own; the log of the server is elsewhere, as without it the server itself would go down. */
async function fullInTruth(disk: SmallDisk): Promise<FullDisk> {
  closers.push(() => disk.remove());
  await server.query(`CREATE TABLESPACE small LOCATION '${disk.folder}'`);
  await server.query("CREATE DATABASE small TABLESPACE small");
  closers.push(async () => {
    await server.query("DROP DATABASE small WITH (FORCE)");
    await server.query("DROP TABLESPACE small");
  });
  return { url: server.url.replace("/postgres?", "/small?"), fill: async () => disk.fill(), free: async () => disk.free() };
}

/** Where no file system may be mounted: every new line of a history is refused, in the words in which the server refuses what it has no room for. */
function fullByDecree(schema: string): FullDisk {
  return {
    url: server.url,
    fill: async () =>
      void (await server.query(`CREATE OR REPLACE FUNCTION "${schema}".no_room() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER no_room BEFORE INSERT ON "${schema}".history FOR EACH ROW EXECUTE FUNCTION "${schema}".no_room()`)),
    free: async () => void (await server.query(`DROP TRIGGER no_room ON "${schema}".history`)),
  };
}

test("workers whose clocks are an hour off, ahead or behind, neither ring early nor bury the living", { timeout: 60_000 }, async () => {
  expect(await workOnSkewedClocks(postgres(server.url, { schema: server.schema() }))).toEqual({ executions: [2], said: "" });
});

test("a right that is taken away for a while fails no workflow", { timeout: 60_000 }, async () => {
  const schema = server.schema();
  await server.query(`CREATE ROLE limited LOGIN; ${migrationSql({ schema })}
    GRANT USAGE ON SCHEMA "${schema}" TO limited; GRANT USAGE ON ALL SEQUENCES IN SCHEMA "${schema}" TO limited;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO limited`);
  const said = await workThroughRefusals(
    postgres(server.url.replace("postgres:", "limited:"), { schema, migrate: "never" }),
    () => server.query(`REVOKE INSERT ON "${schema}".history FROM limited`),
    () => server.query(`GRANT INSERT ON "${schema}".history TO limited`),
  );
  expect(said).toContain("lacks a right");
  expect(said).not.toContain(password);
});

test("through a pooler that hands connections out by the transaction, nothing is lost either", { timeout: 60_000 }, async () => {
  const pool = transactionPooler(server.url, 3);
  closers.push(() => pool.end());
  const { completed, said } = await workThrough(postgres(pool, { schema: server.schema() }), () => pause(2000));
  expect(completed).toBeGreaterThan(50);
  expect(said).toBe("");
});
