import assert from "node:assert/strict";
import type { InboxItem } from "../../backend/index.js";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { afterTurn, cancelItem, completed, driving, hourMs, idle, messageOf, sendOf, turnOf } from "./samples.js";

export const inbox: Checks = {
  async "items take the next positions and come back as they were sent"(lab) {
    const run = await lab.drive(await lab.worker());
    const items: readonly InboxItem[] = [
      messageOf('"a"'),
      messageOf(new Uint8Array([0, 1, 2]), "bytes"),
      cancelItem,
      messageOf(null),
      messageOf(""),
      { kind: "update", name: "raise", command: null, attempt: null, payload: '"u"', options: '{"id":"ä"}' },
      { kind: "activity_failed", name: "", command: 7, attempt: 2, payload: null, options: "{}" },
    ];
    for (const [index, item] of items.entries()) {
      const target = index % 2 === 0 ? { runId: run.runId } : { workflowId: run.workflowId };
      const outcome = expectStatus(await lab.do(sendOf(target, `k${index}`, { item })), "sent");
      assert.deepEqual([outcome.key, outcome.position, outcome.claimed], [run.key, index + 1, null]);
    }
    const { run: record, unread } = await lab.look(run);
    assert.deepEqual([record.inboxCount, record.inboxUnread], [7, 7]);
    const payloads = ['text "a"', "bytes 000102", 'text "enough"', null, "text ", 'text "u"', null];
    assert.deepEqual(
      unread,
      items.map((item, index) => ({ ...item, payload: payloads[index], position: index + 1 })),
    );
  },

  async "inboxes are read above a position, several at once"(lab) {
    const worker = await lab.worker();
    const [a, b, empty] = [await lab.drive(worker), await lab.drive(worker), await lab.drive(worker)];
    for (const key of ["1", "2", "3"]) expectStatus(await lab.do(sendOf(a, key)), "sent");
    expectStatus(await lab.do(sendOf(b, "1")), "sent");
    const inboxes = await lab.store.loadInboxes([
      { key: b.key, above: 0 },
      { key: empty.key, above: 0 },
      { key: a.key, above: 1 },
      { key: b.key, above: 1 },
      { key: 4711, above: 0 },
    ]);
    assert.deepEqual(
      inboxes.map((items) => items.map(({ position }) => position)),
      [[1], [], [2, 3], [], []],
    );
    assert.deepEqual(await lab.store.loadInboxes([]), []);
  },

  async "a second item with the same dedupe key is dropped, also after the first was taken"(lab) {
    const run = await lab.drive(await lab.worker());
    const other = await lab.drive(await lab.worker());
    expectStatus(await lab.do(sendOf(run, "k")), "sent");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(sendOf(run, "k", { item: cancelItem })), "duplicate"));
    expectStatus(await lab.do(turnOf(run, driving, { consumed: [1], inboxSeen: 1 })), "committed");
    await lab.assertUntouched([run], async () => expectStatus(await lab.do(sendOf({ workflowId: run.workflowId }, "k")), "duplicate"));
    assert.equal(expectStatus(await lab.do(sendOf(run, "K")), "sent").position, 2, "a duplicate leaves no gap, and keys differ by case");
    expectStatus(await lab.do(sendOf(other, "k")), "sent");
  },

  async "two sends with one dedupe key in one batch put in one item"(lab) {
    const run = await lab.start();
    const [first, second, third] = await lab.store.apply([sendOf(run, "k"), sendOf(run, "k"), sendOf(run, "l")]);
    assert.equal(expectStatus(first, "sent").position, 2);
    expectStatus(second, "duplicate");
    assert.equal(expectStatus(third, "sent").position, 3);
  },

  async "items that a turn took are gone for readers; places and count stay"(lab) {
    const run = await lab.drive(await lab.worker());
    for (const key of ["1", "2", "3"]) expectStatus(await lab.do(sendOf(run, key)), "sent");
    const turn = turnOf(run, driving, { consumed: [1, 3], inboxSeen: 3 });
    const outcome = expectStatus(await lab.do(turn), "committed");
    assert.equal(outcome.inboxCount, 3);
    const { run: record, unread } = await lab.look(run);
    assert.deepEqual([record.inboxCount, record.inboxUnread, unread.map(({ position }) => position)], [3, 1, [2]]);
    expectStatus(await lab.do(turnOf(afterTurn(run, turn, outcome), driving, { consumed: [2] })), "committed");
    assert.deepEqual((await lab.look(run)).unread, []);
    assert.equal(expectStatus(await lab.do(sendOf(run, "4")), "sent").position, 4);
  },

  async "there is nothing to send to a run that has ended or never was"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { next: completed });
    await lab.assertUntouched([run], async () => {
      expectStatus(await lab.do(sendOf({ workflowId: run.workflowId }, "k")), "not_running");
      expectStatus(await lab.do(sendOf({ runId: run.runId }, "k")), "not_running");
    });
    expectStatus(await lab.do(sendOf({ workflowId: "none" }, "k")), "not_found");
    expectStatus(await lab.do(sendOf({ runId: run.workflowId }, "k")), "not_found");
  },

  async "a message makes a waiting run due at once"(lab) {
    const worker = await lab.worker();
    const forever = await lab.drive(worker, {}, { next: idle() });
    const sleeping = await lab.drive(worker, {}, { next: idle(lab.store.now() + hourMs) });
    for (const run of [forever, sleeping]) {
      const outcome = expectStatus(await lab.do(sendOf(run, "k")), "sent");
      assert.deepEqual([outcome.claimed, outcome.owner], [null, null]);
      const claimed = await lab.claimOnly(worker);
      assert.deepEqual([claimed.runId, claimed.inboxCount, claimed.lastSeq], [run.runId, 1, 1]);
    }
  },

  async "a message to a run that is driven leaves it with its driver, who can ask for news"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const [run, quiet] = [await lab.drive(worker), await lab.drive(worker)];
    const sent = expectStatus(await lab.do(sendOf(run, "k", { claimFor: { worker: other, routes: ["order"] } })), "sent");
    assert.deepEqual([sent.claimed, sent.owner], [null, worker]);
    assert.deepEqual(await lab.claimAll(other), []);
    const owned = async (): Promise<readonly unknown[]> => (await lab.store.inspectOwned(worker)).runs.toSorted((a, b) => a.key - b.key);
    assert.deepEqual(await owned(), [
      { key: run.key, inboxCount: 1, inboxSeen: 0 },
      { key: quiet.key, inboxCount: 0, inboxSeen: 0 },
    ]);
    expectStatus(await lab.do(turnOf(run, driving, { inboxSeen: 1 })), "committed");
    assert.deepEqual((await owned())[0], { key: run.key, inboxCount: 1, inboxSeen: 1 });
    assert.deepEqual(await lab.store.inspectOwned(other), { runs: [], tasks: [] });
  },

  async "the sender may claim a run that nobody drives, in the same commit"(lab) {
    const [worker, other] = [await lab.worker(), await lab.worker()];
    const run = await lab.drive(worker, {}, { next: idle(lab.store.now() + hourMs) });
    const outcome = expectStatus(await lab.do(sendOf(run, "k", { claimFor: { worker: other, routes: ["unknown", "order"] } })), "sent");
    assert.ok(outcome.claimed);
    assert.deepEqual([outcome.claimed.runId, outcome.claimed.epoch, outcome.claimed.inboxCount, outcome.owner], [run.runId, 2, 1, other]);
    assert.deepEqual(await lab.claimAll(worker), []);
    expectStatus(await lab.do(turnOf(outcome.claimed, driving)), "committed");
  },

  async "the sender does not claim what it has no code for"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { next: idle() });
    const outcome = expectStatus(await lab.do(sendOf(run, "k", { claimFor: { worker, routes: ["Order", "ord"] } })), "sent");
    assert.deepEqual([outcome.claimed, outcome.owner], [null, null]);
    assert.equal((await lab.claimOnly(worker)).runId, run.runId);
  },

  async "a run that was just started in the same batch can be written to"(lab) {
    const worker = await lab.worker();
    const claimFor = { worker, routes: ["order"] };
    const run = await lab.start();
    const [sent, again] = await lab.store.apply([sendOf(run, "a", { claimFor }), sendOf(run, "b", { claimFor })]);
    assert.equal(expectStatus(sent, "sent").claimed?.inboxCount, 2);
    assert.deepEqual([expectStatus(again, "sent").claimed, expectStatus(again, "sent").owner], [null, worker], "claimed once");
  },
};
