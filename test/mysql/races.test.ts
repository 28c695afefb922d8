// What several processes do to one run at once, on MariaDB: every outcome must fit the others.
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { ClaimedRun, ClaimedTask, Operation, Outcome, Store } from "perdure/backend";
import { mysql } from "perdure/mysql";
import { systemRuntime } from "../../src/platform/runtime.js";
import {
  completed,
  driving,
  effectsOf,
  finishOf,
  hourMs,
  idle,
  lineOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  turnOf,
} from "../../src/testing/conformance/samples.js";
import { mariadbServer } from "../support/mariadb-server.js";

const server = await mariadbServer();
afterAll(() => server?.stop());

const disposals: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const dispose of disposals.splice(0).toReversed()) await dispose();
});

const newRun = (workflowId: string, runId = `run of ${workflowId}`) => sampleRun({ workflowId, runId });
const termination = { event: '{"kind":"run_terminated"}', payload: null, tasks: [] };
const tally = (outcomes: readonly Outcome[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { status } of outcomes) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

describe.runIf(server !== undefined)("races", () => {
  if (server === undefined) return;

  /** Three stores of one database, and a worker. */
  const setUp = async (): Promise<{ readonly stores: readonly Store[]; readonly store: Store; readonly worker: number }> => {
    const { url, drop } = await server.database();
    disposals.push(drop);
    const stores = await Promise.all([1, 2, 3].map(() => mysql(url).open(systemRuntime())));
    for (const store of stores) disposals.push(() => store.close());
    const [store] = stores;
    if (store === undefined) throw new Error("not opened");
    const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
    return { stores, store, worker };
  };
  /** Each operation by itself, all at once, by one store after the other. */
  const atOnce = async (stores: readonly Store[], operations: readonly Operation[]): Promise<readonly Outcome[]> => {
    const answers = await Promise.all(operations.map((operation, index) => (stores[index % stores.length] as Store).apply([operation])));
    return answers.flat();
  };
  const drive = async (store: Store, worker: number, id: string, tasks = 0): Promise<ClaimedRun> => {
    await store.apply([startOf(newRun(id))]);
    const { runs } = await store.claimRuns({ worker, routes: ["order"], limit: 1, suspects: 0 });
    const run = runs[0];
    if (run === undefined) throw new Error("not claimed");
    const queued = Array.from({ length: tasks }, (_, index) => taskOf(index + 1));
    await store.apply([turnOf(run, driving, { consumed: [1], tasks: queued })]);
    return { ...run, lastSeq: 1 };
  };

  test("of starts of one id at once one makes a run, the first time and every later one", async () => {
    const { stores, store, worker } = await setUp();
    for (let generation = 0; generation < 5; generation += 1) {
      const starts = Array.from({ length: 12 }, (_, index) => startOf(newRun("w", `run ${generation}.${index % 6}`), { reuse: "always" }));
      // A terminating start ends what it finds, so each may win; the last of them is what is left.
      const terminating = Array.from({ length: 3 }, (_, index) =>
        startOf(newRun("w", `run ${generation} by force ${index}`), { reuse: "always", terminates: termination }),
      );
      const plain = await atOnce(stores, starts);
      expect(tally(plain)).toEqual({ started: 1, exists: 11 });
      expect(tally(await atOnce(stores, terminating))).toEqual({ started: 3 });
      const open = (await store.listRuns({ status: "running", limit: 100 })).map(({ runId }) => runId);
      expect(open).toEqual([(await store.findRuns([{ workflowId: "w" }]))[0]?.run.runId]);
      const { runs } = await store.claimRuns({ worker, routes: ["order"], limit: 9, suspects: 0 });
      await store.apply(runs.map((run) => turnOf(run, completed, { consumed: [1] })));
    }
    const histories = await Promise.all(
      (await store.listRuns({ status: "terminated", limit: 100 })).map(({ key }) => store.loadHistory({ key, fromSeq: 1, limit: 9 })),
    );
    expect(histories.map((lines) => lines.length)).toEqual(Array.from({ length: 15 }, () => 1));
  });

  test("what is sent to a chain that goes on is in the inbox of one of its runs, and none is told that there is no run", async () => {
    const { stores, store, worker } = await setUp();
    let held: ClaimedRun = await drive(store, worker, "w");
    const sent: Promise<Outcome>[] = [];
    for (let generation = 1; generation <= 20; generation += 1) {
      for (let index = 0; index < 6; index += 1) {
        const target = [{ workflowId: "w" }, { chainOf: "run of w" }, { chainOf: held.runId }][index % 3] ?? { workflowId: "w" };
        const other = stores[index % 3] as Store;
        sent.push(other.apply([sendOf(target, `${generation}.${index % 5}.${index}`)]).then(([outcome]) => outcome));
      }
      for (;;) {
        const run = newRun("w", `generation ${generation}`);
        const turn = turnOf(held, { state: "continued", run, input: '"on"', dueAt: null });
        const [outcome] = await store.apply([turn]);
        if (outcome.status === "locked") continue;
        if (outcome.status !== "committed" || outcome.continued === null) throw new Error(outcome.status);
        held = outcome.continued;
        break;
      }
    }
    const outcomes = await Promise.all(sent);
    expect(tally(outcomes)).toEqual({ sent: 120 });
    const positions = outcomes.flatMap((outcome) => (outcome.status === "sent" ? [outcome.position] : []));
    expect(new Set(positions).size).toBe(120);
    const [inbox = []] = await store.loadInboxes([{ key: held.key, above: 0 }]);
    // The input of the first run was taken, those of its 20 followers were not.
    expect(inbox.map(({ position }) => position)).toEqual(Array.from({ length: 140 }, (_, index) => index + 2));
    expect((await store.findRuns([{ chainOf: "run of w" }]))[0]?.run).toMatchObject({ key: held.key, inboxCount: 141, inboxUnread: 140 });
  });

  test("what several append to one stream gets places without gaps, once each", async () => {
    const { stores, store, worker } = await setUp();
    const run = await drive(store, worker, "w", 6);
    const { tasks } = await store.claimTasks({ worker, routes: ["charge"], limit: 6 });
    const chunk = (writer: string, number: number) => ({
      stream: "out",
      writer,
      number,
      restartAt: null,
      payload: `"${writer} ${number}"`,
    });
    const appends: Operation[] = [];
    for (let number = 1; number <= 8; number += 1) {
      for (const task of tasks) {
        const append: Operation = { type: "append", on: { task: task.key, epoch: task.epoch }, chunks: [chunk(`task ${task.command}`, 1)] };
        // Each twice, as after a lost answer.
        appends.push(append, append);
      }
      appends.push({
        type: "append",
        on: { run: run.key, epoch: run.epoch },
        chunks: [chunk("run", 1), { ...chunk("", 1), writer: `step ${number}` }],
      });
    }
    expect(tally(await atOnce(stores, appends))).toEqual({ appended: appends.length });
    const read = await store.readChunks({ target: { workflowId: "w" }, stream: "out", from: 0, limit: 1000 });
    const writers = read?.chunks.map(({ writer }) => writer).toSorted();
    expect(read?.chunks.map(({ offset }) => offset)).toEqual(Array.from({ length: 15 }, (_, index) => index));
    expect(writers).toEqual(["run", ...[1, 2, 3, 4, 5, 6, 7, 8].map((n) => `step ${n}`), ...[1, 2, 3, 4, 5, 6].map((n) => `task ${n}`)]);
  });

  test("a run that is ended by force amid turns and messages is ended once, and fenced from then on", async () => {
    const { stores, store, worker } = await setUp();
    for (let round = 0; round < 10; round += 1) {
      const run = await drive(store, worker, `w${round}`, 2);
      const target = { workflowId: `w${round}` };
      const outcomes = await atOnce(stores, [
        sendOf(target, "a"),
        turnOf(run, idle()),
        { type: "terminate", target, termination },
        { type: "terminate", target: { runId: run.runId }, termination },
        sendOf(target, "b"),
      ]);
      const counts = tally(outcomes);
      expect(counts).toMatchObject({ terminated: 1 });
      const found = (await store.findRuns([target]))[0];
      expect(found?.run).toMatchObject({ status: "terminated", ownerId: null, dueAt: null });
      const lines = await store.loadHistory({ key: run.key, fromSeq: 1, limit: 10 });
      expect(lines.map(({ seq }) => seq)).toEqual(Array.from({ length: 2 + (counts["committed"] ?? 0) }, (_, index) => index + 1));
      expect(lines.at(-1)?.event).toBe(termination.event);
      expect(await store.apply([turnOf({ ...run, lastSeq: lines.length }, driving)])).toEqual([{ status: "fenced" }]);
      const [inbox] = await store.loadInboxes([{ key: run.key, above: 0 }]);
      expect(inbox).toHaveLength(counts["sent"] ?? 0);
    }
    expect((await store.claimTasks({ worker, routes: ["charge"], limit: 100 })).tasks).toEqual([]);
  });

  test("a task is finished once, whether by its key or by what it is for", async () => {
    const { stores, store, worker } = await setUp();
    const run = await drive(store, worker, "w", 12);
    const { tasks } = await store.claimTasks({ worker, routes: ["charge"], limit: 12 });
    const byAttempt = ({ command, attempt }: ClaimedTask) =>
      finishOf({ key: 0, epoch: 0 }, { task: { runId: run.runId, command, attempt } });
    const touch = ({ key, epoch }: ClaimedTask): Operation => ({ type: "touch_task", key, epoch, details: '"half"', detach: false });
    const outcomes = await atOnce(
      stores,
      tasks.flatMap((task) => [finishOf(task), byAttempt(task), byAttempt(task), touch(task)]),
    );
    const finished = outcomes.filter(({ status }) => status === "finished");
    expect(finished).toHaveLength(12);
    const [inbox = []] = await store.loadInboxes([{ key: run.key, above: 0 }]);
    expect(new Set(inbox.map(({ command }) => command))).toEqual(new Set(tasks.map(({ command }) => command)));
    expect(inbox.map(({ position }) => position)).toEqual(Array.from({ length: 12 }, (_, index) => index + 2));
  });

  test("overdue tasks expire once, whoever looks", async () => {
    const { stores, store, worker } = await setUp();
    const eager = {
      worker,
      effects: effectsOf(idle(), { events: [lineOf(1)], tasks: [1, 2, 3].map((command) => taskOf(command, { expiresAt: 1 })) }),
    };
    await store.apply(Array.from({ length: 40 }, (_, index) => startOf(newRun(`w${index}`), { eager })));
    let expired = 0;
    // What one passes over because another has it is that one's to expire, or the next look's.
    for (let looks = 0; looks < 20 && expired < 120; looks += 1)
      expired += (await Promise.all(stores.map((one) => one.expireTasks()))).reduce((sum, count) => sum + count, 0);
    expect(expired).toBe(120);
    const runs = await store.listRuns({ limit: 100 });
    const inboxes = await store.loadInboxes(runs.map(({ key }) => ({ key, above: 0 })));
    // In any order: what one passes over comes later.
    for (const inbox of inboxes)
      expect(inbox.map(({ kind, name, command }) => `${kind} ${name} ${command}`).toSorted()).toEqual(
        [1, 2, 3].map((command) => `activity_expired queued ${command}`),
      );
    expect(runs.every(({ dueAt, inboxCount }) => dueAt !== null && inboxCount === 3)).toBe(true);
    expect(await store.expireTasks()).toBe(0);
  });
});
