import { renew } from "../../testing/conformance/renew.js";
import { expect, test } from "vitest";
import { StoreFailure, type Store } from "../../backend/index.js";
import { systemRuntime } from "../../platform/runtime.js";
import {
  completed,
  driving,
  effectsOf,
  hourMs,
  idle,
  lineOf,
  messageOf,
  sampleRun,
  sendOf,
  startOf,
  turnOf,
} from "../../testing/conformance/samples.js";
import { memory, memoryOn } from "./memory.js";
import { createMemoryState } from "./state.js";

test("stores of one memory() share their data, stores of two share nothing", async () => {
  const [backend, another] = [memory(), memory()];
  const [first, second, stranger] = await Promise.all([
    backend.open(systemRuntime()),
    backend.open(systemRuntime()),
    another.open(systemRuntime()),
  ]);
  await first.apply([startOf(sampleRun({ workflowId: "w" }))]);
  expect(await second.findRuns([{ workflowId: "w" }])).toMatchObject([{ run: { workflowId: "w" } }]);
  expect(await stranger.findRuns([{ workflowId: "w" }])).toEqual([null]);
});

test("the store has one clock, whatever the clocks of those who open it", async () => {
  let now = 1000;
  const backend = memory({ now: () => now });
  const early = await backend.open({ ...systemRuntime(), now: () => -hourMs });
  const late = await backend.open({ ...systemRuntime(), now: () => hourMs * 1000 });
  const { worker } = await early.registerWorker({ workerId: "w", leaseMs: 500 });
  expect([early.now(), late.now()]).toEqual([1000, 1000]);
  expect(await late.recover(null)).toEqual({ workers: 0, runs: 0, tasks: 0 });
  now = 1500;
  expect(await renew(early, worker, 500)).toBe(false);
  expect(await early.recover(null)).toEqual({ workers: 1, runs: 0, tasks: 0 });
});

test("a closed store refuses every call, and says that nothing happened", async () => {
  const store = await memory().open(systemRuntime());
  await store.close();
  await store.close();
  const failure = await store.apply([startOf(sampleRun({ workflowId: "w" }))]).then(
    () => null,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(StoreFailure);
  expect(failure).toMatchObject({ code: "closed", outcome: "none", transient: false });
  await expect(store.listRuns({ limit: 1 })).rejects.toBeInstanceOf(StoreFailure);
});

test("what a run has taken is not kept, and after its end neither are dedupe keys", async () => {
  const state = createMemoryState();
  const store = await memoryOn(state).open(systemRuntime());
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
  const effects = effectsOf(driving, { events: [lineOf(1)] });
  const [started] = await store.apply([startOf(sampleRun({ workflowId: "w" }), { eager: { worker, effects } })]);
  const key = started.status === "started" ? started.key : 0;
  const item = messageOf("x".repeat(1000));
  await store.apply([sendOf({ workflowId: "w" }, "a", { item }), sendOf({ workflowId: "w" }, "b", { item })]);
  const held = { key, epoch: 1, lastSeq: 1, inboxCount: 2 };
  // Taken twice counts once.
  await store.apply([turnOf(held, driving, { consumed: [1, 1] })]);
  const inbox = state.inboxes.get(key);
  expect(inbox?.rows.map(({ payload }) => payload?.length ?? 0)).toEqual([0, 1000]);
  expect([inbox?.unread, inbox?.dedupeKeys.size]).toEqual([1, 2]);
  await store.apply([turnOf({ ...held, lastSeq: 2 }, completed)]);
  expect([inbox?.rows.length, inbox?.dedupeKeys.size]).toEqual([1, 0]);
});

test("a turn and a claim cost the same beside 100,000 sleepers as beside none", { timeout: 60_000 }, async () => {
  const empty = await costOfWork(await memory().open(systemRuntime()));
  const store = await memory().open(systemRuntime());
  for (let batch = 0; batch < 100; batch += 1) {
    const start = (index: number) =>
      startOf(sampleRun({ workflowId: `sleeper ${batch}/${index}` }), { dueAt: store.now() + hourMs + index });
    await store.apply(Array.from({ length: 1000 }, (_, index) => start(index)));
  }
  const crowded = await costOfWork(store);
  // A scan would make it a hundred times slower and more; noise on a busy machine stays far below ten.
  expect(crowded / empty).toBeLessThan(10);
});

/** Milliseconds for 200 times: start a run, claim it, let it take a turn, send to it, claim it again and end it; the best of three. */
async function costOfWork(store: Store): Promise<number> {
  const system = systemRuntime();
  const { worker } = await store.registerWorker({ workerId: "w", leaseMs: hourMs });
  const costs: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    const begun = system.monotonicMs();
    for (let count = 0; count < 200; count += 1) {
      const workflowId = `w ${round}/${count}`;
      await store.apply([startOf(sampleRun({ workflowId }))]);
      const [first] = (await store.claimRuns({ worker, routes: ["order"], limit: 10, suspects: 1 })).runs;
      if (first === undefined) throw new Error("the run is not to be had");
      await store.apply([turnOf(first, idle(store.now() + hourMs)), sendOf({ workflowId }, "k")]);
      const [second] = (await store.claimRuns({ worker, routes: ["order"], limit: 10, suspects: 1 })).runs;
      if (second === undefined) throw new Error("the run is not to be had again");
      const [ended] = await store.apply([turnOf(second, completed)]);
      if (ended.status !== "committed") throw new Error("the run does not end");
      await store.recover(null);
    }
    costs.push(system.monotonicMs() - begun);
  }
  return Math.min(...costs);
}
