import { expect, it } from "vitest";
import { virtualTime } from "../../test/support/virtual-time.js";
import type { Store } from "../backend/backend.js";
import { memory } from "../backends/memory/memory.js";
import { completed, driving, effectsOf, hourMs, lineOf, sampleRun, startOf, turnOf } from "../testing/conformance/samples.js";
import { ResultWaiters } from "./result-waiters.js";

const intervalMs = 1000;
const outageMs = 60_000;

it("looks again soon after a look that an outage of the store held up", async () => {
  const time = virtualTime();
  const runtime = time.runtime();
  const inner = await memory().open(runtime);
  let looks = 0;
  const store: Store = Object.assign(Object.create(inner) as Store, {
    findRuns: async (targets: Parameters<Store["findRuns"]>[0]) => {
      const found = await inner.findRuns(targets);
      if ((looks += 1) === 1) await new Promise<void>((resolve) => void runtime.setTimer(resolve, outageMs));
      return found;
    },
  });
  const { worker } = await inner.registerWorker({ workerId: "w", leaseMs: hourMs });
  const effects = effectsOf(driving, { events: [lineOf(1)] });
  const [started] = await inner.apply([startOf(sampleRun({ workflowId: "w" }), { eager: { worker, effects } })]);
  const waiters = new ResultWaiters(store, runtime, intervalMs);
  const { end } = waiters.wait({ workflowId: "w" }, false);
  await time.advance(outageMs / 2);
  const key = started.status === "started" ? started.key : 0;
  const line = lineOf(2, { event: '{"kind":"run_completed"}' });
  await inner.apply([turnOf({ key, epoch: 1, lastSeq: 1, inboxCount: 0 }, completed, { events: [line] })]);

  expect((await time.run(end)).status).toBe("completed");
  expect(runtime.monotonicMs()).toBeLessThan(outageMs + 3 * intervalMs);
});
