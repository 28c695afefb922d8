import { describe, expect, it } from "vitest";
import { createPrng } from "./prng.js";
import { drawStrategy } from "./strategies.js";
import { createActor, createTimeline, type Timeline } from "./timeline.js";

const runAll = (timeline: Timeline, untilMs = Infinity): void => {
  for (let ready = timeline.ready(untilMs); ready.length > 0; ready = timeline.ready(untilMs)) timeline.take(0, 0).run();
};

describe("timeline", () => {
  it("brings events in the order of their times, and jumps over what lies between", () => {
    const prng = createPrng(1);
    const timeline = createTimeline(1000);
    const actor = createActor("a");
    const seen: number[] = [];
    const delays = Array.from({ length: 200 }, () => prng.int(0, 10_000));
    for (const delay of delays) timeline.schedule(actor, "x", delay, () => seen.push(timeline.nowMs()));
    runAll(timeline);
    expect(seen).toEqual(delays.map((delay) => 1000 + delay).toSorted((a, b) => a - b));
  });

  it("offers events of the same time together, in any order", () => {
    const timeline = createTimeline(0);
    const actor = createActor("a");
    for (const label of ["x", "y", "z"]) timeline.schedule(actor, label, 5, () => undefined);
    expect(timeline.ready(Infinity).map((event) => event.label)).toEqual(["x", "y", "z"]);
    expect(timeline.take(1, 0).label).toBe("y");
    expect(timeline.ready(Infinity).map((event) => event.label)).toEqual(["x", "z"]);
  });

  it("stops before the limit", () => {
    const timeline = createTimeline(0);
    timeline.schedule(createActor("a"), "x", 100, () => undefined);
    expect(timeline.ready(99)).toEqual([]);
    expect(timeline.nowMs()).toBe(0);
  });

  it("holds what a paused actor was to do, and forgets what a dead one was", () => {
    const timeline = createTimeline(0);
    const [paused, dead] = [createActor("paused"), createActor("dead")];
    const seen: string[] = [];
    timeline.schedule(paused, "p", 1, () => seen.push("p"));
    timeline.schedule(dead, "d", 1, () => seen.push("d"));
    timeline.pause(paused);
    timeline.kill(dead);
    runAll(timeline);
    expect(seen).toEqual([]);
    timeline.resume(paused);
    runAll(timeline);
    expect(seen).toEqual(["p"]);
  });

  it("does not bring a cancelled event", () => {
    const timeline = createTimeline(0);
    const event = timeline.schedule(createActor("a"), "x", 1, () => expect.unreachable());
    event.cancelled = true;
    runAll(timeline);
    expect(timeline.ready(Infinity)).toEqual([]);
  });
});

describe("strategies", () => {
  it("choose among what is ready, whatever it is", () => {
    for (let seed = 0; seed < 50; seed++) {
      const prng = createPrng(seed);
      const strategy = drawStrategy(prng);
      const timeline = createTimeline(0);
      const actors = [createActor("a"), createActor("b"), createActor("c")];
      let left = 300;
      const again = (): void => {
        if (left-- > 0) timeline.schedule(prng.pick(actors), "x", prng.int(0, 3), again);
      };
      for (let count = 0; count < 10; count++) again();
      let done = 0;
      for (let ready = timeline.ready(Infinity); ready.length > 0; ready = timeline.ready(Infinity)) {
        const index = strategy.choose(ready);
        expect(ready[index]).toBeDefined();
        timeline.take(index, 0.01).run();
        done++;
      }
      expect(done).toBe(300);
    }
  });
});
