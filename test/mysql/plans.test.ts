// Every hot statement goes by an index, on tables that grow under it and that nobody has analysed: counted by the rows that the server reads for it.
import { afterAll, describe, expect, test } from "vitest";
import { mysql } from "perdure/mysql";
import { systemRuntime } from "../../src/platform/runtime.js";
import {
  completed,
  driving,
  effectsOf,
  finishOf,
  idle,
  lineOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  turnOf,
} from "../../src/testing/conformance/samples.js";
import { mariadbServer } from "../support/mariadb-server.js";
import promiseMysql from "mysql2/promise";

const server = await mariadbServer({ own: true });
afterAll(() => server?.stop());

const hourMs = 3_600_000;

describe.runIf(server !== undefined)("plans", () => {
  if (server === undefined) return;

  test("no operation reads more rows as the tables grow from nothing to 100,000 runs", { timeout: 120_000 }, async () => {
    const { url, drop } = await server.database();
    const store = await mysql(url).open(systemRuntime());
    const admin = await promiseMysql.createConnection(url);
    const query = async (sql: string): Promise<readonly Record<string, unknown>[]> =>
      (await admin.query(sql))[0] as Record<string, unknown>[];
    const readsSoFar = async (): Promise<number> => {
      const rows = await query("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Handler_read%'");
      return rows.reduce((sum, row) => sum + Number(row["Value"]), 0);
    };
    // Looking reads rows of its own; how many is found out by looking twice.
    const reads = async (work: () => Promise<unknown>): Promise<number> => {
      const first = await readsSoFar();
      const second = await readsSoFar();
      await work();
      return (await readsSoFar()) - second - (second - first);
    };

    const { worker } = await store.registerWorker({ workerId: "w", leaseMs: 100 * hourMs });
    const { worker: other } = await store.registerWorker({ workerId: "other", leaseMs: 100 * hourMs });
    let rounds = 0;
    /** One of everything, on ten runs. */
    const everything = async (): Promise<Record<string, number>> => {
      rounds += 1;
      const ids = Array.from({ length: 10 }, (_, index) => `round ${rounds}, run ${index}`);
      const counts: Record<string, number> = {};
      const count = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
        let result: T | undefined;
        counts[what] = await reads(async () => (result = await work()));
        return result as T;
      };
      const eager = { worker, effects: effectsOf(driving, { events: [lineOf(1)], tasks: [taskOf(1)] }) };
      const outcomes = await count("start", () => store.apply(ids.map((workflowId) => startOf(sampleRun({ workflowId }), { eager }))));
      const held = outcomes.map((outcome) => {
        if (outcome.status !== "started") throw new Error(outcome.status);
        return { key: outcome.key, epoch: 1, lastSeq: 1, inboxCount: 0 };
      });
      await count("start again", () => store.apply(ids.map((workflowId) => startOf(sampleRun({ workflowId })))));
      await count("turn", () => store.apply(held.map((run) => turnOf(run, idle()))));
      await count("send", () => store.apply(ids.map((workflowId, index) => sendOf({ workflowId }, `k ${index}`))));
      const { runs } = await count("claim runs", () => store.claimRuns({ worker, routes: ["order", "other"], limit: 100, suspects: 1 }));
      expect(runs).toHaveLength(10);
      await count("look for runs", () => store.claimRuns({ worker, routes: ["order", "other"], limit: 100, suspects: 1 }));
      await count("load inboxes", () => store.loadInboxes(runs.map(({ key }) => ({ key, above: 0 }))));
      await count("load history", () => store.loadHistory({ key: runs[0]?.key ?? 0, fromSeq: 1, limit: 100 }));
      const { tasks } = await count("claim tasks", () => store.claimTasks({ worker, routes: ["charge"], limit: 100 }));
      expect(tasks).toHaveLength(10);
      await count("inspect", () => store.inspectOwned(worker));
      await count("recover", () => store.recover(worker));
      await count("finish", () => store.apply(tasks.map((task) => finishOf(task))));
      await count("find", () => store.findRuns(ids.map((workflowId) => ({ workflowId }))));
      await count("release", () => store.release({ worker, runs: runs.slice(5).map(({ key }) => key), tasks: [] }));
      await count("retry parked", () => store.retryParked(["order"]));
      await count("renew", () => store.renewLease({ worker, leaseMs: 100 * hourMs }));
      const again = await store.claimRuns({ worker: other, routes: ["order"], limit: 100, suspects: 0 });
      const all = [...runs.slice(0, 5), ...again.runs];
      await count("end", () => store.apply(all.map((run) => turnOf({ ...run, inboxCount: 2 }, completed, { consumed: [1, 2] }))));
      await count("list", () => store.listRuns({ limit: 20 }));
      return counts;
    };

    // The first time makes names and warms nothing else.
    await everything();
    const small = await everything();
    const nameId = Number((await query("SELECT MIN(name) AS id FROM perdure_run"))[0]?.["id"]);
    for (const size of [1_000, 100_000]) {
      const done = Number((await query("SELECT COUNT(*) AS n FROM perdure_run"))[0]?.["n"]);
      await query(`INSERT INTO perdure_run_fact (workflow_key, generation, run_key, engine_version, input_hash, created_at)
        SELECT CONCAT('sleeper ', seq), 1, CONCAT('run ', seq), 1, '', seq FROM seq_${done + 1}_to_${size}`);
      // Half of them sleep, the others have ended or wait for a message.
      await query(`INSERT INTO perdure_run (id, chain, name, status, lane, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, crash_count, park_count,
          is_suspect, has_tasks, has_keys, ended_at, park_reason)
        SELECT id, id, ${nameId}, IF(id MOD 4 = 0, 2, 0), 0, NULL, 1, 1, 0, 0, IF(id MOD 2 = 1, 4e12 + id, NULL), 0, 0, 0, 0, 0, IF(id MOD 4 = 0, 1, NULL), NULL
        FROM perdure_run_fact WHERE workflow_key LIKE 'sleeper %' AND id NOT IN (SELECT id FROM perdure_run)`);
      await query(`INSERT INTO perdure_history (run, seq, at, event) SELECT id, 1, 1, '{}' FROM perdure_run r
        WHERE NOT EXISTS (SELECT 1 FROM perdure_history h WHERE h.run = r.id)`);
      expect(Number((await query("SELECT COUNT(*) AS n FROM perdure_run"))[0]?.["n"])).toBeGreaterThanOrEqual(size);
      const large = await everything();
      for (const [what, count] of Object.entries(large))
        expect(count, `${what} at ${size} runs, ${small[what]} rows with none`).toBeLessThan(3 * (small[what] ?? 0) + 40);
    }
    admin.destroy();
    await store.close();
    await drop();
  });
});
