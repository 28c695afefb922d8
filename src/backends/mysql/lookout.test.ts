import { expect, it } from "vitest";
import { virtualTime } from "../../../test/support/virtual-time.js";
import { lookout } from "./lookout.js";

function open(isTold = false) {
  const time = virtualTime();
  const looks: number[] = [];
  const post = lookout({ runtime: time.runtime(), look: () => looks.push(time.now()), isTold: () => isTold });
  return { time, post, looks };
}

it("looks a few milliseconds after something has happened, then ever more rarely, and then not at all", async () => {
  const { time, post, looks } = open();
  await time.advance(60_000);
  expect(looks).toEqual([]);
  const startMs = time.now();
  post.expect();
  await time.advance(100);
  expect(looks.length).toBeGreaterThanOrEqual(10);
  await time.advance(120_000);
  // None later than by a tenth of the time it had to wait.
  const after = looks.map((ms) => ms - startMs);
  for (const [index, ms] of after.entries()) expect(ms - (after[index - 1] ?? 0)).toBeLessThanOrEqual(Math.max(5, 0.1 * ms) + 1);
  expect(after.at(-1)).toBeGreaterThan(8000);
  expect(after.length).toBeLessThan(100);
  expect(time.timers()).toBe(0);
});

it("looks soon again when something happens while it has become slow", async () => {
  const { time, post, looks } = open();
  post.expect();
  await time.advance(8000);
  const before = looks.length;
  post.expect();
  await time.advance(6);
  expect(looks.length).toBe(before + 1);
});

it("takes an answer for news only if it is another one than before", async () => {
  const { time, post, looks } = open();
  post.noteAnswer("a", "1");
  await time.advance(20_000);
  const first = looks.length;
  expect(first).toBeGreaterThan(0);
  post.noteAnswer("a", "1");
  await time.advance(20_000);
  expect(looks.length).toBe(first);
  post.noteAnswer("a", "2");
  await time.advance(20_000);
  expect(looks.length).toBeGreaterThan(first);
});

it("rests for longer than a look takes, and not at all once it is closed", async () => {
  const { time, post, looks } = open();
  post.noteCost(50);
  post.expect();
  await time.advance(310);
  expect(looks.length).toBe(3);
  post.close();
  post.expect();
  await time.advance(20_000);
  expect(looks.length).toBe(3);
});

it("looks now and then where it is told, and soon no more", async () => {
  const { time, post, looks } = open(true);
  post.expect();
  await time.advance(60_000);
  expect(looks.length).toBeGreaterThanOrEqual(2);
  expect(looks.length).toBeLessThan(10);
  expect(time.timers()).toBe(0);
});
