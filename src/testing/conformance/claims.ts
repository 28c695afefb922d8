import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks, Lab } from "./lab.js";
import { cancelItem, completed, driving, hourMs, idle, messageOf, parked, sendOf, turnOf } from "./samples.js";

/** A run whose driver has died twice. */
async function makeSuspect(lab: Lab, name = "order"): Promise<{ readonly runId: string; readonly workflowId: string }> {
  const run = await lab.start({ name: `${name} on trial` }, { dueAt: null });
  for (let crashes = 0; crashes < 2; crashes += 1) {
    await lab.crashWith(async (worker) => {
      const claimed = await lab.claimAll(worker, { routes: [`${name} on trial`] });
      assert.equal(claimed.length, 1, "the run must be claimable after a crash");
    });
  }
  return run;
}

const suspectName = "order on trial";

export const claims: Checks = {
  async "a claim tells what a driver needs to know"(lab) {
    const worker = await lab.worker();
    const run = await lab.start({ version: null, engineVersion: 3, deadlineAt: 9_000_000_000_000 });
    const { run: record } = await lab.look(run);
    const { mail: _, ...claimed } = await lab.claimOnly(worker);
    assert.deepEqual(claimed, {
      key: run.key,
      workflowId: run.workflowId,
      runId: run.runId,
      name: "order",
      route: "order",
      version: null,
      engineVersion: 3,
      status: "running",
      createdAt: record.createdAt,
      deadlineAt: 9_000_000_000_000,
      epoch: 1,
      lastSeq: 0,
      inboxCount: 1,
      crashCount: 0,
      parkCount: 0,
      parentRunId: null,
      options: null,
    });
    assert.deepEqual([(await lab.look(run)).run.dueAt, (await lab.look(run)).run.epoch], [null, 1]);
  },

  async "mail that comes with a claim is all that lies unread, as the inbox has it"(lab) {
    const worker = await lab.worker();
    const items = [messageOf('"a"'), messageOf(new Uint8Array([0, 255])), cancelItem, messageOf(""), messageOf(null), messageOf('"f"')];
    for (const [index, item] of items.entries()) {
      const idleRun = await lab.drive(worker, {}, { next: idle() });
      for (const [place, sent] of items.slice(0, index + 1).entries())
        expectStatus(await lab.do(sendOf(idleRun, `k${place}`, { item: sent })), "sent");
      const claimed = await lab.claimOnly(worker);
      const inbox = async () => (await lab.store.loadInboxes([{ key: claimed.key, above: 0 }]))[0];
      assert.equal((await inbox())?.length, index + 1, item.kind);
      if (claimed.mail !== undefined) assert.deepEqual(claimed.mail, await inbox());
      const taken = turnOf(claimed, idle(1), { consumed: [1], inboxSeen: claimed.inboxCount });
      expectStatus(await lab.do(taken), "committed");
      const again = await lab.claimOnly(worker);
      if (again.mail !== undefined) assert.deepEqual(again.mail, await inbox(), "what was taken does not come again");
      expectStatus(await lab.do(turnOf(again, driving)), "committed");
    }
  },

  async "runs are claimed by route and number, each once"(lab) {
    const worker = await lab.worker();
    for (const name of ["a", "b", "b", "c"]) await lab.start({ name });
    const claim = async (routes: readonly string[], limit: number): Promise<readonly string[]> =>
      (await lab.claimAll(worker, { routes, limit })).map((run) => run.name).toSorted();
    assert.deepEqual(await claim([], 10), []);
    assert.deepEqual(await claim(["unknown", "A"], 10), []);
    assert.deepEqual(await claim(["a", "b"], 0), []);
    assert.deepEqual(await claim(["b"], 1), ["b"]);
    assert.deepEqual(await claim(["a", "b"], 10), ["a", "b"]);
    assert.deepEqual(await claim(["a", "b"], 10), []);
    assert.deepEqual(await claim(["unknown", "c"], 10), ["c"]);
  },

  async "runs that sleep, wait, are parked or have ended are not claimed; the next due time is that of the given routes"(lab) {
    const worker = await lab.worker();
    const later = lab.store.now() + hourMs;
    await lab.drive(worker, {}, { next: idle() });
    await lab.drive(worker, {}, { next: idle(later + 2) });
    await lab.drive(worker, {}, { next: parked(later + 1), events: [] });
    await lab.drive(worker, { name: "other" }, { next: idle(later) });
    await lab.drive(worker, {}, { next: completed });
    const claim = (routes: readonly string[]): Promise<unknown> => lab.store.claimRuns({ worker, routes, limit: 10, suspects: 1 });
    assert.deepEqual(await claim(["order"]), { runs: [], nextDueAt: later + 1 });
    assert.deepEqual(await claim(["order", "other"]), { runs: [], nextDueAt: later });
    assert.deepEqual(await claim(["unknown"]), { runs: [], nextDueAt: null });
    assert.deepEqual(await claim([]), { runs: [], nextDueAt: null });
  },

  async "the next due time is in the future, also when due runs are left"(lab) {
    const worker = await lab.worker();
    const later = lab.store.now() + hourMs;
    for (const dueAt of [1, 2, 3, later]) await lab.drive(worker, {}, { next: idle(dueAt) });
    const { runs, nextDueAt } = await lab.store.claimRuns({ worker, routes: ["order"], limit: 1, suspects: 0 });
    assert.deepEqual([runs.length, nextDueAt], [1, later]);
    assert.equal((await lab.claimAll(worker)).length, 2);
  },

  async "a sleeping run becomes due at its time, not before"(lab) {
    const worker = await lab.worker();
    const dueAt = lab.store.now() + 200;
    const run = await lab.drive(worker, {}, { next: idle(dueAt) });
    const claimed = await lab.eventually("the run", async () => (await lab.claimAll(worker))[0]);
    assert.ok(lab.store.now() >= dueAt - 1, "claimed early");
    assert.equal(claimed.runId, run.runId);
  },

  async "many due runs are claimed piece by piece, each exactly once"(lab) {
    const worker = await lab.worker();
    const started = await Promise.all(Array.from({ length: 130 }, () => lab.start()));
    const claimed: string[] = [];
    for (let batch = await lab.claimAll(worker, { limit: 40 }); batch.length > 0; batch = await lab.claimAll(worker, { limit: 40 })) {
      assert.ok(batch.length <= 40, "no more than asked for");
      claimed.push(...batch.map(({ runId }) => runId));
    }
    assert.deepEqual(claimed.toSorted(), started.map(({ runId }) => runId).toSorted());
  },

  async "a worker may know many routes"(lab) {
    const worker = await lab.worker();
    const run = await lab.start({ name: "name 777" });
    const routes = Array.from({ length: 1000 }, (_, index) => `name ${index}`);
    assert.equal((await lab.claimOnly(worker, { routes })).runId, run.runId);
  },

  async "a run whose driver died twice is claimed only as a suspect, one at a time"(lab) {
    const worker = await lab.worker();
    const run = await makeSuspect(lab);
    const harmless = await lab.start({ name: suspectName });
    assert.deepEqual(
      (await lab.claimAll(worker, { routes: [suspectName] })).map(({ runId }) => runId),
      [harmless.runId],
    );
    assert.deepEqual(await lab.claimAll(worker, { routes: ["order"], suspects: 1 }), []);
    const claimed = await lab.claimOnly(worker, { routes: [suspectName], suspects: 1 });
    assert.deepEqual([claimed.runId, claimed.crashCount], [run.runId, 2]);
  },

  async "a suspect is claimed beside the others, beyond their limit"(lab) {
    const worker = await lab.worker();
    await makeSuspect(lab);
    for (let count = 0; count < 3; count += 1) await lab.start({ name: suspectName });
    const { runs } = await lab.store.claimRuns({ worker, routes: [suspectName], limit: 2, suspects: 1 });
    assert.deepEqual(
      runs.map(({ crashCount }) => crashCount).toSorted((a, b) => a - b),
      [0, 0, 2],
    );
  },

  async "a sender does not claim a suspect"(lab) {
    const worker = await lab.worker();
    const run = await makeSuspect(lab);
    const outcome = expectStatus(await lab.do(sendOf(run, "k", { claimFor: { worker, routes: [suspectName] } })), "sent");
    assert.deepEqual([outcome.claimed, outcome.owner], [null, null]);
  },

  async "resuming a parked suspect clears its name"(lab) {
    const worker = await lab.worker();
    const run = await makeSuspect(lab);
    const claimed = await lab.claimOnly(worker, { routes: [suspectName], suspects: 1 });
    expectStatus(
      await lab.do(turnOf(claimed, parked(null, { code: "poisoned", message: "killed its workers" }), { events: [] })),
      "committed",
    );
    assert.equal((await lab.look(run)).run.crashCount, 2, "parking is no progress");
    expectStatus(await lab.do({ type: "resume", target: { runId: run.runId } }), "resumed");
    assert.equal((await lab.claimOnly(worker, { routes: [suspectName] })).crashCount, 0);
  },

  async "a claim whose answer was lost can be found and given back"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.start();
    await lab.claimAll(worker);
    assert.deepEqual((await lab.store.inspectOwned(worker)).runs, [{ key: run.key, inboxCount: 1, inboxSeen: 0 }]);
    await lab.store.release({ worker, runs: [run.key], tasks: [] });
    assert.equal((await lab.claimOnly(other)).runId, run.runId);
  },
};
