import assert from "node:assert/strict";
import type { FinishTaskOperation, NewTask, Payload } from "../../backend/index.js";
import { assertSamePayload, expectStatus } from "./assertions.js";
import type { Checks, HeldRun, Lab } from "./lab.js";
import { countOf, race } from "./race.js";
import {
  completed,
  continued,
  driving,
  finishOf,
  hourMs,
  idle,
  parked,
  sampleRun,
  sendOf,
  taskOf,
  terminateOf,
  touchOf,
  turnOf,
} from "./samples.js";

/** Finishes a task by what it is for, as who has its token does. */
const finishBy = (
  run: { readonly runId: string },
  { command = 1, attempt = 1, ...overrides }: Partial<FinishTaskOperation> & { readonly command?: number; readonly attempt?: number } = {},
): FinishTaskOperation => finishOf({ key: 0, epoch: 0 }, { task: { runId: run.runId, command, attempt }, ...overrides });

/** Rows that another transaction holds may be passed over for a while. */
const expireAll = (lab: Lab, count: number): Promise<unknown> => {
  let expired = 0;
  return lab.eventually(`${count} tasks to expire`, async () => (expired += await lab.store.expireTasks()) >= count);
};

const expiredItems = async (lab: Lab, run: { readonly runId: string }): Promise<readonly unknown[]> =>
  (await lab.look(run)).unread.map(({ kind, name, command, attempt, payload }) => [kind, name, command, attempt, payload]);

const noTasks = async (lab: Lab, routes: readonly string[] = ["charge"]): Promise<void> =>
  assert.deepEqual(await lab.store.claimTasks({ worker: await lab.worker(), routes, limit: 10 }), { tasks: [], nextDueAt: null });

const driveWithTask = async (lab: Lab, task: Partial<NewTask> = {}): Promise<{ readonly run: HeldRun; readonly worker: number }> => {
  const worker = await lab.worker();
  return { worker, run: await lab.drive(worker, {}, { tasks: [taskOf(1, task)] }) };
};

