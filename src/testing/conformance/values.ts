import assert from "node:assert/strict";
import type { Payload } from "../../backend/index.js";
import { assertSamePayload, expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { appendOf, chunkOf, driving, finishOf, idle, lineOf, messageOf, parked, sendOf, taskOf, turnOf } from "./samples.js";

/** Ids and names as people choose them. The engine keeps NUL and halves of surrogate pairs away from stores. */
const strangeNames: readonly string[] = [
  "__proto__",
  "constructor",
  "0",
  "null",
  " leading and trailing ",
  "trailing",
  "trailing ",
  "Case",
  "case",
  "\u00e9",
  "e\u0301",
  "ß",
  "ss",
  "line\nbreak\ttab",
  "quote ' double \" back \\ semi ; -- /* ` $1 ? :x @y %s",
  "😀 emoji 👩‍👩‍👧",
  "\u202Ertl\u200B\uFEFF",
  "\uFFFF\u{10FFFF}",
  "\u0001\u007F",
  "x".repeat(1000),
  `${"x".repeat(999)}y`,
];

const megabyte = 1024 * 1024;

const strangePayloads: readonly Payload[] = [
  "",
  "null",
  '"\\u0000 é 😀 \u2028"',
  "x'00'",
  "not json",
  new Uint8Array(0),
  Uint8Array.from({ length: 256 }, (_, index) => index),
  new TextEncoder().encode("text as bytes"),
  new Uint8Array([0xff, 0xfe, 0x00]).subarray(1),
  "ä".repeat(megabyte / 2),
  Uint8Array.from({ length: megabyte }, (_, index) => (index * 31) % 256),
];

export const values: Checks = {
  async "ids and names that differ at all are different, and come back exactly"(lab) {
    const worker = await lab.worker();
    for (const text of strangeNames) {
      const outcome = await lab.start({ workflowId: text, runId: `run ${text}`, name: text, version: text, inputHash: text });
      assert.equal(outcome.workflowId, text);
    }
    for (const text of strangeNames) {
      const [byWorkflowId, byRunId] = await lab.store.findRuns([{ workflowId: text }, { runId: `run ${text}` }]);
      assert.deepEqual(byWorkflowId, byRunId);
      const run = byRunId?.run;
      assert.deepEqual([run?.workflowId, run?.runId, run?.name, run?.version, run?.inputHash], [text, `run ${text}`, text, text, text]);
      assert.equal((await lab.claimOnly(worker, { routes: [text] })).workflowId, text);
    }
  },

  async "dedupe keys, message names and task names that differ at all are different, and come back exactly"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: strangeNames.map((name, index) => taskOf(index + 1, { name, route: name })) });
    for (const text of strangeNames) expectStatus(await lab.do(sendOf(run, text, { item: messageOf("1", text) })), "sent");
    for (const text of strangeNames) {
      expectStatus(await lab.do(sendOf(run, text)), "duplicate");
      const task = await lab.claimOnlyTask(worker, [text]);
      assert.deepEqual([task.name, task.route], [text, text]);
    }
    assert.deepEqual(
      (await lab.look(run)).unread.map(({ name }) => name),
      strangeNames,
    );
  },

  async "payloads come back as they were given, text as text and bytes as bytes"(lab) {
    const worker = await lab.worker();
    const [first = "", ...rest] = strangePayloads;
    for (const payload of [first, ...rest]) {
      const started = await lab.start({}, { input: payload, messages: [messageOf(payload)] });
      const [inbox] = await lab.store.loadInboxes([{ key: started.key, above: 0 }]);
      assertSamePayload(inbox?.[0]?.payload ?? null, payload, "input");
      assertSamePayload(inbox?.[1]?.payload ?? null, payload, "first message");

      const run = await lab.drive(worker, {}, { events: [lineOf(1, { payload })], tasks: [taskOf(1, { input: payload })] });
      const [line] = await lab.store.loadHistory({ key: run.key, fromSeq: 1, limit: 1 });
      assertSamePayload(line?.payload ?? null, payload, "history");
      const task = await lab.claimOnlyTask(worker);
      assertSamePayload(task.input, payload, "task");
      expectStatus(await lab.do(finishOf(task, { payload })), "finished");
      const [items] = await lab.store.loadInboxes([{ key: run.key, above: 0 }]);
      assertSamePayload(items?.[0]?.payload ?? null, payload, "outcome");

      const telling = await lab.drive(
        worker,
        {},
        { entries: [{ name: "e", payload }], chunks: [chunkOf("", 0, payload)], tasks: [taskOf(1, { details: payload, name: "tell" })] },
      );
      const target = { runId: telling.runId };
      assertSamePayload((await lab.store.readEntries({ target, names: ["e"] }))?.[0]?.payload ?? null, payload, "entry");
      const read = await lab.store.readChunks({ target, stream: "log", from: 0, limit: 1 });
      assertSamePayload(read?.chunks[0]?.payload ?? null, payload, "chunk");
      assertSamePayload((await lab.claimOnlyTask(worker, ["tell"])).details, payload, "details");

      const end = turnOf({ ...run, inboxCount: 1 }, { state: "ended", status: "completed" }, { events: [lineOf(2, { payload })] });
      expectStatus(await lab.do(end), "committed");
      const [found] = await lab.store.findRuns([run]);
      assertSamePayload(found?.last?.payload ?? null, payload, "result");
    }
  },

  async "names of entries, streams, writers and attributes that differ at all are different, and come back exactly"(lab) {
    const named = strangeNames.map((name, index) => ({ name, payload: `${index}` }));
    const attributes = strangeNames.map((name) => ({ name, value: `${name} as value` }));
    const own = strangeNames.map((stream) => chunkOf("", 0, stream, { stream }));
    const run = await lab.drive(await lab.worker(), {}, { entries: named, attributes, chunks: own });
    const others = await Promise.all(strangeNames.map((text) => lab.start({}, { attributes: [{ name: "text", value: text }] })));
    expectStatus(
      await lab.do(
        appendOf(
          { run: run.key, epoch: 1 },
          strangeNames.flatMap((writer) => [chunkOf(writer, 1, writer), chunkOf(writer, 2, null)]),
        ),
      ),
      "appended",
    );
    const target = { runId: run.runId };
    const entries = await lab.store.readEntries({ target, names: strangeNames });
    assert.deepEqual(
      entries,
      named.map((entry) => ({ ...entry, version: 1 })),
    );
    for (const [index, text] of strangeNames.entries()) {
      const { chunks } = (await lab.store.readChunks({ target, stream: text, from: 0, limit: 10 })) ?? {};
      assert.deepEqual(chunks, [{ offset: 0, writer: "", restartAt: null, payload: text }]);
      const tail = await lab.store.readStreamTail({ key: run.key, stream: "log", writer: text });
      assert.deepEqual(tail, { lastNumber: 2, chunks: 2, firstOffset: 2 * index });
      const list = async (name: string, value: string): Promise<readonly string[]> =>
        (await lab.store.listRuns({ attributes: [{ name, value }], limit: 100 })).map(({ runId }) => runId);
      assert.deepEqual(await list(text, `${text} as value`), [run.runId]);
      assert.deepEqual(await list("text", text), [others[index]?.runId]);
    }
    const read = await lab.store.readChunks({ target, stream: "log", from: 0, limit: 100 });
    assert.deepEqual(
      read?.chunks.map(({ writer }) => writer),
      strangeNames.flatMap((writer) => [writer, writer]),
    );
    const byName = new Map((await lab.look(run)).run.attributes.map(({ name, value }) => [name, value]));
    assert.deepEqual(byName, new Map(attributes.map(({ name, value }) => [name, value])));
  },

  async "routes, parents and what the engine keeps beside the data come back exactly"(lab) {
    const worker = await lab.worker();
    for (const text of strangeNames) {
      const item = { ...messageOf("1", text), options: text };
      const task = taskOf(1, { route: text, options: text, details: text });
      const run = await lab.drive(worker, { route: text, parentRunId: text, options: text }, { tasks: [task], next: idle() });
      const sent = expectStatus(await lab.do(sendOf(run, "k", { item, claimFor: { worker, routes: [text] } })), "sent");
      assert.deepEqual([sent.claimed?.route, sent.claimed?.parentRunId, sent.claimed?.options], [text, text, text]);
      const { run: record, unread } = await lab.look(run);
      assert.deepEqual([record.route, record.parentRunId, record.options, unread[0]?.options], [text, text, text, text]);
      const claimed = await lab.claimOnlyTask(worker, [text]);
      assert.deepEqual([claimed.route, claimed.options, claimed.details], [text, text, text]);
      const children = await lab.store.listRuns({ parentRunId: text, limit: 10 });
      assert.deepEqual(children, [record]);
    }
  },

  async "a store shares no bytes with its callers"(lab) {
    const worker = await lab.worker();
    const mine = new Uint8Array([1, 2, 3]);
    const run = await lab.drive(worker, {}, { events: [lineOf(1, { payload: mine })], tasks: [taskOf(1, { input: mine })] });
    expectStatus(await lab.do(sendOf(run, "k", { item: messageOf(mine) })), "sent");
    mine.fill(9);
    const readLine = async (): Promise<Payload | null | undefined> =>
      (await lab.store.loadHistory({ key: run.key, fromSeq: 1, limit: 1 }))[0]?.payload;
    const readItem = async (): Promise<Payload | null | undefined> =>
      (await lab.store.loadInboxes([{ key: run.key, above: 0 }]))[0]?.[0]?.payload;
    for (const read of [readLine, readItem]) {
      const first = await read();
      assertSamePayload(first ?? null, new Uint8Array([1, 2, 3]));
      if (first instanceof Uint8Array) first.fill(8);
      assertSamePayload((await read()) ?? null, new Uint8Array([1, 2, 3]));
    }
    const task = await lab.claimOnlyTask(worker);
    assertSamePayload(task.input, new Uint8Array([1, 2, 3]));
    if (task.input instanceof Uint8Array) task.input.fill(8);
    await lab.store.release({ worker, runs: [], tasks: [task.key] });
    assertSamePayload((await lab.claimOnlyTask(worker)).input, new Uint8Array([1, 2, 3]));
  },

  async "times far away and long reasons are kept exactly"(lab) {
    const worker = await lab.worker();
    const farAway = 8_640_000_000_000_000;
    const sleeper = await lab.drive(worker, { deadlineAt: farAway }, { next: { state: "idle", dueAt: farAway } });
    assert.deepEqual([(await lab.look(sleeper)).run.dueAt, (await lab.look(sleeper)).run.deadlineAt], [farAway, farAway]);
    assert.equal((await lab.store.claimRuns({ worker, routes: ["order"], limit: 1, suspects: 0 })).nextDueAt, farAway);
    const reason = { code: "internal", message: "ä".repeat(2000), report: 'a "report"\n'.repeat(500) } as const;
    const run = await lab.drive(worker, {}, { next: parked(null, reason), events: [] });
    assert.deepEqual((await lab.look(run)).run.parkReason, reason);
  },

  async "a commit may be large"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const events = Array.from({ length: 1000 }, (_, index) => lineOf(index + 2));
    const commands = Array.from({ length: 1000 }, (_, index) => taskOf(index + 1));
    expectStatus(await lab.do(turnOf(run, driving, { events, tasks: commands })), "committed");
    assert.equal((await lab.store.loadHistory({ key: run.key, fromSeq: 2, limit: 5000 })).length, 1000);
    assert.equal((await lab.store.claimTasks({ worker, routes: ["charge"], limit: 5000 })).tasks.length, 1000);
    expectStatus(
      await lab.do(turnOf({ ...run, lastSeq: 1001 }, driving, { withdrawnTasks: commands.map(({ command }) => command) })),
      "committed",
    );
    assert.deepEqual((await lab.store.inspectOwned(worker)).tasks, []);
  },
};
