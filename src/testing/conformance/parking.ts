import assert from "node:assert/strict";
import type { ParkReason } from "../../backend/index.js";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { cancelItem, completed, driving, hourMs, idle, parked, sendOf, turnOf } from "./samples.js";

const reason: ParkReason = { code: "nondeterminism", message: "expected step a, got step b", report: "line 1\nline 2 — “ä”" };

export const parking: Checks = {
  async "a parked run keeps its reason and belongs to nobody"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    assert.equal(expectStatus(await lab.do(turnOf(run, parked(null, reason), { events: [] })), "committed").owned, false);
    const { run: record } = await lab.look(run);
    assert.deepEqual(
      [record.status, record.parkReason, record.ownerId, record.dueAt, record.lastSeq, record.endedAt],
      ["parked", reason, null, null, 1, null],
    );
    assert.deepEqual(await lab.claimAll(worker, { suspects: 1 }), []);
  },

  async "a parked run is tried again at its time, and stays parked until a turn says otherwise"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    expectStatus(await lab.do(turnOf(run, parked(lab.store.now() - 1, reason), { events: [] })), "committed");
    const claimed = await lab.claimOnly(worker);
    assert.deepEqual([claimed.status, claimed.parkCount, claimed.epoch], ["parked", 1, 2]);
    assert.deepEqual([(await lab.look(run)).run.status, (await lab.look(run)).run.parkReason], ["parked", reason]);
    expectStatus(await lab.do(turnOf(claimed, driving)), "committed");
    assert.deepEqual([(await lab.look(run)).run.status, (await lab.look(run)).run.parkReason], ["running", null]);
  },

  async "parking is counted until the run makes progress"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    expectStatus(await lab.do(turnOf(run, parked(1), { events: [] })), "committed");
    const second = await lab.claimOnly(worker);
    expectStatus(await lab.do(turnOf(second, parked(1), { events: [] })), "committed");
    const third = await lab.claimOnly(worker);
    assert.equal(third.parkCount, 2);
    expectStatus(await lab.do(turnOf(third, idle(1))), "committed");
    assert.equal((await lab.claimOnly(worker)).parkCount, 0);
  },

  async "a parked run accepts messages and requests to cancel, and stays as it is"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { next: parked(null, reason), events: [] });
    const claimFor = { worker, routes: ["order"] };
    const message = expectStatus(await lab.do(sendOf(run, "a", { claimFor })), "sent");
    const cancel = expectStatus(await lab.do(sendOf(run, "b", { item: cancelItem, claimFor })), "sent");
    assert.deepEqual([message.position, message.claimed, message.owner, cancel.position, cancel.claimed], [1, null, null, 2, null]);
    const { run: record, unread } = await lab.look(run);
    assert.deepEqual([record.status, record.dueAt, record.inboxUnread, unread.length], ["parked", null, 2, 2]);
  },

  async "resuming makes a parked run due at once"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { next: parked(lab.store.now() + hourMs, reason), events: [] });
    const byWorkflowId = await lab.drive(
      worker,
      { name: "other" },
      { next: parked(null, { code: "poisoned", message: "killed its worker" }), events: [] },
    );
    expectStatus(await lab.do({ type: "resume", target: { runId: run.runId } }), "resumed");
    expectStatus(await lab.do({ type: "resume", target: { workflowId: byWorkflowId.workflowId } }), "resumed");
    const claimed = await lab.claimAll(worker, { routes: ["order", "other"] });
    assert.deepEqual(claimed.map(({ runId }) => runId).toSorted(), [run.runId, byWorkflowId.runId].toSorted());
  },

  async "only parked runs can be resumed"(lab) {
    const worker = await lab.worker();
    const [driven, sleeping] = [await lab.drive(worker), await lab.drive(worker, {}, { next: idle() })];
    const ended = await lab.drive(worker, {}, { next: completed });
    await lab.assertUntouched([driven, sleeping, ended], async () => {
      for (const run of [driven, sleeping, ended])
        expectStatus(await lab.do({ type: "resume", target: { workflowId: run.workflowId } }), "not_parked");
      expectStatus(await lab.do({ type: "resume", target: { workflowId: "none" } }), "not_found");
      expectStatus(await lab.do({ type: "resume", target: { runId: "none" } }), "not_found");
    });
  },

  async "a worker that starts has the parked runs on its routes tried again, except poisoned ones"(lab) {
    const worker = await lab.worker();
    const mendable = await lab.drive(worker, {}, { next: parked(lab.store.now() + hourMs, reason), events: [] });
    const untimed = await lab.drive(worker, {}, { next: parked(null, { code: "undecodable", message: "no key" }), events: [] });
    const poisoned = await lab.drive(worker, {}, { next: parked(null, { code: "poisoned", message: "killed its worker" }), events: [] });
    const other = await lab.drive(worker, { name: "other" }, { next: parked(null, reason), events: [] });
    const sleeping = await lab.drive(worker, {}, { next: idle() });
    const mended = await lab.drive(worker, { name: "mended" }, { next: parked(1, reason), events: [] });
    const claimedMended = await lab.claimOnly(worker, { routes: ["mended"] });
    expectStatus(await lab.do(turnOf(claimedMended, idle(lab.store.now() + hourMs))), "committed");
    await lab.assertUntouched([poisoned, other, sleeping, mended], async () => {
      assert.equal(await lab.store.retryParked([]), 0);
      assert.equal(await lab.store.retryParked(["order", "mended", "unknown"]), 2);
    });
    const claimed = await lab.claimAll(worker, { routes: ["order", "other"] });
    assert.deepEqual(claimed.map(({ runId }) => runId).toSorted(), [mendable.runId, untimed.runId].toSorted());
    assert.equal(await lab.store.retryParked(["order"]), 0, "those that are being tried are left alone");
  },
};