export const taskOutcomes: Checks = {
  async "details come with a task, are replaced by what its worker tells, and are handed to whoever claims it next"(lab) {
    const details: readonly Payload[] = [new Uint8Array([0, 1]), '"half"'];
    const { worker } = await driveWithTask(lab, { details: '"from before"', heartbeatMs: hourMs });
    const first = await lab.claimOnlyTask(worker);
    assert.deepEqual([first.details, first.heartbeatMs], ['"from before"', hourMs]);
    expectStatus(await lab.do(touchOf(first)), "touched");
    await lab.store.release({ worker, runs: [], tasks: [first.key] });
    let task = await lab.claimOnlyTask(worker);
    assert.equal(task.details, '"from before"', "telling nothing new leaves them");
    for (const told of details) {
      assert.deepEqual(await lab.do(touchOf(task, { details: told })), { status: "touched", cancelRequested: false });
      await lab.store.release({ worker, runs: [], tasks: [task.key] });
      task = await lab.claimOnlyTask(worker);
      assertSamePayload(task.details, told);
    }
    await lab.crashWith((dying) => lab.store.release({ worker, runs: [], tasks: [task.key] }).then(() => lab.claimOnlyTask(dying)));
    assertSamePayload((await lab.claimOnlyTask(worker)).details, '"half"');
  },

  async "only the claim's worker, at its epoch, may say that a task goes on"(lab) {
    const { worker, run } = await driveWithTask(lab, { details: "1" });
    const expectGone = async (task: { readonly key: number; readonly epoch: number }): Promise<void> => {
      for (const detach of [false, true]) expectStatus(await lab.do(touchOf(task, { details: "2", detach })), "gone");
    };
    const task = await lab.claimOnlyTask(worker);
    for (const epoch of [task.epoch - 1, task.epoch + 1]) await expectGone({ key: task.key, epoch });
    await expectGone({ key: task.key + 1000, epoch: task.epoch });
    await lab.store.release({ worker, runs: [], tasks: [task.key] });
    for (const epoch of [task.epoch, task.epoch + 1]) await expectGone({ key: task.key, epoch });
    const again = await lab.claimOnlyTask(worker);
    assert.equal(again.details, "1");
    expectStatus(await lab.do(touchOf(again)), "touched");
    expectStatus(await lab.do(finishOf(again)), "finished");
    await expectGone(again);
    expectStatus(await lab.do(turnOf(run, driving, { tasks: [taskOf(1, { attempt: 2 })] })), "committed");
    await expectGone(again);
  },

  async "a request to stop is seen by whoever works at the task, by every way of looking"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { name: "claimed" }), taskOf(2), taskOf(3, { name: "other" })] });
    const claimed = await lab.claimOnlyTask(worker, ["claimed"]);
    const other = await lab.claimOnlyTask(worker, ["other"]);
    assert.deepEqual([claimed.cancelRequested, await lab.do(touchOf(claimed))], [false, { status: "touched", cancelRequested: false }]);
    const turn = turnOf(run, driving, { cancelledTasks: [1, 2, 99] });
    expectStatus(await lab.do(turn), "committed");
    const owned = (await lab.store.inspectOwned(worker)).tasks.toSorted((a, b) => a.key - b.key);
    assert.deepEqual(
      owned,
      [
        { key: claimed.key, cancelRequested: true },
        { key: other.key, cancelRequested: false },
      ].toSorted((a, b) => a.key - b.key),
    );
    assert.deepEqual(await lab.do(touchOf(claimed)), { status: "touched", cancelRequested: true });
    assert.equal((await lab.claimOnlyTask(worker)).cancelRequested, true, "one that was queued is still claimed");
    await lab.store.release({ worker, runs: [], tasks: [claimed.key] });
    const again = await lab.claimOnlyTask(worker, ["claimed"]);
    assert.equal(again.cancelRequested, true);
    assert.equal(expectStatus(await lab.do(finishOf(again, { kind: "activity_failed" })), "finished").position, 1);
    const renewed = turnOf({ ...run, lastSeq: 2, inboxCount: 1 }, driving, { tasks: [taskOf(2, { attempt: 2 })] });
    expectStatus(await lab.do(renewed), "committed");
    assert.equal((await lab.claimOnlyTask(worker)).cancelRequested, false, "a new attempt is another task");
  },

  async "a task that is queued and told to stop by the same commit is told"(lab) {
    const worker = await lab.worker();
    await lab.drive(worker, {}, { tasks: [taskOf(1)], cancelledTasks: [1] });
    assert.equal((await lab.claimOnlyTask(worker)).cancelRequested, true);
  },

  async "a task that its worker detaches is nobody's: neither its worker nor any other has it"(lab) {
    const { worker, run } = await driveWithTask(lab);
    const task = await lab.claimOnlyTask(worker);
    assert.deepEqual(await lab.do(touchOf(task, { detach: true, details: "1" })), { status: "touched", cancelRequested: false });
    await lab.assertUntouched([run], async () => {
      expectStatus(await lab.do(touchOf(task)), "gone");
      expectStatus(await lab.do(finishOf(task)), "gone");
      await lab.store.release({ worker, runs: [], tasks: [task.key] });
      assert.equal(await lab.store.expireTasks(), 0, "without a heartbeat it waits for as long as it takes");
    });
    assert.deepEqual((await lab.store.inspectOwned(worker)).tasks, []);
    await noTasks(lab);
    await lab.store.retireWorker(worker);
    await noTasks(lab);
    assert.equal(expectStatus(await lab.do(finishBy(run)), "finished").position, 1);
    expectStatus(await lab.do(finishBy(run)), "gone");
  },

  async "a detached task outlives its worker, and no crash gives it to another"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { tasks: [taskOf(1)] });
    await lab.crashWith(async (dying) => lab.do(touchOf(await lab.claimOnlyTask(dying), { detach: true })));
    await noTasks(lab);
    expectStatus(await lab.do(finishBy(run)), "finished");
  },

  async "a detached task is withdrawn and replaced like any other"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1), taskOf(2)] });
    const { tasks } = await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 });
    for (const task of tasks) expectStatus(await lab.do(touchOf(task, { detach: true })), "touched");
    expectStatus(await lab.do(turnOf(run, driving, { withdrawnTasks: [1], tasks: [taskOf(2, { attempt: 2 })] })), "committed");
    expectStatus(await lab.do(finishBy(run, { command: 1 })), "gone");
    expectStatus(await lab.do(finishBy(run, { command: 2 })), "gone");
    assert.equal((await lab.claimOnlyTask(worker)).attempt, 2);
  },

  async "a task can be finished by what it is for, queued, claimed or detached, with its attempt only"(lab) {
    const worker = await lab.worker();
    const tasks = [
      taskOf(1, { attempt: 3 }),
      taskOf(2, { name: "claimed" }),
      taskOf(3, { name: "detached" }),
      taskOf(4, { name: "other" }),
    ];
    const run = await lab.drive(worker, {}, { tasks, next: idle() });
    const claimed = await lab.claimOnlyTask(worker, ["claimed"]);
    await lab.do(touchOf(await lab.claimOnlyTask(worker, ["detached"]), { detach: true }));
    await lab.assertUntouched([run], async () => {
      for (const attempt of [1, 2, 4]) expectStatus(await lab.do(finishBy(run, { attempt })), "gone");
      expectStatus(await lab.do(finishBy(run, { command: 9 })), "gone");
      expectStatus(await lab.do(finishBy({ runId: run.workflowId })), "gone");
      expectStatus(await lab.do(finishBy({ runId: "none" })), "gone");
    });
    const claimFor = { worker, routes: ["order"] };
    const first = expectStatus(await lab.do(finishBy(run, { attempt: 3, payload: '"a"', claimFor })), "finished");
    assert.deepEqual([first.runKey, first.position, first.claimed?.epoch, first.owner], [run.key, 1, 2, worker]);
    const second = expectStatus(await lab.do(finishBy(run, { command: 2, payload: null, kind: "activity_failed", claimFor })), "finished");
    assert.deepEqual([second.position, second.claimed, second.owner], [2, null, worker]);
    expectStatus(await lab.do(finishBy(run, { command: 3 })), "finished");
    expectStatus(await lab.do(finishOf(claimed)), "gone");
    expectStatus(await lab.do(touchOf(claimed)), "gone");
    assert.deepEqual(await expiredItems(lab, run), [
      ["activity_completed", "", 1, 3, 'text "a"'],
      ["activity_failed", "", 2, 1, null],
      ["activity_completed", "", 3, 1, 'text "paid"'],
    ]);
    assert.equal((await lab.claimOnlyTask(worker, ["other", "claimed", "detached", "charge"])).command, 4);
  },

  async "nothing is told of a task that is done; it is only removed"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1), taskOf(2, { name: "queued" })], next: idle() });
    const task = await lab.claimOnlyTask(worker);
    const done = finishOf(task, { kind: "done", payload: null, claimFor: { worker, routes: ["order"] } });
    await lab.assertUntouched([run], async () => {
      const outcome = expectStatus(await lab.do(done), "finished");
      assert.deepEqual([outcome.runKey, outcome.position, outcome.claimed, outcome.owner], [run.key, 0, null, null]);
      expectStatus(await lab.do(done), "gone");
      expectStatus(await lab.do(finishBy(run, { command: 2, kind: "done" })), "finished");
    });
    await noTasks(lab, ["charge", "queued"]);
    assert.deepEqual(await lab.store.inspectOwned(worker), { runs: [], tasks: [] });
  },

  async "what a run leaves behind is claimed and done after its end, and its outcome tells nobody"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const left = [taskOf(7, { name: "undo" }), taskOf(8, { name: "undo" })];
    expectStatus(await lab.do(turnOf(run, completed, { tasks: left })), "committed");
    await noTasks(lab);
    const { tasks } = await lab.store.claimTasks({ worker, routes: ["undo"], limit: 10 });
    const [first, second] = tasks.toSorted((a, b) => a.command - b.command);
    assert.ok(first && second);
    assert.deepEqual([first.command, first.runId, first.runKey, first.workflowId], [7, run.runId, run.key, run.workflowId]);
    await lab.assertUntouched([run], async () => {
      expectStatus(await lab.do(touchOf(first, { details: "1" })), "touched");
      await lab.store.release({ worker, runs: [], tasks: [first.key] });
      const again = await lab.claimOnlyTask(worker, ["undo"]);
      assert.deepEqual([again.command, again.details], [7, "1"]);
      expectStatus(await lab.do(finishOf(second, { claimFor: { worker, routes: ["order"] } })), "gone");
      assert.equal(expectStatus(await lab.do(finishOf(again, { kind: "done" })), "finished").position, 0);
    });
    assert.deepEqual((await lab.store.inspectOwned(worker)).tasks, [], "an outcome that tells nobody is an end, too");
  },

  async "a run that ends at once, goes on or is ended by force may leave tasks behind as well"(lab) {
    const worker = await lab.worker();
    const runs = [
      await lab.drive(worker, {}, { tasks: [taskOf(1)], next: completed }),
      await lab.drive(worker, { workflowId: "w" }),
      await lab.drive(worker),
    ];
    const [, goesOn, terminated] = runs;
    assert.ok(goesOn && terminated);
    const next = sampleRun({ workflowId: "w", runId: "next" });
    expectStatus(await lab.do(turnOf(goesOn, continued(next), { tasks: [taskOf(1)] })), "committed");
    expectStatus(await lab.do(terminateOf({ runId: terminated.runId }, { tasks: [taskOf(1)] })), "terminated");
    const { tasks } = await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 });
    assert.deepEqual(
      tasks.map(({ runKey }) => runKey).toSorted((a, b) => a - b),
      runs.map(({ key }) => key),
    );
    for (const run of runs) expectStatus(await lab.do(finishBy(run, { kind: "done" })), "finished");
    assert.deepEqual((await lab.store.inspectOwned(worker)).tasks, []);
  },

  async "a task that nobody claims in time expires, and its run is told and due"(lab) {
    const worker = await lab.worker();
    const at = lab.store.now() + 200;
    const run = await lab.drive(worker, {}, { tasks: [taskOf(3, { attempt: 2, expiresAt: at, details: '"last"' })], next: idle() });
    await lab.eventually("the task to expire", async () => (await lab.store.expireTasks()) === 1);
    assert.ok(lab.store.now() >= at - 1, "expired early");
    assert.deepEqual(await expiredItems(lab, run), [["activity_expired", "queued", 3, 2, 'text "last"']]);
    assert.equal((await lab.claimOnly(worker)).inboxCount, 1);
    assert.equal(await lab.store.expireTasks(), 0);
    await noTasks(lab);
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(finishBy(run, { command: 3, attempt: 2 })), "gone"));
  },

  async "a task that is not overdue does not expire, nor one that was claimed in time"(lab) {
    const worker = await lab.worker();
    const tasks = [taskOf(1, { expiresAt: lab.store.now() + hourMs }), taskOf(2), taskOf(3, { name: "claimed", expiresAt: 1 })];
    const run = await lab.drive(worker, {}, { tasks });
    const claimed = await lab.claimOnlyTask(worker, ["claimed"]);
    await lab.assertUntouched([run], async () => assert.equal(await lab.store.expireTasks(), 0));
    await lab.store.release({ worker, runs: [], tasks: [claimed.key] });
    await lab.assertUntouched([run], async () => {
      assert.equal(await lab.store.expireTasks(), 0, "one that was claimed and freed again waits for as long as it takes");
    });
    assert.equal((await lab.claimOnlyTask(worker, ["claimed"])).key, claimed.key);
    await lab.crashWith((dying) => lab.store.claimTasks({ worker: dying, routes: ["charge"], limit: 10 }));
    await lab.assertUntouched([run], async () => assert.equal(await lab.store.expireTasks(), 0));
    assert.equal((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 })).tasks.length, 2);
  },

  async "a task whose worker is silent for longer than its heartbeat expires, with the last details; its worker has it no more"(lab) {
    const { worker, run } = await driveWithTask(lab, { heartbeatMs: 300, details: '"old"' });
    const claimedAt = lab.store.now();
    const task = await lab.claimOnlyTask(worker);
    expectStatus(await lab.do(touchOf(task, { details: '"half"' })), "touched");
    await lab.eventually("the task to expire", async () => (await lab.store.expireTasks()) === 1);
    assert.ok(lab.store.now() >= claimedAt + 299, "expired early");
    assert.deepEqual(await expiredItems(lab, run), [["activity_expired", "heartbeat", 1, 1, 'text "half"']]);
    assert.deepEqual((await lab.store.inspectOwned(worker)).tasks, []);
    await lab.assertUntouched([run], async () => {
      expectStatus(await lab.do(touchOf(task)), "gone");
      expectStatus(await lab.do(finishOf(task)), "gone");
    });
    await noTasks(lab);
  },

  async "each sign of life prolongs the heartbeat"(lab) {
    const { worker } = await driveWithTask(lab, { heartbeatMs: 2000 });
    const task = await lab.claimOnlyTask(worker);
    for (let time = 0; time < 3; time += 1) {
      await lab.until(lab.store.now() + 900);
      expectStatus(await lab.do(touchOf(task)), "touched");
    }
    assert.equal(await lab.store.expireTasks(), 0);
    expectStatus(await lab.do(finishOf(task)), "finished");
  },

  async "a task that no worker has is not silent, neither before its claim nor when it is free again"(lab) {
    const { worker, run } = await driveWithTask(lab, { heartbeatMs: 1, expiresAt: lab.store.now() + hourMs });
    const expectNone = async (): Promise<void> => {
      await lab.until(lab.store.now() + 5);
      await lab.assertUntouched([run], async () => assert.equal(await lab.store.expireTasks(), 0));
    };
    await expectNone();
    const task = await lab.claimOnlyTask(worker);
    expectStatus(await lab.do(touchOf(task)), "touched");
    await lab.store.release({ worker, runs: [], tasks: [task.key] });
    await expectNone();
    await lab.claimOnlyTask(worker);
    await lab.store.retireWorker(worker);
    await expectNone();
    await lab.crashWith((dying) => lab.claimOnlyTask(dying));
    await expectNone();
    expectStatus(await lab.do(finishOf(await lab.claimOnlyTask(await lab.worker()))), "finished");
  },

  async "a detached task expires by its heartbeat, counted from when it was detached"(lab) {
    const { worker, run } = await driveWithTask(lab, { heartbeatMs: 300 });
    const task = await lab.claimOnlyTask(worker);
    const detachedAt = lab.store.now();
    expectStatus(await lab.do(touchOf(task, { detach: true })), "touched");
    await lab.eventually("the task to expire", async () => (await lab.store.expireTasks()) === 1);
    assert.ok(lab.store.now() >= detachedAt + 299, "expired early");
    assert.deepEqual(await expiredItems(lab, run), [["activity_expired", "heartbeat", 1, 1, null]]);
    expectStatus(await lab.do(finishBy(run)), "gone");
  },

  async "what an ended run left behind expires without telling anybody"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { next: completed, tasks: [taskOf(1, { expiresAt: 1 })] });
    await lab.assertUntouched([run], () => expireAll(lab, 1));
    await noTasks(lab);
  },

  async "an expired task reaches a parked run without making it due, and a driven one without taking it"(lab) {
    const worker = await lab.worker();
    const parkedRun = await lab.drive(worker, {}, { tasks: [taskOf(1, { expiresAt: 1 })], next: parked(), events: [] });
    const driven = await lab.drive(worker, {}, { tasks: [taskOf(1, { expiresAt: 1 }), taskOf(2, { expiresAt: 1 })] });
    await expireAll(lab, 3);
    assert.deepEqual([(await lab.look(parkedRun)).run.dueAt, (await lab.look(parkedRun)).run.inboxUnread], [null, 1]);
    assert.deepEqual((await lab.look(driven)).run.inboxUnread, 2);
    assert.deepEqual((await lab.store.inspectOwned(worker)).runs, [{ key: driven.key, inboxCount: 2, inboxSeen: 0 }]);
    expectStatus(await lab.do(turnOf(driven, completed)), "unseen_inbox");
  },

  async "many tasks expire at once, for many runs, each told once"(lab) {
    const worker = await lab.worker();
    const expiring = [1, 2, 3].map((command) => taskOf(command, { expiresAt: command }));
    const runs = await Promise.all(Array.from({ length: 40 }, () => lab.drive(worker, {}, { tasks: [...expiring, taskOf(4)] })));
    for (const run of runs) expectStatus(await lab.do(sendOf({ runId: run.runId }, "k")), "sent");
    const counts = await race(lab, 4, (store) => store.expireTasks());
    const expired = counts.reduce((sum, count) => sum + count, 0);
    if (expired < 120) await expireAll(lab, 120 - expired);
    else assert.equal(expired, 120);
    for (const run of runs) {
      const { unread } = await lab.look(run);
      assert.deepEqual(
        unread.map(({ position }) => position),
        [1, 2, 3, 4],
      );
      assert.deepEqual(
        unread.map(({ command }) => command ?? 0).toSorted((a, b) => a - b),
        [0, 1, 2, 3],
      );
    }
    assert.equal((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 100 })).tasks.length, 40);
  },

  async "finished and expired at once, a task has one outcome"(lab) {
    const worker = await lab.worker();
    const second = await lab.open();
    for (let round = 0; round < 10; round += 1) {
      const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { expiresAt: 1 })] });
      const finish = (): Promise<{ readonly status: string }> => lab.do(finishBy(run));
      const expire = async (): Promise<{ readonly status: string }> => ({ status: `${await second.expireTasks()} expired` });
      const outcomes = await Promise.all(round % 2 === 0 ? [finish(), expire()] : [expire(), finish()]);
      if (countOf(outcomes, "finished") === 0) await lab.eventually("the outcome", async () => (await lab.look(run)).unread.length > 0);
      assert.equal((await lab.look(run)).unread.length, 1);
      assert.equal(await lab.store.expireTasks(), 0);
    }
  },

  async "finished by its claim and by what it is for at once, a task has one outcome"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const task = await lab.claimOnlyTask(worker);
    const outcomes = await race(lab, 6, (store, index) => lab.do(index % 3 === 0 ? finishOf(task) : finishBy(run), store));
    assert.deepEqual([countOf(outcomes, "finished"), countOf(outcomes, "gone")], [1, 5]);
    assert.equal((await lab.look(run)).run.inboxCount, 1);
  },
};
