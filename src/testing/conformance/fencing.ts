import assert from "node:assert/strict";
import { StoreFailure } from "../../backend/index.js";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { afterTurn, completed, driving, idle, lineOf, taskOf, turnOf } from "./samples.js";

export const fencing: Checks = {
  async "every claim raises the epoch, and turns of older epochs touch nothing"(lab) {
    const [first, second] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(first, {}, { next: idle(1) });
    const claimed = await lab.claimOnly(second);
    assert.equal(claimed.epoch, 2);
    assert.equal(claimed.lastSeq, 1);
    await lab.assertUntouched([run], async () => {
      for (const epoch of [0, 1, 3]) {
        expectStatus(await lab.do(turnOf({ ...claimed, epoch }, completed, { consumed: [1], tasks: [taskOf(1)] })), "fenced");
      }
    });
    assert.deepEqual((await lab.store.claimTasks({ worker: first, routes: ["charge"], limit: 10 })).tasks, []);
    expectStatus(await lab.do(turnOf(claimed, driving)), "committed");
  },

  async "a turn that does not directly follow the run's last line touches nothing"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { events: [lineOf(1), lineOf(2), lineOf(3)] });
    await lab.assertUntouched([run], async () => {
      for (const lastSeq of [0, 1, 2, 4, 10]) expectStatus(await lab.do(turnOf({ ...run, lastSeq }, driving)), "fenced");
      expectStatus(await lab.do(turnOf({ ...run, lastSeq: 2 }, idle(), { events: [] })), "fenced");
    });
  },

  async "a turn that is sent twice is written once"(lab) {
    const run = await lab.drive(await lab.worker());
    const turn = turnOf(run, driving, { tasks: [taskOf(1)] });
    expectStatus(await lab.do(turn), "committed");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(turn), "fenced"));
  },

  async "lines whose numbers leave a gap are never written"(lab) {
    const run = await lab.drive(await lab.worker());
    await lab.assertUntouched([run], async () => {
      for (const events of [[lineOf(3)], [lineOf(2), lineOf(4)], [lineOf(2), lineOf(2)], [lineOf(1)]]) {
        try {
          expectStatus(await lab.do(turnOf(run, driving, { events })), "fenced");
        } catch (failure) {
          assert.ok(
            failure instanceof StoreFailure && failure.outcome === "none",
            `refuse by "fenced" or by a StoreFailure that wrote nothing: ${String(failure)}`,
          );
        }
      }
    });
  },

  async "a worker that gave a run up may not write to it at its old epoch"(lab) {
    const run = await lab.drive(await lab.worker());
    const turn = turnOf(run, idle(1));
    const outcome = expectStatus(await lab.do(turn), "committed");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(turnOf(afterTurn(run, turn, outcome), driving)), "fenced"));
  },

  async "nothing is written after the end"(lab) {
    const run = await lab.drive(await lab.worker());
    const turn = turnOf(run, completed);
    const outcome = expectStatus(await lab.do(turn), "committed");
    await lab.assertUntouched([run], async () => {
      for (const next of [driving, idle(1), completed]) expectStatus(await lab.do(turnOf(afterTurn(run, turn, outcome), next)), "fenced");
    });
  },

  async "a turn of a run that never was is fenced"(lab) {
    expectStatus(await lab.do(turnOf({ key: 4711, epoch: 1, lastSeq: 0, inboxCount: 0 }, driving)), "fenced");
  },

  async "re-claiming raises the epoch and fences the turn whose answer was lost"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const reclaimed = await lab.store.reclaimRun({ worker, key: run.key, epoch: run.epoch });
    assert.ok(reclaimed);
    assert.deepEqual([reclaimed.runId, reclaimed.epoch, reclaimed.lastSeq, reclaimed.status], [run.runId, 2, 1, "running"]);
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(turnOf(run, driving)), "fenced"));
    expectStatus(await lab.do(turnOf(reclaimed, driving)), "committed");
  },

  async "re-claiming shows what a lost answer had committed"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    expectStatus(await lab.do(turnOf(run, driving, { events: [lineOf(2), lineOf(3)] })), "committed");
    assert.equal((await lab.store.reclaimRun({ worker, key: run.key, epoch: run.epoch }))?.lastSeq, 3);
  },

  async "only the owner re-claims, at its epoch, an open run that it did not give up"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(worker);
    const [idleRun, endedRun] = [await lab.drive(worker, {}, { next: idle() }), await lab.drive(worker, {}, { next: completed })];
    await lab.assertUntouched([run, idleRun, endedRun], async () => {
      assert.equal(await lab.store.reclaimRun({ worker: other, key: run.key, epoch: 1 }), null);
      assert.equal(await lab.store.reclaimRun({ worker, key: run.key, epoch: 0 }), null);
      assert.equal(await lab.store.reclaimRun({ worker, key: run.key, epoch: 2 }), null);
      assert.equal(await lab.store.reclaimRun({ worker, key: idleRun.key, epoch: 1 }), null);
      assert.equal(await lab.store.reclaimRun({ worker, key: endedRun.key, epoch: 1 }), null);
      assert.equal(await lab.store.reclaimRun({ worker, key: 4711, epoch: 1 }), null);
    });
  },

  async "releasing runs fences their driver, makes them due at once and counts no crash"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const [run, kept, foreign] = [await lab.drive(worker), await lab.drive(worker), await lab.drive(other)];
    await lab.assertUntouched([kept, foreign], () => lab.store.release({ worker, runs: [run.key, foreign.key, 4711], tasks: [4711] }));
    expectStatus(await lab.do(turnOf(run, driving)), "fenced");
    const claimed = await lab.claimOnly(other);
    assert.deepEqual([claimed.runId, claimed.crashCount], [run.runId, 0]);
    assert.ok(claimed.epoch > run.epoch + 1, "released at a higher epoch, then claimed at one higher still");
  },
};
