import assert from "node:assert/strict";
import type { ChunkRecord, NewChunk, RunTarget } from "../../backend/index.js";
import { StoreFailure } from "../../backend/index.js";
import { assertSamePayload, expectStatus, plainPayload } from "./assertions.js";
import type { Checks, HeldRun, Lab } from "./lab.js";
import { race } from "./race.js";
import {
  afterTurn,
  appendOf,
  chunkOf,
  completed,
  continued,
  driving,
  effectsOf,
  finishOf,
  idle,
  lineOf,
  parked,
  sampleRun,
  startOf,
  taskOf,
  terminateOf,
  turnOf,
  type Held,
} from "./samples.js";

/** What the workflow's own code appends, with a turn. */
const ownChunk = (payload: string, overrides: Partial<NewChunk> = {}): NewChunk => chunkOf("", 0, payload, overrides);

async function readAll(lab: Lab, target: RunTarget, stream = "log"): Promise<readonly ChunkRecord[]> {
  const read = await lab.store.readChunks({ target, stream, from: 0, limit: 1000 });
  assert.ok(read);
  return read.chunks;
}

async function payloadsOf(lab: Lab, run: { readonly runId: string }, stream?: string): Promise<readonly (string | null)[]> {
  const chunks = await readAll(lab, { runId: run.runId }, stream);
  assert.deepEqual(
    chunks.map(({ offset }) => offset),
    chunks.map((_, index) => index),
    "offsets have no gaps",
  );
  return chunks.map(({ payload }) => plainPayload(payload));
}

async function goOn(lab: Lab, run: HeldRun): Promise<HeldRun> {
  const turn = turnOf(run, continued(sampleRun({ workflowId: run.workflowId, runId: `${run.runId}+` })));
  const outcome = expectStatus(await lab.do(turn), "committed");
  assert.ok(outcome.continued);
  return outcome.continued;
}

const attributesOf = async (lab: Lab, run: { readonly runId: string }): Promise<readonly string[]> =>
  (await lab.look(run)).run.attributes.map(({ name, value }) => `${name}=${value}`);

