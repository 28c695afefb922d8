import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { afterTurn, driving, finishOf, hourMs, idle, parked, taskOf, turnOf } from "./samples.js";

export const tasks: Checks = {
  async "a queued task is claimed once, with everything that was given"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const task = taskOf(7, { name: "mail", route: "slow/mail", attempt: 3, input: new Uint8Array([1, 2]), options: '{"a":"ä"}', dueAt: 5 });
    const run = await lab.drive(worker, {}, { tasks: [task] });
    const { key, epoch, input, ...rest } = await lab.claimOnlyTask(other, ["slow/mail"]);
    assert.ok(input instanceof Uint8Array);
    assert.deepEqual([...input], [1, 2]);
    assert.deepEqual(rest, {
      ...asClaimed(task),
      runKey: run.key,
      workflowId: run.workflowId,
      runId: run.runId,
      crashCount: 0,
      cancelRequested: false,
    });
    assert.ok(epoch > 0, "a claim raises the epoch");
    assert.deepEqual(await lab.store.inspectOwned(other), { runs: [], tasks: [{ key, cancelRequested: false }] });
    assert.deepEqual(await lab.store.claimTasks({ worker, routes: ["slow/mail", "mail"], limit: 10 }), { tasks: [], nextDueAt: null });
  },

  async "tasks are claimed by route and number, when they are due"(lab) {
    const worker = await lab.worker();
    const later = lab.store.now() + hourMs;
    const due = [taskOf(1), taskOf(2), taskOf(3, { name: "mail" })];
    await lab.drive(worker, {}, { tasks: [...due, taskOf(4, { dueAt: later }), taskOf(5, { name: "mail", dueAt: later + 1 })] });
    const claim = async (routes: readonly string[], limit: number): Promise<readonly [readonly number[], number | null]> => {
      const claimed = await lab.store.claimTasks({ worker, routes, limit });
      return [claimed.tasks.map(({ command }) => command).toSorted((a, b) => a - b), claimed.nextDueAt];
    };
    assert.deepEqual(await claim([], 10), [[], null]);
    assert.deepEqual(await claim(["unknown"], 10), [[], null]);
    assert.deepEqual(await claim(["mail"], 10), [[3], later + 1]);
    const [[first], next] = await claim(["charge", "mail"], 1);
    assert.deepEqual([first === 1 || first === 2, next], [true, later]);
    assert.deepEqual(await claim(["charge", "mail"], 10), [[first === 1 ? 2 : 1], later]);
  },

  async "a task becomes due at its time, not before"(lab) {
    const worker = await lab.worker();
    const dueAt = lab.store.now() + 200;
    await lab.drive(worker, {}, { tasks: [taskOf(1, { dueAt })] });
    const claimed = await lab.eventually(
      "the task",
      async () => (await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 })).tasks[0],
    );
    assert.ok(lab.store.now() >= dueAt - 1, "claimed early");
    assert.equal(claimed.dueAt, dueAt);
  },

  async "the outcome of a task moves into the inbox of its run, which is due then"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(7, { attempt: 2 })], next: idle() });
    const task = await lab.claimOnlyTask(worker);
    const outcome = expectStatus(await lab.do(finishOf(task)), "finished");
    assert.deepEqual([outcome.runKey, outcome.position, outcome.claimed, outcome.owner], [run.key, 1, null, null]);
    const { unread } = await lab.look(run);
    assert.deepEqual(unread, [
      { kind: "activity_completed", name: "", command: 7, attempt: 2, payload: 'text "paid"', options: null, position: 1 },
    ]);
    assert.deepEqual(await lab.store.inspectOwned(worker), { runs: [], tasks: [] });
    assert.equal((await lab.claimOnly(worker)).inboxCount, 1);
  },

  async "a task that failed is told apart from one that did not"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const finish = finishOf(await lab.claimOnlyTask(worker), { kind: "activity_failed", payload: new Uint8Array([9]) });
    assert.equal(expectStatus(await lab.do(finish), "finished").owner, worker);
    const [item] = (await lab.look(run)).unread;
    assert.deepEqual([item?.kind, item?.payload], ["activity_failed", "bytes 09"]);
  },

  async "the process that finishes a task may claim its run in the same commit"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const waiting = await lab.drive(worker, {}, { tasks: [taskOf(1)], next: idle() });
    const task = await lab.claimOnlyTask(other);
    const outcome = expectStatus(await lab.do(finishOf(task, { claimFor: { worker: other, routes: ["order"] } })), "finished");
    assert.deepEqual(
      [outcome.claimed?.runId, outcome.claimed?.epoch, outcome.claimed?.inboxCount, outcome.owner],
      [waiting.runId, 2, 1, other],
    );
    assert.deepEqual(await lab.claimAll(worker), []);
  },

  async "a task is finished once, by its claim's epoch only"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const task = await lab.claimOnlyTask(worker);
    await lab.assertUntouched([run], async () => {
      expectStatus(await lab.do(finishOf({ ...task, epoch: task.epoch - 1 })), "gone");
      expectStatus(await lab.do(finishOf({ ...task, epoch: task.epoch + 1 })), "gone");
      expectStatus(await lab.do(finishOf({ ...task, key: task.key + 1000 })), "gone");
    });
    expectStatus(await lab.do(finishOf(task)), "finished");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(finishOf(task)), "gone"));
  },

  async "a withdrawn task is gone, queued or claimed"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { name: "claimed" }), taskOf(2), taskOf(3)] });
    const task = await lab.claimOnlyTask(worker, ["claimed"]);
    expectStatus(await lab.do(turnOf(run, driving, { withdrawnTasks: [1, 2, 99] })), "committed");
    assert.equal((await lab.claimOnlyTask(worker)).command, 3);
    assert.ok(!(await lab.store.inspectOwned(worker)).tasks.some(({ key }) => key === task.key), "its worker learns it from inspectOwned");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(finishOf(task)), "gone"));
  },

  async "a task that is queued and withdrawn by the same commit is gone"(lab) {
    const worker = await lab.worker();
    await lab.drive(worker, {}, { tasks: [taskOf(1)], withdrawnTasks: [1] });
    assert.deepEqual((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 })).tasks, []);
  },

  async "a new attempt takes the place of an older one"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const older = await lab.claimOnlyTask(worker);
    expectStatus(await lab.do(turnOf(run, driving, { tasks: [taskOf(1, { attempt: 2 })] })), "committed");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(finishOf(older)), "gone"));
    const newer = await lab.claimOnlyTask(worker);
    assert.deepEqual([newer.attempt, newer.crashCount], [2, 0]);
    expectStatus(await lab.do(finishOf(older)), "gone");
    expectStatus(await lab.do(finishOf(newer)), "finished");
  },

  async "released tasks are fenced and can be claimed again, without a crash counted"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const task = await lab.claimOnlyTask(worker);
    await lab.store.release({ worker: other, runs: [], tasks: [task.key] });
    assert.deepEqual((await lab.store.claimTasks({ worker: other, routes: ["charge"], limit: 1 })).tasks, [], "not another's to release");
    await lab.store.release({ worker, runs: [], tasks: [task.key] });
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(finishOf(task)), "gone"));
    const again = await lab.claimOnlyTask(other);
    assert.deepEqual([again.key, again.crashCount, again.epoch > task.epoch], [task.key, 0, true]);
    expectStatus(await lab.do(finishOf(task)), "gone");
    expectStatus(await lab.do(finishOf(again)), "finished");
  },

  async "the outcome of a task reaches a parked run without making it due"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    expectStatus(await lab.do(turnOf(run, parked(), { events: [] })), "committed");
    const finish = finishOf(await lab.claimOnlyTask(worker), { claimFor: { worker, routes: ["order"] } });
    assert.deepEqual([expectStatus(await lab.do(finish), "finished").claimed, (await lab.look(run)).run.dueAt], [null, null]);
  },

  async "the turn that takes an outcome may queue the next task"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const { position } = expectStatus(await lab.do(finishOf(await lab.claimOnlyTask(worker))), "finished");
    const turn = turnOf(run, driving, { consumed: [position], inboxSeen: position, tasks: [taskOf(2)] });
    const outcome = expectStatus(await lab.do(turn), "committed");
    expectStatus(await lab.do(finishOf(await lab.claimOnlyTask(worker))), "finished");
    assert.deepEqual(
      (await lab.look(run)).unread.map(({ command }) => command),
      [2],
    );
    assert.equal(expectStatus(await lab.do(turnOf(afterTurn(run, turn, outcome), driving, { inboxSeen: 2 })), "committed").inboxCount, 2);
  },
};

const asClaimed = (task: ReturnType<typeof taskOf>): Omit<ReturnType<typeof taskOf>, "input" | "expiresAt"> => {
  const { input: _, expiresAt: __, ...rest } = task;
  return rest;
};
