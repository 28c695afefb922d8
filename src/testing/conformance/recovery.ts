import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { completed, driving, finishOf, idle, parked, taskOf, turnOf, type Held } from "./samples.js";

export const recovery: Checks = {
  async "nothing is taken from workers that live"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const task = await lab.claimOnlyTask(worker);
    await lab.assertUntouched([run], async () => {
      assert.deepEqual(await lab.store.recover(null), { workers: 0, runs: 0, tasks: 0 });
      assert.deepEqual(await lab.store.recover(worker), { workers: 0, runs: 0, tasks: 0 });
    });
    expectStatus(await lab.do(turnOf(run, driving)), "committed");
    expectStatus(await lab.do(finishOf(task)), "finished");
  },

  async "what a dead worker held is free, fenced and due, with the crash counted"(lab) {
    const [other, dying] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(dying, {}, { tasks: [taskOf(1)] });
    const foreign = await lab.drive(other);
    const task = await lab.claimOnlyTask(dying);
    await lab.endLease(dying);
    await lab.assertUntouched([foreign], async () => assert.deepEqual(await lab.store.recover(other), { workers: 1, runs: 1, tasks: 1 }));
    const { run: record } = await lab.look(run);
    assert.deepEqual([record.ownerId, record.crashCount, record.status], [null, 1, "running"]);
    assert.ok(record.epoch > run.epoch && record.dueAt !== null && record.dueAt <= lab.store.now() + 1);
    await lab.assertUntouched([run], async () => {
      expectStatus(await lab.do(turnOf(run, driving)), "fenced");
      expectStatus(await lab.do(finishOf(task)), "gone");
      assert.equal(await lab.store.reclaimRun({ worker: dying, key: run.key, epoch: run.epoch }), null);
    });
    assert.deepEqual([(await lab.claimOnly(other)).crashCount, (await lab.claimOnlyTask(other)).crashCount], [1, 1]);
    assert.deepEqual(await lab.store.recover(other), { workers: 0, runs: 0, tasks: 0 });
  },

  async "what a dead worker had given up or ended is left alone"(lab) {
    const runs: { readonly runId: string }[] = [];
    let before: unknown;
    await lab.crashWith(async (worker) => {
      runs.push(
        await lab.drive(worker, {}, { next: idle() }),
        await lab.drive(worker, {}, { next: parked(), events: [] }),
        await lab.drive(worker, {}, { next: completed }),
      );
      before = await Promise.all(runs.map(lab.look));
    });
    assert.deepEqual(await Promise.all(runs.map(lab.look)), before);
  },

  async "a parked run that was being tried when its worker died is parked still, and due"(lab) {
    const helper = await lab.worker();
    const run = await lab.drive(helper, {}, { next: parked(1), events: [] });
    await lab.crashWith((worker) => lab.claimOnly(worker));
    const claimed = await lab.claimOnly(helper);
    assert.deepEqual([claimed.runId, claimed.status, claimed.crashCount, claimed.parkCount], [run.runId, "parked", 1, 1]);
  },

  async "a death is put down to the suspects that the worker held, and to nothing else"(lab) {
    const helper = await lab.worker();
    const suspect = await lab.start({ name: "suspect" });
    for (let crashes = 0; crashes < 2; crashes += 1) await lab.crashWith((worker) => lab.claimOnly(worker, { routes: ["suspect"] }));
    const bystander = await lab.start({ name: "bystander" });
    await lab.drive(helper, { name: "task owner" }, { tasks: [taskOf(1)] });
    await lab.crashWith(async (worker) => {
      await lab.claimOnly(worker, { routes: ["suspect"], suspects: 1 });
      await lab.claimOnly(worker, { routes: ["bystander"] });
      await lab.claimOnlyTask(worker);
    });
    assert.equal((await lab.look(suspect)).run.crashCount, 3);
    assert.equal((await lab.look(bystander)).run.crashCount, 0);
    assert.equal((await lab.claimOnlyTask(helper)).crashCount, 0);
  },

  async "a death with no suspect about is put down to every run and task of the worker"(lab) {
    const [a, b] = [await lab.start(), await lab.start()];
    await lab.crashWith((worker) => lab.claimAll(worker));
    assert.deepEqual([(await lab.look(a)).run.crashCount, (await lab.look(b)).run.crashCount], [1, 1]);
  },

  async "progress clears the crash count; a turn without a line is none"(lab) {
    const helper = await lab.worker();
    const run = await lab.start();
    await lab.crashWith((worker) => lab.claimOnly(worker));
    const first = await lab.claimOnly(helper);
    expectStatus(await lab.do(turnOf(first, idle(1), { events: [] })), "committed");
    assert.equal((await lab.look(run)).run.crashCount, 1);
    const second: Held = await lab.claimOnly(helper);
    expectStatus(await lab.do(turnOf(second, driving)), "committed");
    assert.equal((await lab.look(run)).run.crashCount, 0);
  },

  async "a worker that was declared dead cannot keep what it takes afterwards"(lab) {
    const helper = await lab.worker();
    const zombie = await lab.crashWith(async () => {});
    const run = await lab.start();
    // A store may give it nothing; if it does give the run away, the next recovery must find it by its owner's state.
    await lab.claimAll(zombie);
    const eager = await lab.drive(zombie, { name: "eager" });
    await lab.store.recover(helper);
    const claimed = await lab.claimAll(helper, { routes: ["order", "eager"] });
    assert.deepEqual(claimed.map(({ runId }) => runId).toSorted(), [run.runId, eager.runId].toSorted());
  },
};
