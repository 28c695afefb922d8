import assert from "node:assert/strict";
import type { Pulse, WorkerKey } from "../../backend/index.js";
import type { Checks, Lab } from "./lab.js";
import { completed, finishOf, hourMs, idle, quietPulse, taskOf, turnOf } from "./samples.js";

const routes = { runRoutes: ["order"], taskRoutes: ["charge"] };
const pulseOf = (lab: Lab, worker: WorkerKey, leaseMs: number | null = null): Promise<Pulse> =>
  lab.store.pulse({ worker, leaseMs, ...routes });

export const pulses: Checks = {
  async "there is nothing to do in an empty store"(lab) {
    assert.deepEqual(await pulseOf(lab, await lab.worker()), quietPulse);
  },

  async "without a length it looks at the lease and prolongs nothing"(lab) {
    const worker = await lab.worker({ leaseMs: 1500 });
    const end = lab.store.now() + 1500;
    assert.equal((await pulseOf(lab, worker)).isAlive, true);
    await lab.until(end + 1);
    assert.equal((await pulseOf(lab, worker)).isAlive, false);
    assert.equal((await pulseOf(lab, worker, hourMs)).isAlive, false);
  },

  async "it tells when runs and tasks will be due, and since when they are"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const dueAt = lab.store.now() + hourMs;
    await lab.drive(worker, {}, { next: idle(dueAt + 5) });
    await lab.drive(worker, {}, { next: idle(dueAt), tasks: [taskOf(1, { dueAt: dueAt + 7 }), taskOf(2, { dueAt: dueAt + 9 })] });
    assert.deepEqual(await pulseOf(lab, other), { ...quietPulse, nextRunDueAt: dueAt, nextTaskDueAt: dueAt + 7 });
    await lab.drive(worker, {}, { next: idle(1), tasks: [taskOf(1, { dueAt: 2 })] });
    assert.deepEqual(await pulseOf(lab, other), { ...quietPulse, nextRunDueAt: 1, nextTaskDueAt: 2 });
  },

  async "it looks at the routes it is asked for only, and not at what is owned or over"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    await lab.drive(worker, { name: "another" }, { next: idle(1), tasks: [taskOf(1, { route: "pack" })] });
    await lab.drive(worker);
    await lab.drive(worker, {}, { next: completed });
    assert.deepEqual(await pulseOf(lab, other), { ...quietPulse, othersOwn: true });
    const nothing = await lab.store.pulse({ worker: other, leaseMs: null, runRoutes: [], taskRoutes: [] });
    assert.deepEqual(nothing, { ...quietPulse, othersOwn: true });
  },

  async "a run that ended its processes is due as any other"(lab) {
    await lab.start();
    for (const _ of [1, 2, 3]) await lab.crashWith((worker) => lab.claimAll(worker, { suspects: 1 }));
    const { nextRunDueAt } = await pulseOf(lab, await lab.worker());
    assert.ok(nextRunDueAt !== null && nextRunDueAt <= lab.store.now());
  },

  async "it tells whether the worker holds anything, and whether others do, be it a run or a task"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const held = async (): Promise<readonly boolean[]> => {
      const [mine, theirs] = [await pulseOf(lab, worker), await pulseOf(lab, other)];
      assert.deepEqual([mine.othersOwn, theirs.othersOwn], [theirs.ownsAny, mine.ownsAny]);
      return [mine.ownsAny, theirs.ownsAny];
    };
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    assert.deepEqual(await held(), [true, false]);
    const task = await lab.claimOnlyTask(other);
    assert.deepEqual(await held(), [true, true]);
    await lab.do(turnOf(run, idle(null)));
    assert.deepEqual(await held(), [false, true]);
    await lab.do(finishOf(task));
    assert.deepEqual(await held(), [false, false]);
  },

  async "it tells of a death until somebody has recovered, and never of one's own"(lab) {
    const [dead, self] = [await lab.worker(), await lab.worker()];
    await lab.drive(dead);
    assert.equal((await pulseOf(lab, self)).hasCasualties, false);
    await lab.endLease(dead);
    assert.equal((await pulseOf(lab, self)).hasCasualties, true);
    assert.equal((await pulseOf(lab, dead)).hasCasualties, false);
    await lab.store.recover(self);
    assert.equal((await pulseOf(lab, self)).hasCasualties, false);
  },

  async "it tells of tasks that are overdue until they have expired"(lab) {
    const worker = await lab.worker();
    const expiresAt = lab.store.now() + 1000;
    await lab.drive(worker, {}, { tasks: [taskOf(1, { expiresAt })] });
    assert.equal((await pulseOf(lab, worker)).hasExpired, false);
    await lab.until(expiresAt + 1);
    assert.equal((await pulseOf(lab, worker)).hasExpired, true);
    assert.equal(await lab.store.expireTasks(), 1);
    assert.equal((await pulseOf(lab, worker)).hasExpired, false);
  },
};
