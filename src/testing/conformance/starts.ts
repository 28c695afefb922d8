import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import {
  cancelItem,
  completed,
  driving,
  effectsOf,
  hourMs,
  idle,
  lineOf,
  messageOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
} from "./samples.js";

export const starts: Checks = {
  async "a started run is found by both of its ids, with everything that was given"(lab) {
    const before = lab.store.now();
    const run = sampleRun({
      workflowId: "w",
      runId: "r",
      name: "n",
      version: null,
      route: "slow/n",
      engineVersion: 7,
      inputHash: "h",
      deadlineAt: 9_000_000_000_000,
      parentRunId: "p",
      options: '{"any":"thing"}',
    });
    const outcome = expectStatus(await lab.do(startOf(run)), "started");
    const [byWorkflowId, byRunId, missing] = await lab.store.findRuns([{ workflowId: "w" }, { runId: "r" }, { workflowId: "r" }]);
    assert.deepEqual(byWorkflowId, byRunId);
    assert.equal(missing, null);
    assert.equal(byRunId?.last, null);
    const { createdAt, dueAt, ...rest } = byRunId.run;
    assert.deepEqual(rest, {
      ...run,
      key: outcome.key,
      status: "running",
      endedAt: null,
      ownerId: null,
      epoch: 0,
      lastSeq: 0,
      inboxCount: 1,
      inboxUnread: 1,
      crashCount: 0,
      parkReason: null,
      attributes: [],
    });
    assert.equal(createdAt, outcome.createdAt);
    assert.ok(Math.abs(createdAt - before) < 60_000, "createdAt is on the store's clock, in milliseconds");
    assert.ok(dueAt !== null && dueAt <= lab.store.now() + 1000, "it is due at once");
  },

  async "the input and the first messages lie in the inbox, in order"(lab) {
    const run = await lab.start({}, { input: '"in"', messages: [messageOf('"a"', "first"), messageOf(null, "second")] });
    assert.equal(run.inboxCount, 3);
    assert.deepEqual((await lab.look(run)).unread, [
      { kind: "start", name: "", command: null, attempt: null, payload: 'text "in"', options: null, position: 1 },
      { kind: "message", name: "first", command: null, attempt: null, payload: 'text "a"', options: null, position: 2 },
      { kind: "message", name: "second", command: null, attempt: null, payload: null, options: null, position: 3 },
    ]);
  },

  async "a second start of the same workflow id finds the run and touches nothing"(lab) {
    const run = await lab.start({ name: "a" });
    await lab.assertUntouched([run], async () => {
      const again = sampleRun({ workflowId: run.workflowId, runId: "another", name: "b", inputHash: "other" });
      const outcome = expectStatus(await lab.do(startOf(again, { messages: [messageOf("1")] })), "exists");
      assert.deepEqual(outcome.run, (await lab.look(run)).run);
    });
    assert.deepEqual(await lab.store.findRuns([{ runId: "another" }]), [null]);
    assert.equal((await lab.store.listRuns({ limit: 10 })).length, 1);
  },

  async "two starts of one workflow id in one batch make one run"(lab) {
    const [first, second] = await lab.store.apply([
      startOf(sampleRun({ workflowId: "w", runId: "r1" })),
      startOf(sampleRun({ workflowId: "w", runId: "r2" })),
    ]);
    expectStatus(first, "started");
    assert.equal(expectStatus(second, "exists").run.runId, "r1");
  },

  async "the workflow id of an ended run stays taken"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { next: completed });
    const outcome = expectStatus(await lab.do(startOf(sampleRun({ workflowId: run.workflowId, runId: "another" }))), "exists");
    assert.equal(outcome.run.runId, run.runId);
    assert.equal(outcome.run.status, "completed");
  },

  async "an eager start belongs to its worker at epoch 1, with its first line and without the input in the inbox"(lab) {
    const workerId = lab.id();
    const { worker } = await lab.store.registerWorker({ workerId, leaseMs: hourMs });
    const effects = effectsOf(driving, { events: [lineOf(1)], inboxSeen: 1 });
    const start = startOf(sampleRun({ workflowId: "w", runId: "r" }), { messages: [messageOf('"m"')], eager: { worker, effects } });
    const outcome = expectStatus(await lab.do(start), "started");
    assert.equal(outcome.owned, true);
    assert.equal(outcome.inboxCount, 1);
    const { run, history, unread } = await lab.look({ runId: "r" });
    assert.deepEqual([run.ownerId, run.epoch, run.lastSeq, run.dueAt], [workerId, 1, 1, null]);
    assert.deepEqual(history, [{ ...lineOf(1), payload: `text ${lineOf(1).payload as string}` }]);
    assert.deepEqual(
      unread.map(({ kind, position }) => [kind, position]),
      [["message", 1]],
    );
    assert.deepEqual(await lab.claimAll(await lab.worker()), [], "nobody else may have it");
  },

  async "an eager start may take messages, queue tasks and go idle in its first turn"(lab) {
    const worker = await lab.worker();
    const dueAt = lab.store.now() + hourMs;
    const effects = effectsOf(idle(dueAt), { events: [lineOf(1), lineOf(2)], consumed: [1], inboxSeen: 1, tasks: [taskOf(1)] });
    const start = startOf(sampleRun({ workflowId: "w", runId: "r" }), { messages: [messageOf('"m"')], eager: { worker, effects } });
    assert.equal(expectStatus(await lab.do(start), "started").owned, false);
    const { run, unread } = await lab.look({ runId: "r" });
    assert.deepEqual([run.ownerId, run.dueAt, run.lastSeq, run.inboxCount, run.inboxUnread], [null, dueAt, 2, 1, 0]);
    assert.deepEqual(unread, []);
    assert.equal((await lab.claimOnlyTask(worker)).runId, "r");
  },

  async "an eager start that has not seen all of its messages keeps the run when it goes idle"(lab) {
    const worker = await lab.worker();
    const effects = effectsOf(idle(), { events: [lineOf(1)], inboxSeen: 0 });
    const outcome = await lab.do(startOf(sampleRun({ workflowId: "w" }), { messages: [messageOf("1")], eager: { worker, effects } }));
    assert.deepEqual([expectStatus(outcome, "started").owned, outcome.status === "started" && outcome.inboxCount], [true, 1]);
  },

  async "an eager start may end its run at once"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { next: completed, events: [lineOf(1), lineOf(2, { payload: '"result"' })] });
    const { run: record, last } = await lab.look(run);
    assert.deepEqual([record.status, record.ownerId, record.dueAt, record.lastSeq], ["completed", null, null, 2]);
    assert.ok(record.endedAt !== null && record.endedAt >= record.createdAt);
    assert.equal(last?.payload, 'text "result"');
  },

  async "an eager start of a taken workflow id changes nothing and queues nothing"(lab) {
    const worker = await lab.worker();
    const run = await lab.start();
    await lab.assertUntouched([run], async () => {
      const effects = effectsOf(driving, { events: [lineOf(1)], tasks: [taskOf(1)] });
      expectStatus(
        await lab.do(startOf(sampleRun({ workflowId: run.workflowId, runId: "another" }), { eager: { worker, effects } })),
        "exists",
      );
    });
    assert.deepEqual((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 })).tasks, []);
    assert.deepEqual(await lab.store.inspectOwned(worker), { runs: [], tasks: [] });
  },

  async "a delayed start waits for its time, whatever is sent to it"(lab) {
    const worker = await lab.worker();
    const dueAt = lab.store.now() + hourMs;
    const run = await lab.start({}, { dueAt });
    const sent = expectStatus(await lab.do(sendOf(run, "k", { claimFor: { worker, routes: ["order"] } })), "sent");
    assert.deepEqual([sent.position, sent.claimed, sent.owner], [2, null, null]);
    assert.deepEqual(await lab.store.claimRuns({ worker, routes: ["order"], limit: 10, suspects: 1 }), { runs: [], nextDueAt: dueAt });
  },

  async "a delayed start that is to be cancelled does not wait"(lab) {
    const worker = await lab.worker();
    const run = await lab.start({}, { dueAt: lab.store.now() + hourMs });
    expectStatus(await lab.do(sendOf(run, "k", { item: cancelItem })), "sent");
    assert.equal((await lab.claimOnly(worker)).runId, run.runId);
  },
};
