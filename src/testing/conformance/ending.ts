import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { afterTurn, completed, driving, lineOf, sendOf, taskOf, turnOf } from "./samples.js";

export const ending: Checks = {
  async "the end is refused while the inbox holds something unseen, and touches nothing"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    expectStatus(await lab.do(sendOf(run, "a")), "sent");
    expectStatus(await lab.do(sendOf(run, "b")), "sent");
    await lab.assertUntouched([run], async () => {
      for (const inboxSeen of [0, 1]) {
        const outcome = await lab.do(turnOf(run, completed, { inboxSeen, consumed: [1], tasks: [taskOf(1)] }));
        assert.equal(expectStatus(outcome, "unseen_inbox").inboxCount, 2);
      }
    });
    assert.deepEqual((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 })).tasks, []);
    expectStatus(await lab.do(turnOf(run, completed, { inboxSeen: 2 })), "committed");
  },

  async "a driver goes on after a refused end"(lab) {
    const run = await lab.drive(await lab.worker());
    expectStatus(await lab.do(sendOf(run, "a")), "sent");
    expectStatus(await lab.do(turnOf(run, completed, { inboxSeen: 0 })), "unseen_inbox");
    const turn = turnOf(run, driving, { inboxSeen: 1, consumed: [1] });
    const outcome = expectStatus(await lab.do(turn), "committed");
    expectStatus(await lab.do(turnOf(afterTurn(run, turn, outcome), completed)), "committed");
    const { run: record, history } = await lab.look(run);
    assert.deepEqual([record.status, record.inboxUnread, history.length], ["completed", 0, 3]);
  },

  async "a fenced end stays fenced, whatever the inbox holds"(lab) {
    const run = await lab.drive(await lab.worker());
    expectStatus(await lab.do(sendOf(run, "a")), "sent");
    expectStatus(await lab.do(turnOf({ ...run, epoch: 0 }, completed, { inboxSeen: 0 })), "fenced");
  },

  async "what was seen and never taken stays readable after the end"(lab) {
    const run = await lab.drive(await lab.worker());
    for (const key of ["a", "b", "c"]) expectStatus(await lab.do(sendOf(run, key)), "sent");
    expectStatus(await lab.do(turnOf(run, completed, { inboxSeen: 3, consumed: [2], events: [lineOf(2), lineOf(3)] })), "committed");
    const { run: record, unread } = await lab.look(run);
    assert.deepEqual([record.inboxCount, record.inboxUnread], [3, 2]);
    assert.deepEqual(
      unread.map(({ position, payload }) => [position, payload]),
      [
        [1, 'text "a"'],
        [3, 'text "c"'],
      ],
    );
  },

  async "the end takes the run's tasks away, queued or claimed, and no others"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { name: "claimed" }), taskOf(2)] });
    const other = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const claimed = await lab.claimOnlyTask(worker, ["claimed"]);
    expectStatus(await lab.do(turnOf(run, completed)), "committed");
    assert.equal((await lab.claimOnlyTask(worker)).runId, other.runId);
    expectStatus(
      await lab.do({
        type: "finish_task",
        task: claimed,
        kind: "activity_completed",
        payload: "1",
        claimFor: null,
      }),
      "gone",
    );
    assert.equal((await lab.look(run)).run.inboxCount, 0);
  },
};
