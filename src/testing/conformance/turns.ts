import assert from "node:assert/strict";
import type { EndedStatus } from "../../backend/index.js";
import { assertSameLines, expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { afterTurn, completed, driving, hourMs, idle, lineOf, sendOf, turnOf } from "./samples.js";

export const turns: Checks = {
  async "a turn appends its lines, which come back as they were written"(lab) {
    const run = await lab.drive(await lab.worker());
    const lines = [
      lineOf(2, { payload: null }),
      lineOf(3, { payload: "" }),
      lineOf(4, { payload: new Uint8Array([0, 255, 10]) }),
      lineOf(5, { at: 1_800_000_000_123, event: '{"kind":"timer_fired","command":3,"commands":[["step","ä"]]}' }),
    ];
    const outcome = expectStatus(await lab.do(turnOf(run, driving, { events: lines })), "committed");
    assert.deepEqual([outcome.owned, outcome.inboxCount], [true, 0]);
    assertSameLines(await lab.store.loadHistory({ key: run.key, fromSeq: 2, limit: 100 }), lines);
    assert.equal((await lab.look(run)).run.lastSeq, 5);
  },

  async "a history is read in pieces, in order"(lab) {
    const worker = await lab.worker();
    const events = Array.from({ length: 25 }, (_, index) => lineOf(index + 1));
    const run = await lab.drive(worker, {}, { events });
    await lab.drive(worker, {}, { events: events.slice(0, 3) });
    const read = async (fromSeq: number, limit: number): Promise<readonly number[]> =>
      (await lab.store.loadHistory({ key: run.key, fromSeq, limit })).map(({ seq }) => seq);
    assert.deepEqual(await read(1, 4), [1, 2, 3, 4]);
    assert.deepEqual(await read(23, 10), [23, 24, 25]);
    assert.deepEqual(await read(26, 10), []);
    assert.deepEqual(await lab.store.loadHistory({ key: run.key + 1_000_000, fromSeq: 1, limit: 10 }), []);
  },

  async "turns of one run in one batch follow one another"(lab) {
    const run = await lab.drive(await lab.worker());
    const first = turnOf(run, driving);
    const second = turnOf(afterTurn(run, first, { inboxCount: 0 }), idle(1));
    const outcomes = await lab.store.apply([first, second]);
    assert.deepEqual([expectStatus(outcomes[0], "committed").owned, expectStatus(outcomes[1], "committed").owned], [true, false]);
    assert.deepEqual(
      (await lab.look(run)).history.map(({ seq }) => seq),
      [1, 2, 3],
    );
  },

  async "a turn may carry no line at all"(lab) {
    const run = await lab.drive(await lab.worker());
    expectStatus(await lab.do(turnOf(run, idle(), { events: [] })), "committed");
    const { run: record } = await lab.look(run);
    assert.deepEqual([record.lastSeq, record.ownerId, record.dueAt], [1, null, null]);
  },

  async "a run that goes idle is given up until its time"(lab) {
    const worker = await lab.worker();
    const later = lab.store.now() + hourMs;
    const sleeper = await lab.drive(worker);
    assert.equal(expectStatus(await lab.do(turnOf(sleeper, idle(later))), "committed").owned, false);
    const { run } = await lab.look(sleeper);
    assert.deepEqual([run.ownerId, run.dueAt, run.status], [null, later, "running"]);
    assert.deepEqual(await lab.claimAll(worker), []);
    assert.deepEqual((await lab.store.inspectOwned(worker)).runs, []);
  },

  async "a run that goes idle while something unseen has arrived is kept"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    expectStatus(await lab.do(sendOf(run, "k")), "sent");
    const turn = turnOf(run, idle(lab.store.now() + hourMs), { inboxSeen: 0 });
    const outcome = expectStatus(await lab.do(turn), "committed");
    assert.deepEqual([outcome.owned, outcome.inboxCount], [true, 1]);
    assert.deepEqual(await lab.claimAll(await lab.worker()), [], "it is still driven");
    const seen = turnOf(afterTurn(run, turn, outcome), idle());
    assert.equal(expectStatus(await lab.do(seen), "committed").owned, false, "once the item was seen, unread or not, the run is given up");
  },

  async "a run ends with each of the ended statuses"(lab) {
    const worker = await lab.worker();
    for (const status of ["completed", "failed", "cancelled", "terminated"] satisfies EndedStatus[]) {
      const run = await lab.drive(worker);
      const outcome = expectStatus(
        await lab.do(turnOf(run, { state: "ended", status }, { events: [lineOf(2, { payload: '"end"' })] })),
        "committed",
      );
      assert.equal(outcome.owned, false);
      const { run: record, last } = await lab.look(run);
      assert.deepEqual([record.status, record.ownerId, record.dueAt, last?.seq, last?.payload], [status, null, null, 2, 'text "end"']);
      assert.ok(record.endedAt !== null && record.endedAt >= record.createdAt);
    }
    assert.deepEqual(await lab.claimAll(worker), []);
  },

  async "an open run has no last line to show"(lab) {
    const worker = await lab.worker();
    const open = await lab.drive(worker);
    const ended = await lab.drive(worker, {}, { next: completed });
    const found = await lab.store.findRuns([{ runId: ended.runId }, { runId: "none" }, { runId: open.runId }]);
    assert.deepEqual(
      found.map((outcome) => outcome && outcome.last?.seq),
      [1, null, undefined],
    );
  },
};
