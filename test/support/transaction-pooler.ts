import pg from "pg";
import type { PostgresClient, PostgresPool, PostgresResult } from "../../src/backends/postgres/driver.js";

/**
 * The server as it looks through a pooler in transaction mode: each transaction is on whichever connection is free, and none finds anything of another's
 * session there, for a connection is reset after each. The process id that it tells when it is connected to is not a server's.
 */
export function transactionPooler(url: string, connections: number): PostgresPool & { end(): Promise<void> } {
  const pool = new pg.Pool({ connectionString: url, max: connections });
  return { connect: async () => lentBy(pool), end: () => pool.end() };
}

function lentBy(pool: pg.Pool): PostgresClient {
  let held: pg.PoolClient | undefined;
  const giveBack = async (server: pg.PoolClient): Promise<void> => {
    held = undefined;
    await server.query("DISCARD ALL");
    server.release();
  };
  const client: PostgresClient & { readonly processID: number } = {
    processID: 1,
    async query(query: string | pg.QueryConfig): Promise<PostgresResult> {
      const server = (held ??= await pool.connect());
      try {
        return await server.query(query);
      } finally {
        if (server.getTransactionStatus() === "I") await giveBack(server);
      }
    },
    on: () => client,
    removeListener: () => client,
    release: () => {
      held?.release(true);
      held = undefined;
    },
  };
  return client;
}
