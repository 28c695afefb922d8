import assert from "node:assert/strict";
import type { EndedStatus, StartOperation } from "../../backend/index.js";
import { expectStatus } from "./assertions.js";
import { race, countOf } from "./race.js";
import type { Checks, HeldRun, Lab } from "./lab.js";
import {
  completed,
  continued,
  driving,
  effectsOf,
  finishOf,
  idle,
  lineOf,
  messageOf,
  parked,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  terminateOf,
  terminationOf,
  turnOf,
} from "./samples.js";

const again = (run: HeldRun, operation: Partial<StartOperation> = {}, runId = `${run.runId} again`): StartOperation =>
  startOf(sampleRun({ workflowId: run.workflowId, runId }), operation);

async function endedRun(lab: Lab, status: Exclude<EndedStatus, "continued">): Promise<HeldRun> {
  const run = await lab.drive(await lab.worker());
  if (status === "terminated") expectStatus(await lab.do(terminateOf({ runId: run.runId })), "terminated");
  else expectStatus(await lab.do(turnOf(run, { state: "ended", status })), "committed");
  return run;
}

const endedStatuses = ["completed", "failed", "cancelled", "terminated"] as const;

export const reuse: Checks = {
  async "a start that never reuses an id finds the ended run, however that ended"(lab) {
    for (const status of endedStatuses) {
      const run = await endedRun(lab, status);
      await lab.assertUntouched([run], async () => {
        for (const terminates of [null, terminationOf()]) {
          const outcome = expectStatus(await lab.do(again(run, { terminates })), "exists");
          assert.deepEqual(outcome.run, (await lab.look(run)).run);
          assert.deepEqual([outcome.run.runId, outcome.run.status], [run.runId, status]);
        }
      });
    }
  },

  async "a start that reuses an id after a failure makes a new run, unless the last one completed"(lab) {
    for (const status of endedStatuses) {
      const run = await endedRun(lab, status);
      await lab.assertUntouched([run], async () => {
        const outcome = await lab.do(again(run, { reuse: "after_failure" }));
        expectStatus(outcome, status === "completed" ? "exists" : "started");
      });
      const [newest] = await lab.store.findRuns([{ workflowId: run.workflowId }]);
      assert.equal(newest?.run.runId, status === "completed" ? run.runId : `${run.runId} again`);
    }
  },

  async "a start that always reuses an id makes a new run, however the last one ended, with nothing of it"(lab) {
    for (const status of endedStatuses) {
      const run = await endedRun(lab, status);
      await lab.assertUntouched([run], async () => {
        const outcome = expectStatus(await lab.do(again(run, { reuse: "always", messages: [messageOf("1")] })), "started");
        assert.ok(outcome.key > run.key);
        const { run: record, history, unread } = await lab.look({ runId: `${run.runId} again` });
        assert.deepEqual([record.key, record.status, record.lastSeq, record.epoch, history], [outcome.key, "running", 0, 0, []]);
        assert.deepEqual(
          unread.map(({ kind, position }) => [kind, position]),
          [
            ["start", 1],
            ["message", 2],
          ],
        );
      });
    }
  },

  async "an open run is in the way of every start that does not end it"(lab) {
    const worker = await lab.worker();
    const open = [
      await lab.start(),
      await lab.drive(worker),
      await lab.drive(worker, {}, { next: idle() }),
      await lab.drive(worker, {}, { next: parked(), events: [] }),
    ];
    await lab.assertUntouched(open, async () => {
      for (const run of open) {
        for (const policy of ["never", "after_failure", "always"] as const) {
          assert.equal(expectStatus(await lab.do(again(run, { reuse: policy })), "exists").run.runId, run.runId);
        }
      }
    });
    assert.equal((await lab.store.listRuns({ limit: 10 })).length, open.length);
  },

  async "the new run shares no inbox, dedupe keys, entries, streams or attributes with the one before"(lab) {
    const worker = await lab.worker();
    const shelf = { entries: [{ name: "e", payload: "1" }], attributes: [{ name: "a", value: "1" }] };
    const chunks = [{ stream: "log", writer: "", number: 0, restartAt: null, payload: "1" }];
    const run = await lab.drive(worker, {}, { ...shelf, chunks });
    expectStatus(await lab.do(sendOf({ runId: run.runId }, "k")), "sent");
    expectStatus(await lab.do(turnOf({ ...run, inboxCount: 1 }, completed)), "committed");
    const { key } = expectStatus(await lab.do(again(run, { reuse: "always", attributes: [{ name: "b", value: "2" }] })), "started");
    const target = { workflowId: run.workflowId };
    assert.equal(expectStatus(await lab.do(sendOf(target, "k")), "sent").position, 2);
    assert.deepEqual(await lab.store.readEntries({ target, names: ["e"] }), [null]);
    assert.deepEqual(await lab.store.readChunks({ target, stream: "log", from: 0, limit: 10 }), { chunks: [], isOpen: true });
    assert.deepEqual(await lab.store.readStreamTail({ key, stream: "log", writer: "" }), { lastNumber: 0, chunks: 0, firstOffset: null });
    const [newest, old, chain] = await lab.store.findRuns([target, { runId: run.runId }, { chainOf: run.runId }]);
    assert.deepEqual([newest?.run.attributes, old?.run.attributes], [[{ name: "b", value: "2" }], [{ name: "a", value: "1" }]]);
    assert.equal(chain?.run.runId, run.runId, "another chain begins with the new run");
    assert.deepEqual([old?.run.inboxUnread, newest?.run.inboxCount], [1, 2]);
    assert.equal((await lab.store.readEntries({ target: { runId: run.runId }, names: ["e"] }))?.[0]?.version, 1);
  },

  async "of a chain, the newest run decides"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const goesOn = continued(sampleRun({ workflowId: run.workflowId, runId: "second" }));
    const { continued: second } = expectStatus(await lab.do(turnOf(run, goesOn)), "committed");
    assert.ok(second);
    assert.equal(expectStatus(await lab.do(again(run, { reuse: "always" })), "exists").run.runId, "second");
    expectStatus(await lab.do(turnOf(second, { state: "ended", status: "failed" })), "committed");
    expectStatus(await lab.do(again(run, { reuse: "after_failure" })), "started");
    assert.equal((await lab.store.findRuns([{ chainOf: run.runId }]))[0]?.run.runId, "second");
  },

  async "a start that is sent again finds its own run by run id, not the newest of the id"(lab) {
    const run = await endedRun(lab, "failed");
    const start = again(run, { reuse: "after_failure", terminates: terminationOf() });
    const { key } = expectStatus(await lab.do(start), "started");
    const newRun = { runId: start.run.runId };
    await lab.assertUntouched([run, newRun], async () => {
      assert.equal(expectStatus(await lab.do(start), "exists").run.key, key, "it does not end itself");
    });
    expectStatus(await lab.do(terminateOf(newRun)), "terminated");
    const third = again(run, { reuse: "always" }, "third");
    expectStatus(await lab.do(third), "started");
    await lab.assertUntouched([run, newRun, { runId: "third" }], async () => {
      const { run: found } = expectStatus(await lab.do(start), "exists");
      assert.deepEqual([found.key, found.status], [key, "terminated"]);
      expectStatus(await lab.do({ ...start, reuse: "always" }), "exists");
    });
    assert.equal((await lab.store.listRuns({ limit: 10 })).length, 3);
  },

  async "a start may end the open run of its id: its driver is fenced, and the new run begins, in one commit"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { name: "claimed" })] });
    const task = await lab.claimOnlyTask(worker, ["claimed"]);
    expectStatus(await lab.do(sendOf({ runId: run.runId }, "unread")), "sent");
    const terminates = terminationOf({ payload: '"replaced"', tasks: [taskOf(5)] });
    expectStatus(await lab.do(again(run, { terminates })), "started");
    const { run: record, last, unread } = await lab.look(run);
    assert.deepEqual([record.status, record.ownerId, record.lastSeq, record.inboxUnread], ["terminated", null, 2, 1]);
    assert.deepEqual([last?.seq, last?.event, last?.payload], [2, terminates.event, 'text "replaced"']);
    assert.deepEqual([unread.map(({ payload }) => payload), record.endedAt !== null], [['text "unread"'], true]);
    await lab.assertUntouched([run, { runId: `${run.runId} again` }], async () => {
      expectStatus(await lab.do(turnOf(run, driving)), "fenced");
      expectStatus(await lab.do(finishOf(task)), "gone");
    });
    const left = await lab.claimOnlyTask(worker);
    assert.deepEqual([left.runId, left.command], [run.runId, 5]);
    assert.deepEqual(expectStatus(await lab.do(sendOf({ workflowId: run.workflowId }, "unread")), "sent").position, 2);
    assert.equal((await lab.claimOnly(worker)).runId, `${run.runId} again`);
  },

  async "a start may end a run that waits, sleeps or is parked, and drive the new one at once"(lab) {
    const worker = await lab.worker();
    const open = [
      await lab.start(),
      await lab.drive(worker, {}, { next: idle() }),
      await lab.drive(worker, {}, { next: parked(), events: [] }),
    ];
    for (const run of open) {
      const eager = { worker, effects: effectsOf(driving, { events: [lineOf(1)] }) };
      const outcome = expectStatus(await lab.do(again(run, { terminates: terminationOf(), eager })), "started");
      assert.equal(outcome.owned, true);
      const { run: record } = await lab.look(run);
      assert.deepEqual([record.status, record.dueAt, record.parkReason], ["terminated", null, null]);
    }
    assert.deepEqual(await lab.claimAll(worker, { suspects: 1 }), []);
    assert.equal(await lab.store.retryParked(["order"]), 0);
    assert.equal((await lab.store.inspectOwned(worker)).runs.length, 3);
  },

  async "an id may be used, ended and reused in one batch"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const outcomes = await lab.store.apply([
      again(run, { reuse: "always" }, "too early"),
      turnOf(run, completed),
      again(run, { reuse: "after_failure" }, "did not fail"),
      again(run, { reuse: "always" }, "second"),
      again(run, { reuse: "always" }, "third"),
      sendOf({ workflowId: run.workflowId }, "k"),
      again(run, { terminates: terminationOf() }, "fourth"),
      again(run, { terminates: terminationOf() }, "fourth"),
      sendOf({ workflowId: run.workflowId }, "k"),
      sendOf({ runId: "second" }, "l"),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      "exists committed exists started exists sent started exists sent not_running".split(" "),
    );
    assert.deepEqual(
      (await lab.store.listRuns({ limit: 10 })).map(({ runId, status, inboxCount }) => [runId, status, inboxCount]),
      [
        ["fourth", "running", 2],
        ["second", "terminated", 2],
        [run.runId, "completed", 0],
      ],
    );
  },

  async "twenty starts at once that reuse the id of an ended run make one run, which all are told of"(lab) {
    const run = await endedRun(lab, "failed");
    const outcomes = await race(lab, 20, (store, index) =>
      lab.do(again(run, { reuse: index % 3 === 0 ? "always" : "after_failure" }, `r${index}`), store),
    );
    assert.deepEqual([countOf(outcomes, "started"), countOf(outcomes, "exists")], [1, 19]);
    assert.equal(new Set(outcomes.map((outcome) => (outcome.status === "started" ? outcome.key : outcome.run.key))).size, 1);
    assert.equal((await lab.store.listRuns({ limit: 100 })).length, 2);
  },

  async "starts at once that end the open run of their id leave one open run, and every other ended"(lab) {
    const run = await lab.drive(await lab.worker());
    const outcomes = await race(lab, 8, (store, index) => lab.do(again(run, { terminates: terminationOf() }, `r${index}`), store));
    assert.equal(countOf(outcomes, "started"), 8);
    const listed = await lab.store.listRuns({ limit: 100 });
    assert.deepEqual(
      listed.map(({ status }) => status),
      ["running", ...Array.from({ length: 8 }, () => "terminated")],
    );
    assert.equal((await lab.store.findRuns([{ workflowId: run.workflowId }]))[0]?.run.key, listed[0]?.key);
  },

  async "a start that ends a run and a turn of its driver at once: whichever comes second knows of the first"(lab) {
    const worker = await lab.worker();
    const second = await lab.open();
    for (let round = 0; round < 10; round += 1) {
      const run = await lab.drive(worker);
      const turn = (): Promise<{ readonly status: string }> => lab.do(turnOf(run, driving));
      const start = (): Promise<{ readonly status: string }> => lab.do(again(run, { terminates: terminationOf() }), second);
      const outcomes = await Promise.all(round % 2 === 0 ? [turn(), start()] : [start(), turn()]);
      assert.equal(countOf(outcomes, "started"), 1);
      const { run: record, history } = await lab.look(run);
      const lines = countOf(outcomes, "committed") + 2;
      assert.deepEqual([record.status, record.lastSeq, history.length, history.at(-1)?.seq], ["terminated", lines, lines, lines]);
    }
  },
};