export const shelf: Checks = {
  async "entries are written by turns, and each write raises their version"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { entries: [{ name: "state", payload: '"a"' }] });
    const target = { runId: run.runId };
    const read = (names: readonly string[]): Promise<unknown> => lab.store.readEntries({ target, names });
    assert.deepEqual(await read(["state"]), [{ name: "state", payload: '"a"', version: 1 }]);
    const entries = [
      { name: "state", payload: '"b"' },
      { name: "answer", payload: null },
      { name: "state", payload: '"c"' },
    ];
    const turn = turnOf(run, driving, { entries });
    const outcome = expectStatus(await lab.do(turn), "committed");
    const [state, missing, answer, again] = (await lab.store.readEntries({ target, names: ["state", "none", "answer", "state"] })) ?? [];
    assert.deepEqual([state?.name, state?.payload, missing, answer?.payload, answer?.version], ["state", '"c"', null, null, 1]);
    assert.ok(state && state.version > 1);
    assert.deepEqual(again, state);
    expectStatus(
      await lab.do(turnOf(afterTurn(run, turn, outcome), idle(), { entries: [{ name: "state", payload: '"c"' }] })),
      "committed",
    );
    assert.equal((await lab.store.readEntries({ target, names: ["state"] }))?.[0]?.version, state.version + 1, "also by the same value");
    assert.deepEqual([await read([]), await read(["State"])], [[], [null]]);
  },

  async "entries are counted one by one, also within one turn"(lab) {
    const entries = ["1", "2", "3"].map((payload) => ({ name: "e", payload }));
    const run = await lab.drive(await lab.worker(), {}, { entries });
    assert.deepEqual(await lab.store.readEntries({ target: { runId: run.runId }, names: ["e"] }), [
      { name: "e", payload: "3", version: 3 },
    ]);
  },

  async "chunks of turns and of bodies stand in one order, without gaps, each stream in its own"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(
      worker,
      {},
      { chunks: [ownChunk("a"), ownChunk("x", { stream: "other" }), ownChunk("b")], tasks: [taskOf(7)] },
    );
    const task = await lab.claimOnlyTask(worker);
    const onRun = { run: run.key, epoch: run.epoch };
    expectStatus(await lab.do(appendOf(onRun, [chunkOf("3", 1, "c"), chunkOf("4", 1, "d"), chunkOf("3", 2, "e")])), "appended");
    const onTask = { task: task.key, epoch: task.epoch };
    expectStatus(await lab.do(appendOf(onTask, [chunkOf("7", 1, "y", { stream: "other" }), chunkOf("7", 1, "f")])), "appended");
    expectStatus(await lab.do(turnOf(run, driving, { chunks: [ownChunk("g")] })), "committed");
    assert.deepEqual(await readAll(lab, { runId: run.runId }), [
      { offset: 0, writer: "", restartAt: null, payload: "a" },
      { offset: 1, writer: "", restartAt: null, payload: "b" },
      { offset: 2, writer: "3", restartAt: null, payload: "c" },
      { offset: 3, writer: "4", restartAt: null, payload: "d" },
      { offset: 4, writer: "3", restartAt: null, payload: "e" },
      { offset: 5, writer: "7", restartAt: null, payload: "f" },
      { offset: 6, writer: "", restartAt: null, payload: "g" },
    ]);
    assert.deepEqual(await payloadsOf(lab, run, "other"), ["text x", "text y"]);
  },

  async "an appended chunk is written once, by the number of its writer"(lab) {
    const run = await lab.drive(await lab.worker());
    const on = { run: run.key, epoch: run.epoch };
    const [a, b, c] = [chunkOf("1", 1, "a"), chunkOf("1", 2, "b"), chunkOf("1", 3, "c")];
    expectStatus(await lab.do(appendOf(on, [a, b])), "appended");
    expectStatus(await lab.do(appendOf(on, [a, b, c])), "appended");
    expectStatus(await lab.do(appendOf(on, [b])), "appended");
    expectStatus(await lab.do(appendOf(on, [chunkOf("2", 1, "A"), chunkOf("1", 1, "x", { stream: "other" }), c, c])), "appended");
    assert.deepEqual(await payloadsOf(lab, run), ["text a", "text b", "text c", "text A"]);
    assert.deepEqual(await payloadsOf(lab, run, "other"), ["text x"]);
    const again = chunkOf("1", 4, "d");
    await lab.store.apply([appendOf(on, [again]), appendOf(on, [again]), appendOf(on, [again, chunkOf("1", 5, "e")])]);
    assert.deepEqual((await payloadsOf(lab, run)).slice(4), ["text d", "text e"]);
    expectStatus(await lab.do(appendOf(on, [])), "appended");
  },

  async "chunks are read from an offset on, piece by piece"(lab) {
    const chunks = Array.from({ length: 25 }, (_, index) => ownChunk(`${index}`));
    const run = await lab.drive(await lab.worker(), {}, { chunks });
    const target = { runId: run.runId };
    const read: (string | null)[] = [];
    for (;;) {
      const page = await lab.store.readChunks({ target, stream: "log", from: read.length, limit: 10 });
      assert.ok(page && page.isOpen && page.chunks.length <= 10);
      if (page.chunks.length === 0) break;
      assert.equal(page.chunks[0]?.offset, read.length);
      read.push(...page.chunks.map(({ payload }) => plainPayload(payload)));
    }
    assert.deepEqual(
      read,
      chunks.map(({ payload }) => plainPayload(payload)),
    );
    for (const [from, stream] of [
      [25, "log"],
      [99, "log"],
      [0, "none"],
      [0, "Log"],
    ] as const)
      assert.deepEqual(await lab.store.readChunks({ target, stream, from, limit: 10 }), { chunks: [], isOpen: true });
  },

  async "what a writer has appended can be asked for, since it last began again"(lab) {
    const run = await lab.drive(await lab.worker(), {}, { chunks: [ownChunk("a")] });
    const on = { run: run.key, epoch: run.epoch };
    const tail = (writer: string, stream = "log"): Promise<unknown> => lab.store.readStreamTail({ key: run.key, stream, writer });
    assert.deepEqual(await tail("1"), { lastNumber: 0, chunks: 0, firstOffset: null });
    assert.deepEqual(await tail(""), { lastNumber: 0, chunks: 1, firstOffset: 0 });
    await lab.do(appendOf(on, [chunkOf("1", 1, "b"), chunkOf("2", 1, "c"), chunkOf("1", 2, "d")]));
    assert.deepEqual(await tail("1"), { lastNumber: 2, chunks: 2, firstOffset: 1 });
    assert.deepEqual(await tail("2"), { lastNumber: 1, chunks: 1, firstOffset: 2 });
    await lab.do(appendOf(on, [chunkOf("1", 3, null, { restartAt: 1 })]));
    assert.deepEqual(await tail("1"), { lastNumber: 3, chunks: 0, firstOffset: null });
    await lab.do(appendOf(on, [chunkOf("1", 3, "lost"), chunkOf("1", 4, "e"), chunkOf("1", 5, "f")]));
    assert.deepEqual(await tail("1"), { lastNumber: 5, chunks: 2, firstOffset: 5 });
    await lab.do(appendOf(on, [chunkOf("1", 6, null, { restartAt: 5 }), chunkOf("2", 2, "g"), chunkOf("1", 7, "h")]));
    assert.deepEqual(await tail("1"), { lastNumber: 7, chunks: 1, firstOffset: 9 });
    assert.deepEqual(await tail("2"), { lastNumber: 2, chunks: 2, firstOffset: 2 });
    assert.deepEqual(await tail("1", "other"), { lastNumber: 0, chunks: 0, firstOffset: null });
    assert.deepEqual(
      (await readAll(lab, { runId: run.runId })).map(({ payload, restartAt }) => restartAt ?? payload),
      ["a", "b", "c", "d", 1, "e", "f", 5, "g", "h"],
    );
  },

  async "only who holds the run or the task at this epoch appends"(lab) {
    const worker = await lab.worker();
    const run = await lab.drive(worker, {}, { tasks: [taskOf(1), taskOf(2, { name: "queued" })] });
    const task = await lab.claimOnlyTask(worker);
    const free = await lab.start();
    const ended = await lab.drive(worker, {}, { next: completed });
    const idleRun = await lab.drive(worker, {}, { next: idle() });
    const parkedRun = await lab.drive(worker, {}, { next: parked(), events: [] });
    const chunks = [chunkOf("1", 1, "never")];
    const refused = [
      { run: run.key, epoch: run.epoch - 1 },
      { run: run.key, epoch: run.epoch + 1 },
      { run: 4711, epoch: 1 },
      { run: free.key, epoch: 0 },
      { run: ended.key, epoch: ended.epoch },
      { run: idleRun.key, epoch: idleRun.epoch },
      { run: parkedRun.key, epoch: parkedRun.epoch },
      { task: task.key, epoch: task.epoch - 1 },
      { task: task.key, epoch: task.epoch + 1 },
      { task: task.key + 1000, epoch: task.epoch },
      { task: task.key + 1, epoch: 0 },
    ];
    for (const on of refused) expectStatus(await lab.do(appendOf(on, chunks)), "fenced");
    await lab.store.release({ worker, runs: [run.key], tasks: [task.key] });
    expectStatus(await lab.do(appendOf({ run: run.key, epoch: run.epoch }, chunks)), "fenced");
    expectStatus(await lab.do(appendOf({ task: task.key, epoch: task.epoch }, chunks)), "fenced");
    for (const one of [run, free, ended, idleRun, parkedRun]) assert.deepEqual(await payloadsOf(lab, one), []);
    const again = await lab.claimOnlyTask(worker);
    expectStatus(await lab.do(appendOf({ task: again.key, epoch: again.epoch }, chunks)), "appended");
    assert.deepEqual(await payloadsOf(lab, run), ["text never"]);
    expectStatus(await lab.do(finishOf(again)), "finished");
    expectStatus(await lab.do(appendOf({ task: again.key, epoch: again.epoch }, [chunkOf("1", 2, "late")])), "fenced");
  },

  async "what an ended run left behind appends nothing: its streams are closed, or its chain's"(lab) {
    const worker = await lab.worker();
    const [ended, goesOn] = [await lab.drive(worker, {}, { tasks: [taskOf(1)], next: completed }), await lab.drive(worker)];
    const next = sampleRun({ workflowId: goesOn.workflowId, runId: "next" });
    expectStatus(await lab.do(turnOf(goesOn, continued(next), { tasks: [taskOf(1)] })), "committed");
    const { tasks } = await lab.store.claimTasks({ worker, routes: ["charge"], limit: 10 });
    assert.equal(tasks.length, 2);
    for (const { key, epoch } of tasks) expectStatus(await lab.do(appendOf({ task: key, epoch }, [chunkOf("1", 1, "late")])), "fenced");
    for (const run of [ended, goesOn]) assert.deepEqual(await payloadsOf(lab, run), []);
  },

  async "what a body appends is numbered from 1"(lab) {
    const run = await lab.drive(await lab.worker());
    const malformed = appendOf({ run: run.key, epoch: run.epoch }, [chunkOf("1", 1, "a"), chunkOf("1", 0, "b")]);
    await assert.rejects(lab.store.apply([malformed]), (failure) => failure instanceof StoreFailure && failure.outcome === "none");
    assert.deepEqual(await payloadsOf(lab, run), []);
  },

  async "writers at once share the offsets out without gap, each writer's in order"(lab) {
    const run = await lab.drive(await lab.worker());
    const on = { run: run.key, epoch: run.epoch };
    await race(lab, 6, async (store, writer) => {
      for (let number = 1; number <= 5; number += 1)
        expectStatus(await lab.do(appendOf(on, [chunkOf(`${writer}`, number, `${number}`)]), store), "appended");
    });
    assert.equal((await payloadsOf(lab, run)).length, 30);
    const chunks = await readAll(lab, { runId: run.runId });
    for (let writer = 0; writer < 6; writer += 1)
      assert.deepEqual(
        chunks.filter((chunk) => chunk.writer === `${writer}`).map(({ payload }) => payload),
        ["1", "2", "3", "4", "5"],
      );
  },

  async "one chunk that is appended several times at once is written once"(lab) {
    const run = await lab.drive(await lab.worker());
    const on = { run: run.key, epoch: run.epoch };
    await race(lab, 8, async (store) =>
      expectStatus(await lab.do(appendOf(on, [chunkOf("1", 1, "a"), chunkOf("1", 2, "b")]), store), "appended"),
    );
    assert.deepEqual(await payloadsOf(lab, run), ["text a", "text b"]);
  },

  async "attributes are set and removed by turns, begin with a start, and come in the order of their names"(lab) {
    const worker = await lab.worker();
    const attributes = [
      { name: "b", value: "1" },
      { name: "a", value: "2" },
      { name: "B", value: "" },
      { name: "gone", value: "x" },
      { name: "a", value: "3" },
      { name: "gone", value: null },
    ];
    const effects = effectsOf(driving, {
      events: [lineOf(1)],
      attributes: [
        { name: "_", value: "4" },
        { name: "b", value: "5" },
      ],
    });
    const eager = await lab.start({}, { attributes, eager: { worker, effects } });
    assert.deepEqual(await attributesOf(lab, eager), ["B=", "_=4", "a=3", "b=5"]);
    const run = await lab.start({}, { attributes });
    assert.deepEqual(await attributesOf(lab, run), ["B=", "a=3", "b=1"]);
    const { epoch, ...rest } = await lab.claimOnly(worker);
    const changed = [
      { name: "a", value: null },
      { name: "none", value: null },
      { name: "b", value: "6" },
      { name: "c", value: "7" },
    ];
    const turn = turnOf({ ...rest, epoch }, driving, { attributes: changed });
    const outcome = expectStatus(await lab.do(turn), "committed");
    assert.deepEqual(await attributesOf(lab, run), ["B=", "b=6", "c=7"]);
    const last = turnOf(afterTurn({ ...rest, epoch }, turn, outcome), completed, { attributes: [{ name: "c", value: "8" }] });
    expectStatus(await lab.do(last), "committed");
    assert.deepEqual(await attributesOf(lab, run), ["B=", "b=6", "c=8"], "and stay after the end");
    assert.deepEqual((await lab.store.listRuns({ limit: 1 }))[0]?.attributes, (await lab.look(run)).run.attributes);
  },

  async "runs are listed by attributes: those whose chain has all of them now"(lab) {
    const worker = await lab.worker();
    const start = (name: string, attributes: readonly (readonly [string, string])[]): Promise<HeldRun> =>
      lab.start({ workflowId: name, name: "any" }, { attributes: attributes.map(([key, value]) => ({ name: key, value })) });
    await start("both", [
      ["customer", "7"],
      ["tier", "gold"],
    ]);
    await start("one", [["customer", "7"]]);
    await start("other case", [["customer", "A"]]);
    await start("other value", [
      ["customer", "8"],
      ["tier", "gold"],
    ]);
    await start("crossed", [
      ["customer", "gold"],
      ["tier", "7"],
    ]);
    await start("none", []);
    const list = async (attributes: readonly (readonly [string, string])[], limit = 10): Promise<readonly string[]> =>
      (await lab.store.listRuns({ attributes: attributes.map(([name, value]) => ({ name, value })), limit })).map((run) => run.workflowId);
    assert.deepEqual(await list([["customer", "7"]]), ["one", "both"]);
    assert.deepEqual(await list([["customer", "7"]], 1), ["one"]);
    assert.deepEqual(
      await list([
        ["tier", "gold"],
        ["customer", "7"],
      ]),
      ["both"],
    );
    assert.deepEqual(await list([["customer", "a"]]), []);
    assert.deepEqual(await list([["Customer", "7"]]), []);
    assert.deepEqual(
      await list([
        ["customer", "7"],
        ["customer", "8"],
      ]),
      [],
    );
    assert.equal((await list([])).length, 6);
    const { runs } = await lab.store.claimRuns({ worker, routes: ["any"], limit: 10, suspects: 0 });
    const both = runs.find(({ workflowId }) => workflowId === "both");
    assert.ok(both);
    expectStatus(await lab.do(turnOf(both, idle(), { attributes: [{ name: "tier", value: null }] })), "committed");
    assert.deepEqual(await list([["tier", "gold"]]), ["other value"]);
    const narrowed = await lab.store.listRuns({
      attributes: [{ name: "customer", value: "7" }],
      workflowIdPrefix: "b",
      name: "any",
      status: "running",
      limit: 10,
    });
    assert.deepEqual(
      narrowed.map(({ workflowId }) => workflowId),
      ["both"],
    );
    const [page] = await lab.store.listRuns({ attributes: [{ name: "customer", value: "7" }], before: narrowed[0]?.key, limit: 10 });
    assert.equal(page, undefined);
  },

  async "everything on the shelf stays with the chain, read through any of its runs"(lab) {
    const worker = await lab.worker();
    const first = await lab.drive(
      worker,
      {},
      { entries: [{ name: "e", payload: "1" }], attributes: [{ name: "a", value: "1" }], chunks: [ownChunk("own")] },
    );
    await lab.do(appendOf({ run: first.key, epoch: 1 }, [chunkOf("1", 1, "of the first")]));
    const second = await goOn(lab, first);
    await lab.do(appendOf({ run: second.key, epoch: 1 }, [chunkOf("1", 1, "a duplicate"), chunkOf("1", 2, "of the second")]));
    const entries = [{ name: "e", payload: "2" }];
    const turn = turnOf(second, driving, { entries, attributes: [{ name: "b", value: "2" }], chunks: [ownChunk("own again")] });
    expectStatus(await lab.do(turn), "committed");
    expectStatus(await lab.do(appendOf({ run: first.key, epoch: 1 }, [chunkOf("2", 1, "stale")])), "fenced");
    for (const run of [first, second]) {
      const target = { runId: run.runId };
      assert.deepEqual(await payloadsOf(lab, run), ["text own", "text of the first", "text of the second", "text own again"]);
      assert.deepEqual(await lab.store.readEntries({ target, names: ["e"] }), [{ name: "e", payload: "2", version: 2 }]);
      assert.deepEqual(await attributesOf(lab, run), ["a=1", "b=2"]);
      const tail = await lab.store.readStreamTail({ key: run.key, stream: "log", writer: "1" });
      assert.deepEqual(tail, { lastNumber: 2, chunks: 2, firstOffset: 1 });
    }
    const listed = await lab.store.listRuns({ attributes: [{ name: "b", value: "2" }], limit: 10 });
    assert.deepEqual(
      listed.map(({ runId }) => runId),
      [second.runId, first.runId],
    );
  },

  async "a stream is open as long as its chain goes on"(lab) {
    const worker = await lab.worker();
    const first = await lab.drive(worker, {}, { chunks: [ownChunk("a")] });
    const second = await goOn(lab, first);
    const targets = [{ runId: first.runId }, { runId: second.runId }, { chainOf: first.runId }, { workflowId: first.workflowId }];
    const isOpen = async (target: RunTarget): Promise<boolean | undefined> =>
      (await lab.store.readChunks({ target, stream: "log", from: 1, limit: 1 }))?.isOpen;
    for (const target of targets) assert.equal(await isOpen(target), true);
    const turn = turnOf(second, completed, { chunks: [ownChunk("with the end")], entries: [{ name: "e", payload: "1" }] });
    expectStatus(await lab.do(turn), "committed");
    for (const target of targets) {
      const read = await lab.store.readChunks({ target, stream: "log", from: 1, limit: 10 });
      assert.deepEqual([read?.isOpen, read?.chunks.map(({ payload }) => payload)], [false, ["with the end"]]);
      assert.equal((await lab.store.readEntries({ target, names: ["e"] }))?.[0]?.payload, "1");
    }
    const parkedRun = await lab.drive(worker, {}, { next: parked(), events: [] });
    assert.equal(await isOpen({ runId: parkedRun.runId }), true);
    await lab.do(terminateOf({ runId: parkedRun.runId }));
    assert.equal(await isOpen({ runId: parkedRun.runId }), false);
    await lab.do(startOf(sampleRun({ workflowId: parkedRun.workflowId, runId: "another" }), { reuse: "always" }));
    assert.deepEqual([await isOpen({ runId: parkedRun.runId }), await isOpen({ workflowId: parkedRun.workflowId })], [false, true]);
  },

  async "there is nothing on the shelf of a run that never was"(lab) {
    const run = await lab.start();
    for (const target of [{ runId: "none" }, { workflowId: run.runId }, { chainOf: run.workflowId }]) {
      assert.equal(await lab.store.readEntries({ target, names: ["e"] }), null);
      assert.equal(await lab.store.readEntries({ target, names: [] }), null);
      assert.equal(await lab.store.readChunks({ target, stream: "log", from: 0, limit: 10 }), null);
    }
  },

  async "a refused turn leaves nothing on the shelf"(lab) {
    const run = await lab.drive(await lab.worker());
    const effects = { entries: [{ name: "e", payload: "1" }], attributes: [{ name: "a", value: "1" }], chunks: [ownChunk("a")] };
    await lab.assertUntouched([run], async () => {
      const stale: readonly Held[] = [
        { ...run, epoch: 0 },
        { ...run, lastSeq: 0 },
      ];
      for (const held of stale) expectStatus(await lab.do(turnOf(held, driving, effects)), "fenced");
      const start = startOf(sampleRun({ workflowId: run.workflowId, runId: "another" }), {
        attributes: effects.attributes,
        eager: { worker: await lab.worker(), effects: effectsOf(driving, { events: [lineOf(1)], ...effects }) },
      });
      expectStatus(await lab.do(start), "exists");
    });
    assert.deepEqual(await lab.store.readEntries({ target: { runId: run.runId }, names: ["e"] }), [null]);
    assert.deepEqual(await payloadsOf(lab, run), []);
  },

  async "entries and chunks keep their payloads exactly, and share no bytes with their callers"(lab) {
    const mine = new Uint8Array([1, 2, 3]);
    const run = await lab.drive(await lab.worker(), {}, { entries: [{ name: "e", payload: mine }], chunks: [chunkOf("", 0, mine)] });
    await lab.do(appendOf({ run: run.key, epoch: 1 }, [chunkOf("1", 1, mine), chunkOf("1", 2, "text"), chunkOf("1", 3, null)]));
    mine.fill(9);
    const target = { runId: run.runId };
    for (let time = 0; time < 2; time += 1) {
      const [entry] = (await lab.store.readEntries({ target, names: ["e"] })) ?? [];
      const chunks = await readAll(lab, target);
      for (const record of [entry, chunks[0], chunks[1]]) {
        assertSamePayload(record?.payload ?? null, new Uint8Array([1, 2, 3]));
        if (record?.payload instanceof Uint8Array) record.payload.fill(8);
      }
      assert.deepEqual(
        chunks.slice(2).map(({ payload }) => payload),
        ["text", null],
      );
    }
  },
};
