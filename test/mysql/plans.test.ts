// Every hot statement goes by an index, on tables that grow under it and that nobody has analysed: counted by the rows that the server reads for it.
import { afterAll, describe, expect, test } from "vitest";
import type { Operation } from "perdure/backend";
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
import { renew } from "../../src/testing/conformance/renew.js";
import { mariadbServer } from "../support/mariadb-server.js";
import promiseMysql from "mysql2/promise";

const server = await mariadbServer({ own: true });
afterAll(() => server?.stop());

const hourMs = 3_600_000;
const termination = { event: "{}", payload: null, tasks: [] };

describe.runIf(server !== undefined)("plans", () => {
  if (server === undefined) return;

  test("no operation reads more rows as the tables grow from nothing to 100,000 runs", { timeout: 120_000 }, async () => {
    const { url, drop } = await server.database();
    const store = await mysql(url).open(systemRuntime());
    const admin = await promiseMysql.createConnection(url);
    const query = async (sql: string): Promise<readonly Record<string, unknown>[]> =>
      (await admin.query(sql))[0] as Record<string, unknown>[];
    const readsSoFar = async (): Promise<number> => {
      const rows = await query("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Handler_read%' OR Variable_name = 'Handler_icp_attempts'");
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
    const streaming = { worker: other, effects: effectsOf(driving, { events: [lineOf(1)] }) };
    const [started] = await store.apply([startOf(sampleRun({ workflowId: "streamer", runId: "streamer" }), { eager: streaming })]);
    const streamer = started.status === "started" ? started.key : 0;
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
      const run = (workflowId: string, runId = `run of ${workflowId}`) =>
        sampleRun({ workflowId, runId, parentRunId: "somebody", options: null });
      const attribute = { name: "round", value: String(rounds) };
      const tasks = [taskOf(1), taskOf(2, { heartbeatMs: hourMs, expiresAt: 4e12 })];
      const eager = { worker, effects: effectsOf(driving, { events: [lineOf(1)], tasks }) };
      const starts = ids.map((workflowId) => startOf(run(workflowId), { eager, attributes: [attribute] }));
      const outcomes = await count("start", () => store.apply(starts));
      const held = outcomes.map((outcome) => {
        if (outcome.status !== "started") throw new Error(outcome.status);
        return { key: outcome.key, epoch: 1, lastSeq: 1, inboxCount: 0 };
      });
      await count("start again", () => store.apply(ids.map((workflowId) => startOf(run(workflowId)))));
      const chunk = { stream: "out", writer: "1", number: 1, restartAt: null, payload: "1" };
      await count("append", () =>
        store.apply(held.map(({ key, epoch }): Operation => ({ type: "append", on: { run: key, epoch }, chunks: [chunk] }))),
      );
      const own = { entries: [{ name: "state", payload: "1" }], chunks: [{ ...chunk, writer: "", number: 0 }] };
      const shelf = { ...own, cancelledTasks: [1], attributes: [{ ...attribute, name: "more" }] };
      await count("turn", () => store.apply(held.map((one) => turnOf(one, idle(), shelf))));
      await count("send", () => store.apply(ids.map((workflowId, index) => sendOf({ workflowId }, `k ${index}`))));
      const { runs } = await count("claim runs", () => store.claimRuns({ worker, routes: ["order", "other"], limit: 100, suspects: 1 }));
      expect(runs).toHaveLength(10);
      await count("look for runs", () => store.claimRuns({ worker, routes: ["order", "other"], limit: 100, suspects: 1 }));
      await count("load inboxes", () => store.loadInboxes(runs.map(({ key }) => ({ key, above: 0 }))));
      await count("load history", () => store.loadHistory({ key: runs[0]?.key ?? 0, fromSeq: 1, limit: 100 }));
      const claimed = await count("claim tasks", () => store.claimTasks({ worker, routes: ["charge"], limit: 100 }));
      expect(claimed.tasks).toHaveLength(20);
      const [first, second] = [1, 2].map((command) => claimed.tasks.filter((task) => task.command === command));
      await count("inspect", () => store.inspectOwned(worker));
      const routes = { runRoutes: ["order", "other"], taskRoutes: ["charge"] };
      await count("pulse", () => store.pulse({ worker, leaseMs: 100 * hourMs, ...routes }));
      await count("recover", () => store.recover(worker));
      await count("touch", () =>
        store.apply((second ?? []).map(({ key, epoch }): Operation => ({ type: "touch_task", key, epoch, details: "1", detach: false }))),
      );
      await count("expire", () => store.expireTasks());
      await count("finish", () => store.apply((first ?? []).map((task) => finishOf(task))));
      await count("finish by what it is for", () =>
        store.apply(
          (second ?? []).map(({ runId, command, attempt }) => finishOf({ key: 0, epoch: 0 }, { task: { runId, command, attempt } })),
        ),
      );
      await count("find", () => store.findRuns(ids.map((workflowId) => ({ workflowId }))));
      await count("release", () => store.release({ worker, runs: runs.slice(5).map(({ key }) => key), tasks: [] }));
      await count("retry parked", () => store.retryParked(["order"]));
      await count("renew", () => renew(store, worker, 100 * hourMs));
      const again = await store.claimRuns({ worker: other, routes: ["order"], limit: 100, suspects: 0 });
      const all = [...runs.slice(0, 5), ...again.runs];
      const seen = { inboxSeen: 3, consumed: [1, 2, 3] };
      const followers = await count("continue", () =>
        store.apply(
          all.map((one) =>
            turnOf(one, { state: "continued", run: run(one.workflowId, `follower of ${one.runId}`), input: "1", dueAt: null }, seen),
          ),
        ),
      );
      const chains = all.map(({ runId }) => ({ chainOf: runId }));
      await count("send to chains", () => store.apply(chains.map((target) => sendOf(target, "to a chain"))));
      await count("find by chains", () => store.findRuns(chains));
      await count("read entries", () => store.readEntries({ target: { runId: all[0]?.runId ?? "" }, names: ["state"] }));
      await count("read chunks", () => store.readChunks({ target: { runId: all[0]?.runId ?? "" }, stream: "out", from: 1, limit: 10 }));
      await count("read a stream's tail", () => store.readStreamTail({ key: all[0]?.key ?? 0, stream: "out", writer: "1" }));
      const going = followers.flatMap((outcome) =>
        outcome.status === "committed" && outcome.continued !== null ? [outcome.continued] : [],
      );
      await count("end", () => store.apply(going.slice(0, 5).map((one) => turnOf(one, completed, { inboxSeen: 5, consumed: [4, 5] }))));
      const targets = going.slice(5).map(({ runId }) => ({ runId }));
      await count("terminate", () => store.apply(targets.map((target): Operation => ({ type: "terminate", target, termination }))));
      await count("start in the place of another", () =>
        store.apply(ids.map((workflowId) => startOf(run(workflowId, `last of ${workflowId}`), { reuse: "always", dueAt: 4e12 }))),
      );
      const often = startOf(run("often", `often in round ${rounds}`), { reuse: "always", terminates: termination, dueAt: 4e12 });
      await count("start once more", () => store.apply([often]));
      await count("send to one of many", () => store.apply([sendOf({ workflowId: "often" }, "k")]));
      await count("find one of many", () => store.findRuns([{ workflowId: "often" }]));
      const line = { ...chunk, writer: "2", number: rounds };
      await count("append to a long stream", () => store.apply([{ type: "append", on: { run: streamer, epoch: 1 }, chunks: [line] }]));
      const end = { target: { runId: "streamer" }, stream: "out", from: 1e6, limit: 10 };
      await count("read a long stream", () => store.readChunks(end));
      await count("read the tail of a long stream", () => store.readStreamTail({ key: streamer, stream: "out", writer: "2" }));
      await count("list children", () => store.listRuns({ parentRunId: "somebody", limit: 20 }));
      await count("list by attributes", () => store.listRuns({ attributes: [attribute, { ...attribute, name: "more" }], limit: 20 }));
      await count("list", () => store.listRuns({ limit: 20 }));
      return counts;
    };

    // The first time makes names and warms nothing else.
    await everything();
    const small = await everything();
    const nameId = Number((await query("SELECT MIN(route) AS id FROM perdure_run"))[0]?.["id"]);
    for (const size of [1_000, 100_000]) {
      const done = Number((await query("SELECT COUNT(*) AS n FROM perdure_run"))[0]?.["n"]);
      await query(`INSERT INTO perdure_run_fact (workflow_key, superseded, run_key, name, engine_version, input_hash, created_at)
        SELECT CONCAT('sleeper ', seq), 0, CONCAT('run ', seq), ${nameId}, 1, '', seq FROM seq_${done + 1}_to_${size}`);
      // Half of them sleep, the others have ended or wait for a message.
      await query(`INSERT INTO perdure_run (id, chain, route, status, lane, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, crash_count, park_count,
          is_suspect, has_tasks, has_keys, ended_at, park_reason)
        SELECT id, id, ${nameId}, IF(id MOD 4 = 0, 2, 0), 0, NULL, 1, 1, 0, 0, IF(id MOD 2 = 1, 4e12 + id, NULL), 0, 0, 0, 0, 0, IF(id MOD 4 = 0, 1, NULL), NULL
        FROM perdure_run_fact WHERE workflow_key LIKE 'sleeper %' AND id NOT IN (SELECT id FROM perdure_run)`);
      for (const insert of [
        "perdure_history (run, seq, at, event) SELECT id, 1, 1, '{}'",
        "perdure_task (run, command, name, route, attempt, due_at, claimable_at, expires_at, options) SELECT id, 1, 1, 1, 1, 4e12, 4e12, 4e12, ''",
        "perdure_attribute (chain, name_key, value_key) SELECT id, 'round', id",
        "perdure_entry (chain, name_key, version) SELECT id, 'state', 1",
        "perdure_chunk (chain, stream_key, place, writer_key, number) SELECT id, 'out', 0, '1', 1",
        "perdure_child (parent_key, run) SELECT 'somebody', id",
        "perdure_follower (chain, run) SELECT 0, id",
      ])
        await query(`INSERT IGNORE INTO ${insert} FROM perdure_run_fact WHERE workflow_key LIKE 'sleeper %'`);
      // A workflow id, and a stream, that have seen much.
      await query(`INSERT IGNORE INTO perdure_run_fact (workflow_key, superseded, run_key, name, engine_version, input_hash, created_at)
        SELECT 'often', 1000000 + seq, CONCAT('often ', seq), ${nameId}, 1, '', 1 FROM seq_1_to_${size}`);
      await query(`INSERT IGNORE INTO perdure_chunk (chain, stream_key, place, writer_key, number)
        SELECT ${streamer}, 'out', 1000 + seq, '1', seq FROM seq_1_to_${size}`);
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
