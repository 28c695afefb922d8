import { PerdureError } from "../../errors.js";
import { StoreFailure } from "../../backend/index.js";
import { loadPg, types, type PostgresClient, type PostgresPool } from "./driver.js";

/** An open connection. */
export interface Session {
  readonly client: PostgresClient;
  /** Does something between here and the server hand out its connections by the transaction? Then nothing that belongs to a session can be used. */
  readonly isPooled: boolean;
  /** Uses the client: at once if it can have several statements under way, else when those before have been answered. */
  use<Result>(work: (client: PostgresClient) => Promise<Result>): Promise<Result>;
  onEnd(callback: () => void): void;
  /** Ends it in order. */
  close(): Promise<void>;
  /** Ends it at once. */
  destroy(): void;
}

export interface SessionOptions {
  readonly source: string | PostgresPool;
  readonly applicationName: string;
}

const connectMaxMs = 10_000;

/**
 * What every connection is set to. The plans of all statements are pinned: on tables that were never analysed, or were when they were small, the planner
 * prefers scans and joins that are fast there and ruinous later, and a prepared plan lasts as long as its connection.
 */
export const pins: readonly string[] = [
  "enable_seqscan = off",
  "enable_mergejoin = off",
  "enable_hashjoin = off",
  "jit = off",
  "plan_cache_mode = force_generic_plan",
];

const settings: readonly string[] = [
  ...pins,
  // Each step of the protocol is made for it; a stronger level would only fail more often.
  "default_transaction_isolation = 'read committed'",
  "extra_float_digits = 1",
  "bytea_output = 'hex'",
  "client_encoding = 'UTF8'",
  "idle_session_timeout = 0",
  // A host that is cut off is noticed in about ten seconds by either side.
  "tcp_keepalives_idle = 5",
  "tcp_keepalives_interval = 2",
  "tcp_keepalives_count = 3",
];

export const pinsOf = (command: "SET" | "SET LOCAL"): string => pins.map((pin) => `${command} ${pin};`).join(" ");

/** Pipelining is an option of the client; without it, and for transactions of several statements, each use waits for the one before. */
function turnstile(client: PostgresClient, isPooled: boolean): Session["use"] {
  if (!isPooled && (client as { readonly pipeline?: unknown }).pipeline === true) return (work) => work(client);
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(() => work(client));
    last = result.catch(() => undefined);
    return result;
  };
}

/** @param extra more settings, like `synchronous_commit = off` */
export async function openSession({ source, applicationName }: SessionOptions, extra: readonly string[] = []): Promise<Session> {
  const session = typeof source === "string" ? await openOwn(source, applicationName) : await borrow(source);
  try {
    if (!session.isPooled) await session.client.query([...settings, ...extra].map((setting) => `SET ${setting}`).join("; "));
    return session;
  } catch (error) {
    session.destroy();
    throw error;
  }
}

async function openOwn(url: string, applicationName: string): Promise<Session> {
  const { Client } = await loadPg();
  const client = new Client({
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: connectMaxMs,
    keepAlive: true,
    // Statements are sent without waiting for the answers to those before.
    pipeline: true,
  });
  let ended = false;
  // Without a listener an error of the connection would end the process.
  client.on("error", () => (ended = true));
  await client.connect();
  const destroy = (): void => {
    const { connection } = client as { readonly connection?: { readonly stream?: { destroy?(): void } } };
    connection?.stream?.destroy?.();
  };
  try {
    const isPooled = await examine(client);
    return {
      client,
      isPooled,
      use: turnstile(client, isPooled),
      onEnd: (callback) => {
        client.on("error", callback);
        client.on("end", callback);
        if (ended) callback();
      },
      close: async () => void (await client.end()),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

async function borrow(pool: PostgresPool): Promise<Session> {
  const client = await pool.connect();
  if (typeof client.release !== "function") {
    throw new PerdureError(
      "invalid_argument",
      "postgres() was given something whose connect() gives no client with release(). Hand in a Pool of pg, or a URL.",
    );
  }
  let released = false;
  // It was given settings of its own, so it does not go back to others.
  const release = (): void => {
    if (!released) client.release?.(true);
    released = true;
  };
  const ignore = (): void => {};
  client.on("error", ignore);
  try {
    const isPooled = await examine(client);
    return {
      client,
      isPooled,
      use: turnstile(client, isPooled),
      onEnd: (callback) => {
        client.on("error", callback);
        client.on("end", callback);
      },
      close: async () => release(),
      destroy: release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

const oldestServer = 140_000;

/** Checks the server. Is it behind a pooler? It tells the driver its process id when it connects; a pooler, which has many servers behind it, tells another. */
async function examine(client: PostgresClient): Promise<boolean> {
  const { rows } = await client.query({
    text: `SELECT pg_backend_pid(), current_setting('server_version_num'), current_setting('server_version'), current_setting('server_encoding'), pg_is_in_recovery()`,
    rowMode: "array",
    types,
  });
  const [pid, number, version, encoding, isStandby] = (rows as unknown[][])[0] ?? [];
  if (!(Number(number) >= oldestServer)) {
    throw new PerdureError("backend_mismatch", `The PostgreSQL server is version ${String(version)}. perdure needs 14 or newer.`);
  }
  if (encoding !== "UTF8") {
    throw new PerdureError(
      "backend_mismatch",
      `The database's encoding is ${String(encoding)}. perdure needs UTF8: create the database with ENCODING 'UTF8'.`,
    );
  }
  if (isStandby === true) {
    throw new StoreFailure(
      "backend_readonly",
      "The PostgreSQL server is a standby, which takes no writes. Give the address of the primary.",
      {
        outcome: "none",
        transient: true,
      },
    );
  }
  return pid !== (client as { readonly processID?: unknown }).processID;
}
