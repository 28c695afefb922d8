import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { renew } from "./renew.js";
import { driving, finishOf, hourMs, taskOf, turnOf } from "./samples.js";

export const leases: Checks = {
  async "every worker has a key of its own"(lab) {
    assert.notEqual(await lab.worker(), await lab.worker());
  },

  async "a renewed lease holds beyond its first end"(lab) {
    const worker = await lab.worker({ leaseMs: 1500 });
    const firstEnd = lab.store.now() + 1500;
    assert.equal(await renew(lab.store, worker, hourMs), true);
    const run = await lab.drive(worker);
    await lab.until(firstEnd + 1);
    await lab.assertUntouched([run], async () => assert.deepEqual(await lab.store.recover(null), { workers: 0, runs: 0, tasks: 0 }));
    assert.equal(await renew(lab.store, worker, hourMs), true);
  },

  async "a lease that is over is never renewed, noticed or not"(lab) {
    const worker = await lab.worker();
    await lab.endLease(worker);
    assert.equal(await renew(lab.store, worker, hourMs), false);
    assert.equal((await lab.store.recover(null)).workers, 1);
    assert.equal(await renew(lab.store, worker, hourMs), false);
  },

  async "a lease lasts from its last renewal, also where that ends it earlier"(lab) {
    const worker = await lab.worker();
    assert.equal(await renew(lab.store, worker, 1), true);
    await lab.until(lab.store.now() + 2);
    assert.equal(await renew(lab.store, worker, hourMs), false);
  },

  async "only workers that were registered have a lease"(lab) {
    assert.equal(await renew(lab.store, 4711, hourMs), false);
  },

  async "a worker that retires gives everything up at once, without a crash counted"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const task = await lab.claimOnlyTask(worker);
    await lab.store.retireWorker(worker);
    const claimed = await lab.claimOnly(other);
    const taskAgain = await lab.claimOnlyTask(other);
    assert.deepEqual([claimed.runId, claimed.crashCount, taskAgain.key, taskAgain.crashCount], [run.runId, 0, task.key, 0]);
    await lab.assertUntouched([run], async () => {
      expectStatus(await lab.do(turnOf(run, driving)), "fenced");
      expectStatus(await lab.do(finishOf(task)), "gone");
    });
    assert.equal(await renew(lab.store, worker, hourMs), false);
    assert.deepEqual(await lab.store.recover(other), { workers: 0, runs: 0, tasks: 0 });
  },

  async "others keep what they have when a worker retires"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(other);
    await lab.assertUntouched([run], () => lab.store.retireWorker(worker));
    expectStatus(await lab.do(turnOf(run, driving)), "committed");
  },
};
