import assert from "node:assert/strict";
import type { ClaimedRun, Effects, NewRun } from "../../backend/index.js";
import { StoreFailure } from "../../backend/index.js";
import { expectStatus } from "./assertions.js";
import type { Checks, HeldRun, Lab } from "./lab.js";
import { only } from "./lab.js";
import {
  afterTurn,
  cancelItem,
  completed,
  continued,
  driving,
  effectsOf,
  finishOf,
  hourMs,
  idle,
  lineOf,
  messageOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  turnOf,
} from "./samples.js";

const next = (run: HeldRun, overrides: Partial<NewRun> = {}): NewRun =>
  sampleRun({ workflowId: run.workflowId, runId: `${run.runId}+`, ...overrides });

/** Lets the chain go on at once, with the worker that drives it. */
async function goOn(lab: Lab, run: HeldRun, effects: Partial<Effects> = {}, overrides: Partial<NewRun> = {}): Promise<ClaimedRun> {
  const outcome = expectStatus(await lab.do(turnOf(run, continued(next(run, overrides)), effects)), "committed");
  assert.equal(outcome.owned, false, "the run that went on is over");
  assert.ok(outcome.continued, "the worker of the turn drives the next run");
  return outcome.continued;
}

export const chains: Checks = {
  async "a run that goes on ends, and the next of its id belongs to the same worker at epoch 1"(lab) {
    const workerId = lab.id();
    const { worker } = await lab.store.registerWorker({ workerId, leaseMs: hourMs });
    const old = await lab.drive(worker, { name: "before", version: "v1" });
    const overrides = { name: "after", route: "there", version: null, engineVersion: 2, deadlineAt: 9_000_000_000_000, options: "{}" };
    const claimed = await goOn(lab, old, {}, { ...overrides, parentRunId: "parent" });
    const { run, history, unread } = await lab.look(claimed);
    assert.deepEqual(claimed, {
      ...overrides,
      key: run.key,
      workflowId: old.workflowId,
      runId: `${old.runId}+`,
      status: "running",
      createdAt: run.createdAt,
      epoch: 1,
      lastSeq: 0,
      inboxCount: 1,
      crashCount: 0,
      parkCount: 0,
      parentRunId: "parent",
    });
    assert.deepEqual([run.status, run.ownerId, run.epoch, run.dueAt, run.endedAt], ["running", workerId, 1, null, null]);
    assert.deepEqual([history, unread.map(({ kind, payload }) => [kind, payload])], [[], [["start", 'text "goes on"']]]);
    assert.deepEqual((await lab.store.inspectOwned(worker)).runs, [{ key: claimed.key, inboxCount: 1, inboxSeen: 0 }]);
    expectStatus(await lab.do(turnOf(claimed, driving, { consumed: [1] })), "committed");

    const before = await lab.look(old);
    assert.deepEqual([before.run.status, before.run.ownerId, before.run.dueAt, before.last?.seq], ["continued", null, null, 2]);
    assert.ok(before.run.endedAt !== null && before.run.endedAt <= run.createdAt);
  },

  async "the newest of a chain is what its workflow id, and every run of it, leads to"(lab) {
    const first = await lab.drive(await lab.worker());
    const other = await lab.drive(await lab.worker());
    const second = await goOn(lab, first);
    const third = await goOn(lab, second);
    const found = await lab.store.findRuns([
      { workflowId: first.workflowId },
      { chainOf: first.runId },
      { chainOf: second.runId },
      { chainOf: third.runId },
      { runId: first.runId },
      { runId: second.runId },
      { chainOf: other.runId },
      { chainOf: "none" },
      { chainOf: first.workflowId },
    ]);
    assert.deepEqual(
      found.map((outcome) => outcome?.run.runId ?? null),
      [third.runId, third.runId, third.runId, third.runId, first.runId, second.runId, other.runId, null, null],
    );
    assert.deepEqual(
      (await lab.store.listRuns({ limit: 10 })).map(({ runId, status }) => [runId, status]),
      [
        [third.runId, "running"],
        [second.runId, "continued"],
        [other.runId, "running"],
        [first.runId, "continued"],
      ],
    );
    assert.deepEqual(expectStatus(await lab.do(startOf(next(first, { runId: "x" }))), "exists").run.runId, third.runId);
  },

  async "what nobody has read stays for the next run, before its input, and outcomes of commands are dropped"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    for (const key of ["a", "b"]) expectStatus(await lab.do(sendOf(run, key)), "sent");
    expectStatus(await lab.do(finishOf(await lab.claimOnlyTask(worker))), "finished");
    expectStatus(await lab.do(sendOf(run, "c", { item: cancelItem })), "sent");
    expectStatus(await lab.do(sendOf(run, "d", { item: { ...messageOf("1"), command: 2, attempt: 1 } })), "sent");
    expectStatus(await lab.do(sendOf(run, "e", { item: { ...messageOf("2"), kind: "update", options: "{}" } })), "sent");
    // The driver has seen nothing of all that: going on is no end that messages could get lost in.
    const claimed = await goOn(lab, run, { inboxSeen: 0, consumed: [1] });
    assert.equal(claimed.inboxCount, 7);
    const { run: record, unread } = await lab.look(claimed);
    assert.deepEqual([record.inboxCount, record.inboxUnread], [7, 4]);
    assert.deepEqual(
      unread.map(({ position, kind, payload }) => [position, kind, payload]),
      [
        [2, "message", 'text "b"'],
        [4, "cancel", 'text "enough"'],
        [6, "update", "text 2"],
        [7, "start", 'text "goes on"'],
      ],
    );
    for (const key of ["a", "b", "c", "d", "e"]) expectStatus(await lab.do(sendOf({ chainOf: run.runId }, key)), "duplicate");
    assert.equal(expectStatus(await lab.do(sendOf({ chainOf: run.runId }, "f")), "sent").position, 8);
    const [above] = await lab.store.loadInboxes([{ key: claimed.key, above: 4 }]);
    assert.deepEqual(
      above?.map(({ position }) => position),
      [6, 7, 8],
    );
  },

  async "the run before keeps its count, and has no inbox any more"(lab) {
    const run = await lab.drive(await lab.worker());
    for (const key of ["a", "b"]) expectStatus(await lab.do(sendOf(run, key)), "sent");
    const turn = turnOf(run, continued(next(run)), { consumed: [1] });
    const outcome = expectStatus(await lab.do(turn), "committed");
    assert.deepEqual([outcome.inboxCount, outcome.continued?.inboxCount], [2, 3]);
    await lab.assertUntouched([run], async () => {
      const { run: record, unread } = await lab.look(run);
      assert.deepEqual([record.inboxCount, record.inboxUnread, unread], [2, 0, []]);
      expectStatus(await lab.do(sendOf({ workflowId: run.workflowId }, "c")), "sent");
      assert.ok(outcome.continued);
      expectStatus(await lab.do(turnOf(outcome.continued, driving, { consumed: [2, 3] })), "committed");
      const ended = turnOf({ ...outcome.continued, lastSeq: 1, inboxCount: 4 }, completed, { consumed: [4] });
      expectStatus(await lab.do(ended), "committed");
    });
  },

  async "dedupe keys hold along the chain, until its last run ends"(lab) {
    const run = await lab.drive(await lab.worker());
    for (const key of ["taken", "unread"]) expectStatus(await lab.do(sendOf(run, key)), "sent");
    const claimed = await goOn(lab, run, { consumed: [1] });
    for (const key of ["taken", "unread"]) {
      for (const target of [{ workflowId: run.workflowId }, { runId: claimed.runId }, { chainOf: run.runId }]) {
        expectStatus(await lab.do(sendOf(target, key)), "duplicate");
      }
    }
    const other = await lab.drive(await lab.worker());
    expectStatus(await lab.do(sendOf(other, "taken")), "sent");
  },

  async "what is sent to a chain reaches its newest run; what means the run before does not"(lab) {
    const run = await lab.drive(await lab.worker());
    const claimed = await goOn(lab, run);
    const reached = expectStatus(await lab.do(sendOf({ chainOf: run.runId }, "a")), "sent");
    assert.deepEqual([reached.key, reached.position], [claimed.key, 2]);
    assert.equal(expectStatus(await lab.do(sendOf({ runId: claimed.runId }, "b")), "sent").key, claimed.key);
    expectStatus(await lab.do(sendOf({ runId: run.runId }, "c")), "not_running");
    expectStatus(await lab.do(sendOf({ chainOf: "none" }, "c")), "not_found");
    expectStatus(await lab.do(turnOf({ ...claimed, inboxCount: 3 }, completed)), "committed");
    expectStatus(await lab.do(sendOf({ chainOf: run.runId }, "d")), "not_running");
  },

  async "a run may go on later: it waits for its time like a delayed start"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const dueAt = lab.store.now() + hourMs;
    const outcome = expectStatus(await lab.do(turnOf(run, continued(next(run), dueAt))), "committed");
    assert.deepEqual([outcome.owned, outcome.continued], [false, null]);
    const { run: record } = await lab.look({ runId: `${run.runId}+` });
    assert.deepEqual([record.status, record.ownerId, record.dueAt, record.epoch], ["running", null, dueAt, 0]);
    expectStatus(await lab.do(sendOf({ chainOf: run.runId }, "a")), "sent");
    assert.deepEqual(await lab.store.claimRuns({ worker, routes: ["order"], limit: 10, suspects: 1 }), { runs: [], nextDueAt: dueAt });
    expectStatus(await lab.do(sendOf({ chainOf: run.runId }, "b", { item: cancelItem })), "sent");
    const claimed = await lab.claimOnly(worker);
    assert.deepEqual([claimed.runId, claimed.epoch, claimed.inboxCount], [`${run.runId}+`, 1, 3]);
  },

  async "a run that goes on at a time that has come is due at once, for everybody"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(worker);
    const outcome = expectStatus(await lab.do(turnOf(run, continued(next(run, { route: "there" }), 1))), "committed");
    assert.equal(outcome.continued, null);
    assert.deepEqual(await lab.claimAll(other), []);
    assert.equal((await lab.claimOnly(other, { routes: ["there"] })).runId, `${run.runId}+`);
  },

  async "a turn that is not the driver's does not let the chain go on"(lab) {
    const run = await lab.drive(await lab.worker());
    await lab.assertUntouched([run], async () => {
      for (const stale of [
        { ...run, epoch: 0 },
        { ...run, epoch: 2 },
        { ...run, lastSeq: 0 },
        { ...run, lastSeq: 2 },
      ])
        expectStatus(await lab.do(turnOf(stale, continued(next(run)), { entries: [{ name: "e", payload: "1" }] })), "fenced");
    });
    assert.deepEqual(await lab.store.findRuns([{ runId: `${run.runId}+` }]), [null]);
    assert.deepEqual(await lab.store.readEntries({ target: run, names: ["e"] }), [null]);
    const turn = turnOf(run, continued(next(run)));
    const { continued: claimed } = expectStatus(await lab.do(turn), "committed");
    assert.ok(claimed);
    await lab.assertUntouched([run, claimed], async () => {
      expectStatus(await lab.do(turn), "fenced");
      expectStatus(await lab.do(turnOf(afterTurn(run, turn, run), driving)), "fenced");
    });
    assert.equal((await lab.store.listRuns({ limit: 10 })).length, 2);
  },

  async "a worker that lost the answer finds the run that went on, and its own claim of it"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const lost = await goOn(lab, run);
    assert.equal(await lab.store.reclaimRun({ worker, key: run.key, epoch: run.epoch }), null);
    assert.equal(only((await lab.store.inspectOwned(worker)).runs).key, lost.key);
    const claimed = await lab.store.reclaimRun({ worker, key: lost.key, epoch: 1 });
    assert.deepEqual([claimed?.runId, claimed?.epoch, claimed?.lastSeq, claimed?.inboxCount], [lost.runId, 2, 0, 1]);
    expectStatus(await lab.do(turnOf(lost, driving)), "fenced");
  },

  async "a crash gives the run that went on to another worker"(lab) {
    const ids: string[] = [];
    await lab.crashWith(async (worker) => {
      const run = await lab.drive(worker);
      ids.push(run.runId, (await goOn(lab, run)).runId);
    });
    const claimed = await lab.claimOnly(await lab.worker());
    assert.deepEqual([claimed.runId, claimed.crashCount], [ids[1], 1]);
    assert.equal((await lab.look({ runId: ids[0] ?? "" })).run.crashCount, 0);
  },

  async "going on takes the tasks of the run away, but for those that it leaves behind"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { name: "claimed" }), taskOf(2)] });
    const task = await lab.claimOnlyTask(worker, ["claimed"]);
    const claimed = await goOn(lab, run, { tasks: [taskOf(3)] });
    const left = await lab.claimOnlyTask(worker);
    assert.deepEqual([left.command, left.runId, left.runKey], [3, run.runId, run.key]);
    expectStatus(await lab.do(finishOf(task)), "gone");
    expectStatus(await lab.do(finishOf(left, { kind: "done" })), "finished");
    assert.equal((await lab.look(claimed)).run.inboxCount, 1, "and none of it reaches the next run");
  },

  async "messages and going on in one batch: what comes before and what comes after is read by the next run"(lab) {
    const run = await lab.drive(await lab.worker());
    const target = { workflowId: run.workflowId };
    const outcomes = await lab.store.apply([
      sendOf(target, "a"),
      turnOf(run, continued(next(run))),
      sendOf(target, "b"),
      sendOf({ chainOf: run.runId }, "a"),
      sendOf({ runId: run.runId }, "c"),
      turnOf(afterTurn(run, turnOf(run, driving), run), driving),
    ]);
    const [before, turn, after, again, old, stale] = outcomes;
    const { continued: claimed } = expectStatus(turn, "committed");
    assert.ok(claimed);
    assert.deepEqual([expectStatus(before, "sent").key, expectStatus(after, "sent").key], [run.key, claimed.key]);
    assert.deepEqual([expectStatus(before, "sent").position, expectStatus(after, "sent").position], [1, 3]);
    assert.deepEqual([again.status, old.status, stale.status], ["duplicate", "not_running", "fenced"]);
    assert.deepEqual(
      (await lab.look(claimed)).unread.map(({ kind }) => kind),
      ["message", "start", "message"],
    );
    assert.equal((await lab.look(run)).run.inboxCount, 1);
  },

  async "a message that arrives while its run goes on is read by the next"(lab) {
    const worker = await lab.worker();
    const second = await lab.open();
    for (let round = 0; round < 20; round += 1) {
      const run = await lab.drive(worker);
      const goesOn = async (): Promise<unknown> => goOn(lab, run, { inboxSeen: 0 });
      const sends = async (): Promise<unknown> => expectStatus(await lab.do(sendOf({ chainOf: run.runId }, "k"), second), "sent");
      await Promise.all(round % 2 === 0 ? [goesOn(), sends()] : [sends(), goesOn()]);
      const { run: record, unread } = await lab.look({ runId: `${run.runId}+` });
      assert.equal(record.inboxCount, 2);
      assert.deepEqual(unread.map(({ kind }) => kind).toSorted(), ["message", "start"]);
    }
  },

  async "a chain may be long"(lab) {
    const worker = await lab.worker();
    const first = await lab.drive(worker);
    let run: HeldRun = first;
    for (let count = 0; count < 50; count += 1) run = await goOn(lab, run, { consumed: count === 0 ? [] : [count] });
    assert.deepEqual([run.inboxCount, (await lab.look(run)).unread.length], [50, 1]);
    const sent = expectStatus(await lab.do(sendOf({ chainOf: first.runId }, "k")), "sent");
    assert.deepEqual([sent.key, sent.position], [run.key, 51]);
    assert.equal((await lab.store.findRuns([{ chainOf: first.runId }]))[0]?.run.runId, run.runId);
  },

  async "a start cannot go on at once, nor can a run without a last line"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const again = next(run, { workflowId: "fresh", runId: "fresh+" });
    const eager = { worker, effects: effectsOf(continued(again), { events: [lineOf(1)] }) };
    await lab.assertUntouched([run], async () => {
      for (const malformed of [startOf(sampleRun({ workflowId: "fresh" }), { eager }), turnOf(run, continued(next(run)), { events: [] })]) {
        await assert.rejects(
          lab.store.apply([malformed]),
          (failure) => failure instanceof StoreFailure && failure.outcome === "none" && !failure.transient,
        );
      }
    });
    assert.deepEqual(await lab.store.findRuns([{ workflowId: "fresh" }, { chainOf: run.runId }]), [
      null,
      (await lab.store.findRuns([run]))[0],
    ]);
  },

  async "a run that goes on idle and parked is like any other"(lab) {
    const worker = await lab.worker();
    const claimed = await goOn(lab, await lab.drive(worker));
    expectStatus(await lab.do(turnOf(claimed, idle(), { consumed: [1] })), "committed");
    const sent = expectStatus(await lab.do(sendOf({ runId: claimed.runId }, "k", { claimFor: { worker, routes: ["order"] } })), "sent");
    assert.deepEqual([sent.claimed?.epoch, sent.claimed?.lastSeq, sent.claimed?.inboxCount], [2, 1, 2]);
  },
};
