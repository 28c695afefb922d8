import { expect, it } from "vitest";
import { virtualTime } from "../../../test/support/virtual-time.js";
import { deathWatch } from "./death-watch.js";

function open() {
  const time = virtualTime();
  const startMs = time.now();
  const looks: number[] = [];
  const watch = deathWatch({ runtime: time.runtime(), look: async () => looks.push(time.now() - startMs) });
  return { time, watch, looks };
}

it("looks within half a second of the news, and some times more, but not for ever", async () => {
  const { time, watch, looks } = open();
  await time.advance(10_000);
  expect(looks).toEqual([]);
  watch.expect();
  watch.expect();
  await time.advance(10_000);
  expect(looks.map((ms) => ms - 10_000)).toEqual([450, 900, 1350]);
  expect(time.timers()).toBe(0);
});

it("leaves it to the pulse once that has come, until there is news again", async () => {
  const { time, watch, looks } = open();
  watch.expect();
  await time.advance(500);
  watch.notePulse();
  await time.advance(10_000);
  expect(looks).toEqual([450]);
  watch.expect();
  await time.advance(460);
  expect(looks).toHaveLength(2);
});

it("does not look once it is closed", async () => {
  const { time, watch, looks } = open();
  watch.expect();
  watch.close();
  watch.expect();
  await time.advance(10_000);
  expect(looks).toEqual([]);
});
