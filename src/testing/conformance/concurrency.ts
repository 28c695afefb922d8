import assert from "node:assert/strict";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { renew } from "./renew.js";
import { countOf, race } from "./race.js";
import { completed, driving, finishOf, hourMs, lineOf, messageOf, sampleRun, sendOf, startOf, taskOf, turnOf } from "./samples.js";

export const concurrency: Checks = {
  async "what one store commits, another reads"(lab) {
    const second = await lab.open();
    const run = await lab.start();
    assert.equal((await second.findRuns([run]))[0]?.run.key, run.key);
    const worker = await lab.worker({ store: second });
    const { runs } = await second.claimRuns({ worker, routes: ["order"], limit: 1, suspects: 0 });
    assert.equal(runs.length, 1);
    assert.deepEqual(await lab.claimAll(await lab.worker()), []);
  },

  async "twenty starts of one workflow id at once make one run, which all are told of"(lab) {
    const outcomes = await race(lab, 20, (store, index) => lab.do(startOf(sampleRun({ workflowId: "w", runId: `r${index}` })), store));
    assert.equal(countOf(outcomes, "started"), 1);
    assert.equal(countOf(outcomes, "exists"), 19);
    assert.equal(new Set(outcomes.map((outcome) => (outcome.status === "started" ? outcome.key : outcome.run.key))).size, 1);
    assert.equal((await lab.store.listRuns({ limit: 100 })).length, 1);
  },

  async "claims at once give no run to two workers, and none is left"(lab) {
    const started = await Promise.all(Array.from({ length: 40 }, () => lab.start()));
    const claimed: string[] = [];
    await race(lab, 8, async (store) => {
      const worker = await lab.worker({ store });
      for (;;) {
        const { runs } = await store.claimRuns({ worker, routes: ["order"], limit: 3, suspects: 0 });
        claimed.push(...runs.map(({ runId }) => runId));
        // Rows that another transaction holds may be passed over: only an empty table means the end.
        if (runs.length === 0 && claimed.length >= started.length) return;
        if (runs.length === 0) await lab.until(store.now() + 1);
      }
    });
    assert.deepEqual(claimed.toSorted(), started.map(({ runId }) => runId).toSorted());
  },

  async "of several turns that continue the same line at once, one is committed"(lab) {
    const run = await lab.drive(await lab.worker());
    const outcomes = await race(lab, 8, (store, index) =>
      lab.do(turnOf(run, driving, { events: [lineOf(2, { payload: `"${index}"` })] }), store),
    );
    assert.deepEqual([countOf(outcomes, "committed"), countOf(outcomes, "fenced")], [1, 7]);
    const winner = outcomes.findIndex(({ status }) => status === "committed");
    const { history } = await lab.look(run);
    assert.deepEqual(
      history.slice(1).map(({ seq, payload }) => [seq, payload]),
      [[2, `text "${winner}"`]],
    );
  },

  async "a re-claim and a turn at once: whichever comes second knows of the first"(lab) {
    const worker = await lab.worker();
    const second = await lab.open();
    for (let round = 0; round < 10; round += 1) {
      const run = await lab.drive(worker);
      const [outcome, reclaimed] = await Promise.all([
        lab.do(turnOf(run, driving)),
        second.reclaimRun({ worker, key: run.key, epoch: run.epoch }),
      ]);
      assert.equal(reclaimed?.lastSeq, outcome.status === "committed" ? 2 : 1);
      assert.equal((await lab.look(run)).run.lastSeq, reclaimed.lastSeq);
    }
  },

  async "senders at once share the positions out without gap, each sender's in order"(lab) {
    const run = await lab.drive(await lab.worker());
    const senders = 6;
    const each = 5;
    const positions = await race(lab, senders, async (store, sender) => {
      const mine: number[] = [];
      for (let count = 0; count < each; count += 1) {
        mine.push(expectStatus(await lab.do(sendOf(run, `${sender}/${count}`, { item: messageOf(`"${count}"`) }), store), "sent").position);
      }
      return mine;
    });
    for (const mine of positions)
      assert.deepEqual(
        mine,
        mine.toSorted((a, b) => a - b),
      );
    const expected = Array.from({ length: senders * each }, (_, index) => index + 1);
    assert.deepEqual(
      positions.flat().toSorted((a, b) => a - b),
      expected,
    );
    assert.deepEqual(
      (await lab.look(run)).unread.map(({ position }) => position),
      expected,
    );
  },

  async "sends with one dedupe key at once put in one item"(lab) {
    const run = await lab.drive(await lab.worker());
    const outcomes = await race(lab, 10, (store) => lab.do(sendOf(run, "k"), store));
    assert.deepEqual([countOf(outcomes, "sent"), countOf(outcomes, "duplicate")], [1, 9]);
    assert.equal((await lab.look(run)).run.inboxCount, 1);
  },

  async "a message that arrives while its run ends is refused or seen first, never lost"(lab) {
    const worker = await lab.worker();
    const second = await lab.open();
    for (let round = 0; round < 20; round += 1) {
      const run = await lab.drive(worker);
      const end = (): Promise<{ readonly status: string }> => lab.do(turnOf(run, completed, { inboxSeen: 0 }));
      const send = (): Promise<{ readonly status: string }> => lab.do(sendOf(run, "k"), second);
      const [first, last] = round % 2 === 0 ? [end, send] : [send, end];
      const statuses = (await Promise.all([first(), last()])).map(({ status }) => status).toSorted();
      const allowed = [
        ["committed", "not_running"],
        ["sent", "unseen_inbox"],
      ];
      assert.ok(
        allowed.some((pair) => pair.join() === statuses.join()),
        `ended and sent came out as ${statuses.join(" and ")}`,
      );
    }
  },

  async "a task that is finished several times at once has one outcome"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1)] });
    const task = await lab.claimOnlyTask(worker);
    const outcomes = await race(lab, 6, (store) => lab.do(finishOf(task), store));
    assert.deepEqual([countOf(outcomes, "finished"), countOf(outcomes, "gone")], [1, 5]);
    assert.equal((await lab.look(run)).run.inboxCount, 1);
  },

  async "several recoverers at once charge one crash"(lab) {
    const run = await lab.start();
    const dying = await lab.worker();
    await lab.claimOnly(dying);
    await lab.endLease(dying);
    const recovered = await race(lab, 6, (store) => store.recover(null));
    assert.equal(
      recovered.reduce((sum, { runs }) => sum + runs, 0),
      1,
    );
    const { run: record } = await lab.look(run);
    assert.deepEqual([record.crashCount, record.ownerId], [1, null]);
  },

  async "a lease can be renewed while commits go on"(lab) {
    const worker = await lab.worker();
    const results = await race(lab, 20, async (store, index) =>
      index % 2 === 0
        ? renew(store, worker, hourMs)
        : expectStatus(await lab.do(startOf(sampleRun({ workflowId: `w${index}` })), store), "started"),
    );
    assert.ok(results.every(Boolean));
  },
};
