import { expect, it } from "vitest";
import type { Runtime } from "../platform/runtime.js";
import type { Guard } from "./guard.js";
import type { RunDriver } from "./run-driver.js";
import { TurnLoop } from "./turn-loop.js";

/** A loop over drivers whose turns take a millisecond each. Hops are run by hand, in order. */
function open() {
  let nowMs = 0;
  const hops: (() => void)[] = [];
  const said: string[] = [];
  const runtime = {
    monotonicMs: () => nowMs,
    drain: (callback: () => void) => void hops.push(() => (said.push("drain"), callback())),
    yieldToLoop: (callback: () => void) => void hops.push(() => (said.push(`yield at ${nowMs}`), callback())),
  } as unknown as Runtime;
  const loop = new TurnLoop(runtime, { bracket: () => () => undefined } as unknown as Guard);
  const driver = (turns: number, name: string): RunDriver => {
    let left = turns;
    const own = {
      beginTurn() {
        nowMs++;
        said.push(`begin ${name}`);
        return left > 0;
      },
      endTurn() {
        said.push(`end ${name}`);
        if (--left > 0) loop.schedule(own);
      },
    } as unknown as RunDriver;
    return own;
  };
  const run = (): void => {
    for (let hop = hops.shift(); hop !== undefined; hop = hops.shift()) hop();
  };
  return { loop, driver, run, said };
}

it("gives the event loop its share after five milliseconds of turns", () => {
  const { loop, driver, run, said } = open();
  loop.schedule(driver(20, "a"));
  run();
  const yields = said.filter((one) => one.startsWith("yield"));
  expect(yields).toEqual(["yield at 6", "yield at 12", "yield at 18"]);
});

it("serves every driver that is ready by one drain, and collects a turn only after it", () => {
  const { loop, driver, run, said } = open();
  loop.schedule(driver(2, "a"));
  loop.schedule(driver(1, "b"));
  run();
  expect(said).toEqual(["drain", "begin a", "begin b", "drain", "end a", "end b", "begin a", "drain", "end a"]);
});
