import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { continued, finishOf, hourMs, idle, parked, sampleRun, sendOf, taskOf, turnOf } from "./samples.js";

/** Where runs and tasks are due says what they are called, and says nothing of which worker has the code: that is what routes are for. */
export const routes: Checks = {
  async "runs are claimed by their route, whatever they are called"(lab) {
    const worker = await lab.worker();
    const [slow, fast] = [await lab.start({ name: "order", route: "slow" }), await lab.start({ name: "slow", route: "order" })];
    assert.deepEqual(await lab.claimAll(worker, { routes: ["slow order", "slo", "SLOW", ""] }), []);
    const claimed = await lab.claimOnly(worker, { routes: ["slow"] });
    assert.deepEqual([claimed.runId, claimed.name, claimed.route], [slow.runId, "order", "slow"]);
    const { run } = await lab.look(fast);
    assert.deepEqual([run.ownerId, run.name, run.route], [null, "slow", "order"]);
    assert.equal((await lab.claimOnly(worker, { routes: ["order"] })).runId, fast.runId);
  },

  async "the next due time is that of the routes, and a listing goes by name"(lab) {
    const worker = await lab.worker();
    const later = lab.store.now() + hourMs;
    await lab.drive(worker, { name: "order", route: "a" }, { next: idle(later) });
    await lab.drive(worker, { name: "a", route: "order" }, { next: idle(later + 1), tasks: [taskOf(1, { route: "b", dueAt: later + 2 })] });
    const claim = { worker, limit: 10, suspects: 1 };
    assert.deepEqual(await lab.store.claimRuns({ ...claim, routes: ["a"] }), { runs: [], nextDueAt: later });
    assert.deepEqual(await lab.store.claimRuns({ ...claim, routes: ["order"] }), { runs: [], nextDueAt: later + 1 });
    assert.deepEqual(await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 }), { tasks: [], nextDueAt: null });
    assert.deepEqual(await lab.store.claimTasks({ worker, routes: ["b"], limit: 10 }), { tasks: [], nextDueAt: later + 2 });
    assert.deepEqual(
      (await lab.store.listRuns({ name: "order", limit: 10 })).map(({ route }) => route),
      ["a"],
    );
  },

  async "tasks are claimed by their route, whatever they are called"(lab) {
    const worker = await lab.worker();
    const tasks = [taskOf(1, { name: "charge", route: "mail" }), taskOf(2, { name: "mail", route: "charge" })];
    await lab.drive(worker, {}, { tasks });
    const first = await lab.claimOnlyTask(worker, ["charge"]);
    assert.deepEqual([first.command, first.name, first.route], [2, "mail", "charge"]);
    assert.equal((await lab.claimOnlyTask(worker, ["mail", "charge"])).command, 1);
  },

  async "senders and finishers claim by route"(lab) {
    const worker = await lab.worker();
    const sent = await lab.drive(worker, { name: "order", route: "slow" }, { next: idle() });
    const byName = expectStatus(await lab.do(sendOf({ runId: sent.runId }, "a", { claimFor: { worker, routes: ["order"] } })), "sent");
    assert.deepEqual([byName.claimed, byName.owner], [null, null]);
    const byRoute = expectStatus(await lab.do(sendOf({ runId: sent.runId }, "b", { claimFor: { worker, routes: ["x", "slow"] } })), "sent");
    assert.deepEqual([byRoute.claimed?.runId, byRoute.claimed?.route, byRoute.owner], [sent.runId, "slow", worker]);
    for (const [route, isClaimed] of [
      ["order", false],
      ["slow", true],
    ] as const) {
      const run = await lab.drive(worker, { name: "order", route: "slow" }, { tasks: [taskOf(1)], next: idle() });
      const finish = finishOf(await lab.claimOnlyTask(worker), { claimFor: { worker, routes: [route] } });
      const { claimed } = expectStatus(await lab.do(finish), "finished");
      assert.equal(claimed?.runId, isClaimed ? run.runId : undefined);
    }
  },

  async "parked runs are tried again by route"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, { name: "order", route: "slow" }, { next: parked(), events: [] });
    await lab.assertUntouched([run], async () => assert.equal(await lab.store.retryParked(["order", "other"]), 0));
    assert.equal(await lab.store.retryParked(["slow", "slow"]), 1);
    assert.equal((await lab.claimOnly(worker, { routes: ["slow"] })).status, "parked");
  },

  async "a chain may go on by another route"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, { route: "v1" });
    const next = sampleRun({ workflowId: run.workflowId, runId: "next", route: "v2" });
    expectStatus(await lab.do(turnOf(run, continued(next, 1))), "committed");
    assert.deepEqual(await lab.claimAll(worker, { routes: ["v1", "order"] }), []);
    assert.deepEqual([(await lab.claimOnly(worker, { routes: ["v2"] })).runId, (await lab.look(run)).run.route], ["next", "v1"]);
  },

  async "a crashed run goes back to its route"(lab) {
    const run = await lab.start({ name: "order", route: "slow" });
    await lab.crashWith((dying) => lab.claimOnly(dying, { routes: ["slow"] }));
    const worker = await lab.worker();
    assert.deepEqual(await lab.claimAll(worker, { routes: ["order"] }), []);
    assert.equal((await lab.claimOnly(worker, { routes: ["slow"] })).runId, run.runId);
  },
};
