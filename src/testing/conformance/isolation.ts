import assert from "node:assert/strict";
import { StoreFailure } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import {
  appendOf,
  chunkOf,
  completed,
  continued,
  driving,
  finishOf,
  lineOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  terminateOf,
  touchOf,
  turnOf,
} from "./samples.js";

export const isolation: Checks = {
  async "an empty batch is no trouble"(lab) {
    assert.deepEqual(await lab.store.apply([]), []);
  },

  async "refused members of a batch neither hurt nor touch the others"(lab) {
    const worker = await lab.worker();
    const [good, stale, unseen] = [await lab.drive(worker, {}, { tasks: [taskOf(1)] }), await lab.drive(worker), await lab.drive(worker)];
    const ended = await lab.drive(worker, {}, { next: completed });
    expectStatus(await lab.do(sendOf(unseen, "k")), "sent");
    const task = await lab.claimOnlyTask(worker);
    let outcomes: readonly { readonly status: string }[] = [];
    await lab.assertUntouched([stale, unseen, ended], async () => {
      outcomes = await lab.store.apply([
        turnOf({ ...stale, epoch: 0 }, driving),
        startOf(sampleRun({ workflowId: stale.workflowId, runId: "another" })),
        startOf(sampleRun({ workflowId: "new", runId: "new run" })),
        turnOf({ ...stale, lastSeq: 7 }, driving),
        sendOf(ended, "k"),
        turnOf(good, driving),
        sendOf({ workflowId: "none" }, "k"),
        sendOf(unseen, "k"),
        turnOf(unseen, completed, { inboxSeen: 0 }),
        finishOf({ ...task, epoch: task.epoch + 1 }),
        finishOf(task),
        finishOf(task),
        { type: "resume", target: stale },
        sendOf(good, "k"),
      ]);
    });
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      "fenced exists started fenced not_running committed not_found duplicate unseen_inbox gone finished gone not_parked sent".split(" "),
    );
    const { run, unread } = await lab.look(good);
    assert.deepEqual([run.lastSeq, unread.map(({ kind }) => kind)], [2, ["activity_completed", "message"]]);
    assert.equal((await lab.look({ runId: "new run" })).run.status, "running");
  },

  async "refused members of every kind leave no trace of their own, and the others count"(lab) {
    const worker = await lab.worker();
    const [good, stale] = [await lab.drive(worker, {}, { tasks: [taskOf(1), taskOf(2)] }), await lab.drive(worker)];
    const { tasks } = await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 });
    const [first, second] = tasks.toSorted((a, b) => a.command - b.command);
    assert.ok(first && second);
    const shelf = { entries: [{ name: "e", payload: "1" }], attributes: [{ name: "a", value: "1" }], chunks: [chunkOf("", 0, "own")] };
    const wrong = { ...stale, epoch: 0 };
    let outcomes: readonly { readonly status: string }[] = [];
    await lab.assertUntouched([stale], async () => {
      outcomes = await lab.store.apply([
        turnOf(wrong, continued(sampleRun({ workflowId: stale.workflowId, runId: "never" })), { ...shelf, tasks: [taskOf(7)] }),
        appendOf({ run: stale.key, epoch: 0 }, [chunkOf("1", 1, "never")]),
        touchOf(first, { details: '"half"' }),
        touchOf({ ...first, epoch: 0 }, { details: '"never"', detach: true }),
        turnOf(good, driving, { ...shelf, cancelledTasks: [1] }),
        appendOf({ run: good.key, epoch: 1 }, [chunkOf("1", 1, "appended")]),
        touchOf(first),
        finishOf(second, { kind: "done" }),
        touchOf(second),
        terminateOf({ runId: "none" }, { tasks: [taskOf(8)] }),
        startOf(sampleRun({ workflowId: stale.workflowId, runId: "another" }), { reuse: "always", attributes: shelf.attributes }),
        finishOf(first, { task: { runId: good.runId, command: 1, attempt: 2 } }),
        finishOf(first, { task: { runId: good.runId, command: 1, attempt: 1 } }),
        appendOf({ task: first.key, epoch: first.epoch }, [chunkOf("2", 1, "never")]),
        terminateOf({ runId: good.runId }),
        appendOf({ run: good.key, epoch: 1 }, [chunkOf("1", 2, "never")]),
      ]);
    });
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      "fenced fenced touched gone committed appended touched finished gone not_found exists gone finished fenced terminated fenced".split(
        " ",
      ),
    );
    assert.deepEqual(outcomes[6], { status: "touched", cancelRequested: true });
    const [ofGood, ofStale] = await Promise.all(
      [good, stale].map(async ({ runId }) => lab.store.readChunks({ target: { runId }, stream: "log", from: 0, limit: 10 })),
    );
    assert.deepEqual(
      [ofGood?.chunks.map(({ offset, payload }) => [offset, payload]), ofStale?.chunks],
      [
        [
          [0, "own"],
          [1, "appended"],
        ],
        [],
      ],
    );
    assert.deepEqual(await lab.store.readEntries({ target: { runId: stale.runId }, names: ["e"] }), [null]);
    assert.deepEqual(await lab.store.findRuns([{ runId: "never" }, { runId: "another" }]), [null, null]);
    const { run, unread } = await lab.look(good);
    assert.deepEqual([run.status, run.lastSeq, unread.map(({ command }) => command)], ["terminated", 3, [1]]);
    assert.deepEqual((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 })).tasks, []);
  },

  async "what is no transaction of this store is refused, and nothing is written"(lab) {
    for (const transaction of [{}, null, undefined, "begin", lab.store]) {
      await assert.rejects(
        lab.store.applyWithin(transaction, [startOf(sampleRun({ workflowId: "w" }))]),
        (failure) => failure instanceof PerdureError && failure.code === "invalid_argument",
      );
    }
    assert.deepEqual(await lab.store.listRuns({ limit: 10 }), []);
  },

  async "outcomes stand at the index of their operations, however many there are"(lab) {
    const operations = Array.from({ length: 500 }, (_, index) => startOf(sampleRun({ workflowId: `w${index % 400}`, runId: `r${index}` })));
    const outcomes = await lab.store.apply(operations);
    assert.equal(outcomes.length, 500);
    for (const [index, outcome] of outcomes.entries()) {
      if (index < 400) assert.equal((await lab.look({ runId: `r${index}` })).run.key, expectStatus(outcome, "started").key);
      else assert.equal(expectStatus(outcome, "exists").run.workflowId, `w${index - 400}`);
    }
  },

  async "a batch that is refused as a whole has written nothing, and the store goes on"(lab) {
    const worker = await lab.worker();
    const [run, other] = [await lab.drive(worker), await lab.drive(worker)];
    const before = await Promise.all([run, other].map(lab.look));
    // Lines that repeat a number are a bug of the caller: a store may call the turn fenced, or refuse the batch.
    const malformed = turnOf(run, driving, { events: [lineOf(2), lineOf(2)] });
    try {
      const [sent, turn] = await lab.store.apply([sendOf(other, "k"), malformed]);
      expectStatus(turn, "fenced");
      assert.deepEqual([await lab.look(run), expectStatus(sent, "sent").position], [before[0], 1]);
    } catch (failure) {
      const isRefusal = failure instanceof StoreFailure && failure.outcome === "none" && !failure.transient;
      assert.ok(isRefusal, `expected a lasting StoreFailure that wrote nothing: ${String(failure)}`);
      assert.deepEqual(await Promise.all([run, other].map(lab.look)), before);
    }
    expectStatus(await lab.do(turnOf(run, driving)), "committed");
    expectStatus(await lab.do(sendOf(other, "another")), "sent");
  },
};
