import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { SeededRandom } from "./seeded-random.js";

const version4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

it("draws the same for the same seed, whatever has been drawn from others", () => {
  const draw = (random: SeededRandom): unknown[] => [random.next(), random.uuid(), random.bits(), random.next()];
  expect(draw(new SeededRandom("run/uuid"))).toEqual(draw(new SeededRandom("run/uuid")));
  // What histories rest on: it must never change.
  expect(draw(new SeededRandom("run/uuid"))).toMatchInlineSnapshot(`
    [
      0.9612251121954872,
      "5f7b0371-d795-47d4-bdad-bcf1812f9802",
      2734098428,
      0.6654544398241933,
    ]
  `);
});

it("never draws one UUID for two runs: their seeds are told apart in more than 32 bits", () => {
  const seen = new Set<string>();
  const runs = 100_000;
  for (let index = 0; index < runs; index++) {
    const random = new SeededRandom(`${createHash("md5").update(String(index)).digest("hex")}/uuid`);
    for (const uuid of [random.uuid(), random.uuid()]) {
      if (index < 1000) expect(uuid).toMatch(version4);
      seen.add(uuid);
    }
  }
  expect(seen.size).toBe(2 * runs);
});

it("draws evenly, and neighbouring seeds differ in half of their bits", () => {
  let sum = 0;
  let flipped = 0;
  for (let index = 0; index < 2000; index++) {
    const random = new SeededRandom(`run-${index}`);
    for (let draw = 0; draw < 10; draw++) sum += random.next();
    let difference = new SeededRandom(`run-${index}`).bits() ^ new SeededRandom(`run-${index + 1}`).bits();
    for (; difference !== 0; difference &= difference - 1) flipped++;
  }
  expect(sum / 20_000).toBeCloseTo(0.5, 1);
  expect(flipped / 2000).toBeGreaterThan(15.5);
  expect(flipped / 2000).toBeLessThan(16.5);
});
