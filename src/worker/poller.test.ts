import { describe, expect, it } from "vitest";
import { createPrng } from "../testing/sim/prng.js";
import { createActor, createTimeline } from "../testing/sim/timeline.js";
import { createVirtualRuntime } from "../testing/sim/virtual-runtime.js";
import { Poller } from "./poller.js";

function createWorld() {
  const timeline = createTimeline(0);
  const runtime = createVirtualRuntime(timeline, createActor("worker"), createPrng(1), { skewMs: 0, drift: 0, suspendedMs: 0 });
  const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  const run = async (untilMs: number): Promise<void> => {
    await settled();
    for (let ready = timeline.ready(untilMs); ready.length > 0; ready = timeline.ready(untilMs)) {
      timeline.take(0, 0).run();
      await settled();
    }
  };
  return { runtime, run };
}

describe("Poller", () => {
  it("polls now and then by itself", async () => {
    const { runtime, run } = createWorld();
    let polls = 0;
    const poller = new Poller({ runtime, intervalMs: 100, poll: () => Promise.resolve(++polls > 0 ? null : 0) });
    poller.start();
    await run(1000);
    expect(polls).toBeGreaterThanOrEqual(10);
    expect(polls).toBeLessThanOrEqual(13);
  });

  it("goes on polling when a wake-up falls into a poll that takes long", async () => {
    const { runtime, run } = createWorld();
    let polls = 0;
    const poll = (): Promise<null> => {
      polls++;
      return new Promise((resolve) => void runtime.setTimer(() => resolve(null), 50));
    };
    const poller = new Poller({ runtime, intervalMs: 100, poll });
    poller.start();
    poller.wakeIn(20);
    await run(2000);
    expect(polls).toBeGreaterThan(10);
  });

  it("stops", async () => {
    const { runtime, run } = createWorld();
    let polls = 0;
    const poller = new Poller({ runtime, intervalMs: 100, poll: () => Promise.resolve(++polls > 0 ? null : 0) });
    poller.start();
    await run(250);
    poller.stop();
    const before = polls;
    await run(2000);
    expect(polls).toBe(before);
  });

  it("without an interval polls when it is told to, and when something is due", async () => {
    const { runtime, run } = createWorld();
    const polledAtMs: number[] = [];
    const poller = new Poller({
      runtime,
      intervalMs: Infinity,
      poll: () => Promise.resolve(polledAtMs.push(runtime.monotonicMs()) === 1 ? 1000 : null),
    });
    poller.start();
    await run(5000);
    expect(polledAtMs.map((ms) => ms - polledAtMs[0]!)).toEqual([0, 1000]);
    poller.wakeIn(500);
    await run(60_000);
    expect(polledAtMs).toHaveLength(3);
    poller.wake();
    await run(120_000);
    expect(polledAtMs).toHaveLength(4);
  });
});
