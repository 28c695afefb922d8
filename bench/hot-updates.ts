import pg from "pg";
import { delay, stampMs } from "./measure.js";
import type { Place } from "./sites.js";

const patienceMs = 10_000;

/**
 * The share of updates of PostgreSQL's `run` rows that touched no index. Servers' processes hand in their counts when they end, at the latest: so the engine
 * has to be closed, and this waits for them. Undefined on other databases.
 */
export async function hotUpdateShare({ backend, target }: Place): Promise<number | undefined> {
  if (backend !== "postgres") return undefined;
  const client = new pg.Client({ connectionString: target });
  await client.connect();
  try {
    const others =
      "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    const limitMs = stampMs() + patienceMs;
    while (((await client.query(others)).rowCount ?? 0) > 0) {
      if (stampMs() > limitMs) throw new Error("the engine is closed, but its connections are not");
      await delay(20);
    }
    const { rows } = await client.query<{ share: number }>(
      "SELECT (sum(n_tup_hot_upd) / sum(n_tup_upd))::float8 AS share FROM pg_stat_user_tables WHERE schemaname = 'perdure' AND relname = 'run'",
    );
    return rows[0]?.share;
  } finally {
    await client.end();
  }
}
