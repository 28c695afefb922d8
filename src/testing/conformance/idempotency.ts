import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import {
  appendOf,
  chunkOf,
  continued,
  driving,
  effectsOf,
  finishOf,
  idle,
  lineOf,
  sampleRun,
  startOf,
  taskOf,
  terminateOf,
  turnOf,
} from "./samples.js";

export const idempotency: Checks = {
  async "a start that is sent again finds itself by its run id"(lab) {
    const worker = await lab.worker();
    const start = startOf(sampleRun({ workflowId: "w", runId: "r" }), {
      eager: { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) },
    });
    const { key } = expectStatus(await lab.do(start), "started");
    await lab.assertUntouched([{ runId: "r" }], async () => {
      const { run } = expectStatus(await lab.do(start), "exists");
      assert.deepEqual([run.key, run.runId, run.epoch, run.lastSeq], [key, "r", 1, 1]);
    });
    assert.equal((await lab.store.reclaimRun({ worker, key, epoch: 1 }))?.lastSeq, 1, "and its worker can go on with it");
  },

  async "releasing, retiring and recovering twice is the same as once"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(worker);
    await lab.store.release({ worker, runs: [run.key], tasks: [] });
    await lab.assertUntouched([run], () => lab.store.release({ worker, runs: [run.key], tasks: [] }));
    await lab.store.retireWorker(worker);
    await lab.assertUntouched([run], () => lab.store.retireWorker(worker));
    await lab.crashWith((dying) => lab.claimOnly(dying));
    await lab.assertUntouched([run], async () => assert.deepEqual(await lab.store.recover(other), { workers: 0, runs: 0, tasks: 0 }));
  },

  async "finishing a task again does not wake its run again"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)], next: idle() });
    const task = await lab.claimOnlyTask(worker);
    expectStatus(await lab.do(finishOf(task)), "finished");
    const claimed = await lab.claimOnly(worker);
    expectStatus(await lab.do(turnOf(claimed, idle(), { consumed: [1] })), "committed");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(finishOf(task)), "gone"));
  },

  async "a termination, a continuation and an append that are sent again change nothing"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const append = appendOf({ run: run.key, epoch: run.epoch }, [chunkOf("1", 1, "a"), chunkOf("1", 2, null, { restartAt: 0 })]);
    const readChunks = (): Promise<unknown> => lab.store.readChunks({ target: { runId: run.runId }, stream: "log", from: 0, limit: 10 });
    expectStatus(await lab.do(append), "appended");
    const chunks = await readChunks();
    expectStatus(await lab.do(append), "appended");
    assert.deepEqual(await readChunks(), chunks);

    const goesOn = turnOf(run, continued(sampleRun({ workflowId: run.workflowId, runId: "next" })), {
      entries: [{ name: "e", payload: "1" }],
    });
    const { continued: next } = expectStatus(await lab.do(goesOn), "committed");
    assert.ok(next);
    await lab.assertUntouched([run, next], async () => {
      expectStatus(await lab.do(goesOn), "fenced");
      expectStatus(await lab.do(append), "fenced");
    });
    assert.equal((await lab.store.readEntries({ target: { runId: "next" }, names: ["e"] }))?.[0]?.version, 1);

    const ends = terminateOf({ runId: "next" }, { tasks: [taskOf(1)] });
    expectStatus(await lab.do(ends), "terminated");
    const task = await lab.claimOnlyTask(worker);
    await lab.assertUntouched([run, next], async () => expectStatus(await lab.do(ends), "not_running"));
    expectStatus(await lab.do(finishOf(task, { kind: "done" })), "finished");
    assert.deepEqual(await readChunks(), { ...(chunks as object), isOpen: false });
  },

  async "expiring tasks twice is the same as once"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { expiresAt: 1 })], next: idle() });
    await lab.eventually("the task to expire", async () => (await lab.store.expireTasks()) === 1);
    expectStatus(await lab.do(turnOf(await lab.claimOnly(worker), idle(), { consumed: [1] })), "committed");
    await lab.assertUntouched([run], async () => assert.equal(await lab.store.expireTasks(), 0));
  },

  async "opening a store again changes nothing in it"(lab) {
    const run = await lab.start();
    await lab.assertUntouched([run], async () => {
      const again = await lab.open();
      assert.equal((await again.findRuns([run]))[0]?.run.runId, run.runId);
    });
  },

  async "closing one store leaves the others working"(lab) {
    const run = await lab.start();
    const second = await lab.open();
    await second.close();
    assert.equal((await lab.claimOnly(await lab.worker())).runId, run.runId);
  },
};
