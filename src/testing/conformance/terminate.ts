import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { countOf, race } from "./race.js";
import {
  afterTurn,
  appendOf,
  chunkOf,
  completed,
  continued,
  driving,
  finishOf,
  hourMs,
  idle,
  lineOf,
  parked,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  terminateOf,
  touchOf,
  turnOf,
} from "./samples.js";

export const terminate: Checks = {
  async "a run that is ended by force has the terminal line after its last, and is like any ended run"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const before = lab.store.now();
    const payload = new Uint8Array([0, 255]);
    const outcome = expectStatus(
      await lab.do(terminateOf({ workflowId: run.workflowId }, { event: '{"kind":"é"}', payload })),
      "terminated",
    );
    assert.deepEqual([outcome.key, outcome.runId], [run.key, run.runId]);
    const { run: record, history, last } = await lab.look(run);
    assert.deepEqual([record.status, record.ownerId, record.dueAt, record.lastSeq, record.parkReason], ["terminated", null, null, 2, null]);
    assert.ok(record.endedAt !== null && record.endedAt >= record.createdAt && Math.abs(record.endedAt - before) < 60_000);
    assert.deepEqual(
      history.map(({ seq }) => seq),
      [1, 2],
    );
    assert.deepEqual([last?.seq, last?.event, last?.payload, last], [2, '{"kind":"é"}', "bytes 00ff", history[1]]);
    assert.ok(last !== null && Math.abs(last.at - record.endedAt) < 60_000, "its time is on the store's clock");
    assert.deepEqual(await lab.store.inspectOwned(worker), { runs: [], tasks: [] });
    assert.deepEqual(await lab.claimAll(worker, { suspects: 1 }), []);
  },

  async "the time of the last line is never before that of the line before"(lab) {
    const ahead = lab.store.now() + hourMs;
    const run = await lab.drive(await lab.worker(), {}, { events: [lineOf(1, { at: 5 }), lineOf(2, { at: ahead })] });
    expectStatus(await lab.do(terminateOf({ runId: run.runId })), "terminated");
    assert.deepEqual((await lab.look(run)).last?.at, ahead);
  },

  async "a run that nobody has begun is ended with its first line"(lab) {
    const run = await lab.start({}, { dueAt: lab.store.now() + hourMs });
    expectStatus(await lab.do(terminateOf({ chainOf: run.runId }, { payload: null })), "terminated");
    const { run: record, history, unread } = await lab.look(run);
    assert.deepEqual([record.status, record.dueAt, record.epoch, history.length], ["terminated", null, 0, 1]);
    assert.deepEqual([history[0]?.seq, history[0]?.payload, unread.map(({ kind }) => kind)], [1, null, ["start"]]);
    assert.deepEqual(await lab.store.claimRuns({ worker: await lab.worker(), routes: ["order"], limit: 1, suspects: 1 }), {
      runs: [],
      nextDueAt: null,
    });
  },

  async "whoever drove it is fenced: no turn, no claim, no append, no outcome gets through"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const task = await lab.claimOnlyTask(worker);
    expectStatus(await lab.do(terminateOf({ runId: run.runId })), "terminated");
    await lab.assertUntouched([run], async () => {
      for (const lastSeq of [1, 2]) {
        for (const epoch of [1, 2]) {
          expectStatus(await lab.do(turnOf({ ...run, lastSeq, epoch }, driving)), "fenced");
          expectStatus(await lab.do(turnOf({ ...run, lastSeq, epoch }, completed)), "fenced");
        }
      }
      expectStatus(await lab.do(turnOf(run, continued(sampleRun({ workflowId: run.workflowId, runId: "next" })))), "fenced");
      assert.equal(await lab.store.reclaimRun({ worker, key: run.key, epoch: 1 }), null);
      await lab.store.release({ worker, runs: [run.key], tasks: [task.key] });
      expectStatus(await lab.do(appendOf({ run: run.key, epoch: 1 }, [chunkOf("1", 1, "1")])), "fenced");
      expectStatus(await lab.do(appendOf({ task: task.key, epoch: task.epoch }, [chunkOf("1", 1, "1")])), "fenced");
      expectStatus(await lab.do(touchOf(task)), "gone");
      expectStatus(await lab.do(finishOf(task)), "gone");
    });
    assert.deepEqual(await lab.store.findRuns([{ runId: "next" }]), [null]);
  },

  async "its tasks go, queued or claimed, and those of its termination come; no others are touched"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { name: "claimed" }), taskOf(2), taskOf(3)] });
    const other = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    await lab.claimOnlyTask(worker, ["claimed"]);
    const tasks = [taskOf(2, { name: "left", input: '"left behind"' }), taskOf(9, { name: "left" })];
    expectStatus(await lab.do(terminateOf({ runId: run.runId }, { tasks })), "terminated");
    assert.equal((await lab.claimOnlyTask(worker)).runId, other.runId);
    const { tasks: left } = await lab.store.claimTasks({ worker, routes: ["left", "claimed"], limit: 10 });
    const byCommand = left.toSorted((a, b) => a.command - b.command);
    assert.deepEqual(
      byCommand.map(({ command, input, runId }) => [command, input, runId]),
      [
        [2, '"left behind"', run.runId],
        [9, '{"command":9}', run.runId],
      ],
    );
    for (const task of left) expectStatus(await lab.do(finishOf(task, { kind: "done" })), "finished");
  },

  async "its unread mail stays readable, and nothing more is taken in"(lab) {
    const run = await lab.drive(await lab.worker());
    for (const key of ["a", "b"]) expectStatus(await lab.do(sendOf({ runId: run.runId }, key)), "sent");
    expectStatus(await lab.do(turnOf(run, driving, { consumed: [1], inboxSeen: 2 })), "committed");
    expectStatus(await lab.do(sendOf({ runId: run.runId }, "c")), "sent");
    expectStatus(await lab.do(terminateOf({ runId: run.runId })), "terminated");
    await lab.assertUntouched([run], async () => {
      for (const key of ["a", "b", "d"]) expectStatus(await lab.do(sendOf({ runId: run.runId }, key)), "not_running");
    });
    const { run: record, unread } = await lab.look(run);
    assert.deepEqual([record.inboxCount, record.inboxUnread, unread.map(({ position }) => position)], [3, 2, [2, 3]]);
  },

  async "a parked run is ended like another, and is parked no more"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { next: parked(lab.store.now() + hourMs), events: [] });
    expectStatus(await lab.do(terminateOf({ runId: run.runId })), "terminated");
    const { run: record } = await lab.look(run);
    assert.deepEqual([record.status, record.parkReason, record.dueAt, record.lastSeq], ["terminated", null, null, 1]);
    await lab.assertUntouched([run], async () => {
      assert.equal(await lab.store.retryParked(["order"]), 0);
      expectStatus(await lab.do({ type: "resume", target: { runId: run.runId } }), "not_parked");
    });
    assert.deepEqual(await lab.store.listRuns({ status: "parked", limit: 10 }), []);
  },

  async "what has ended is not ended again, and what never was is not found"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const done = await lab.drive(worker, {}, { next: completed });
    const first = terminateOf({ runId: run.runId });
    expectStatus(await lab.do(first), "terminated");
    await lab.assertUntouched([run, done], async () => {
      expectStatus(await lab.do({ ...first, termination: { ...first.termination, tasks: [taskOf(1)] } }), "not_running");
      expectStatus(await lab.do(terminateOf({ workflowId: done.workflowId }, { tasks: [taskOf(1)] })), "not_running");
    });
    for (const target of [{ workflowId: "none" }, { runId: run.workflowId }, { chainOf: "none" }]) {
      expectStatus(await lab.do(terminateOf(target, { tasks: [taskOf(1)] })), "not_found");
    }
    assert.deepEqual((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 })).tasks, []);
  },

  async "of a chain, the run that is meant is ended, and no earlier one"(lab) {
    const run = await lab.drive(await lab.worker());
    const goesOn = turnOf(run, continued(sampleRun({ workflowId: run.workflowId, runId: "second" })));
    expectStatus(await lab.do(goesOn), "committed");
    await lab.assertUntouched([run, { runId: "second" }], async () => {
      expectStatus(await lab.do(terminateOf({ runId: run.runId })), "not_running");
    });
    await lab.assertUntouched([run], async () => {
      assert.equal(expectStatus(await lab.do(terminateOf({ chainOf: run.runId })), "terminated").runId, "second");
    });
    expectStatus(await lab.do(terminateOf({ workflowId: run.workflowId })), "not_running");
  },

  async "within one batch, what comes before the end by force is written, and what comes after is not"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { tasks: [taskOf(1)] });
    const target = { runId: run.runId };
    const turn = turnOf(run, driving, { tasks: [taskOf(2)] });
    const outcomes = await lab.store.apply([
      sendOf(target, "a"),
      turn,
      terminateOf(target),
      turnOf(afterTurn(run, turn, run), driving),
      sendOf(target, "b"),
      terminateOf(target),
      { type: "resume", target },
      { type: "finish_task", task: { ...target, command: 1, attempt: 1 }, kind: "activity_completed", payload: "1", claimFor: null },
      startOf(sampleRun({ workflowId: run.workflowId, runId: "another" }), { reuse: "after_failure" }),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      "sent committed terminated fenced not_running not_running not_parked gone started".split(" "),
    );
    const { run: record, history } = await lab.look(run);
    assert.deepEqual([record.lastSeq, history.map(({ seq }) => seq), record.inboxUnread], [3, [1, 2, 3], 1]);
  },

  async "ended by force several times at once, a run ends once, whatever its driver does meanwhile"(lab) {
    const worker = await lab.worker();
    for (let round = 0; round < 5; round += 1) {
      const run = await lab.drive(worker);
      const outcomes = await race<{ readonly status: string }>(lab, 6, (store, index) =>
        index === 0
          ? lab.do(turnOf(run, round % 2 === 0 ? completed : idle()), store)
          : lab.do(terminateOf({ runId: run.runId }, { payload: `"${index}"` }), store),
      );
      const { run: record, history, last } = await lab.look(run);
      const turns = countOf(outcomes, "committed");
      const isCompleted = turns === 1 && round % 2 === 0;
      assert.equal(countOf(outcomes, "terminated"), isCompleted ? 0 : 1);
      assert.equal(record.status, isCompleted ? "completed" : "terminated");
      assert.deepEqual(
        history.map(({ seq }) => seq),
        Array.from({ length: record.lastSeq }, (_, index) => index + 1),
      );
      assert.equal(record.lastSeq, 1 + turns + (isCompleted ? 0 : 1));
      if (!isCompleted) assert.equal(last?.payload, `text "${outcomes.findIndex(({ status }) => status === "terminated")}"`);
    }
  },
};
