import type { Prng } from "./prng.js";

/** What is done to the processes of a schedule, and when. Drawn as data, so that a schedule can be told and shrunk. */
export type Misfortune = { readonly atMs: number } & (
  | { readonly type: "crash"; readonly place: number; readonly downMs: number }
  /** Leaves by the front door: `engine.close()`, then a new process. */
  | { readonly type: "leave"; readonly place: number; readonly downMs: number; readonly graceMs: number }
  | { readonly type: "pause"; readonly place: number; readonly forMs: number; readonly clockStops: boolean }
  | { readonly type: "clockJump"; readonly place: number; readonly byMs: number }
  | { readonly type: "outage"; readonly forMs: number }
);

export function drawMisfortunes(prng: Prng, places: number, untilMs: number): readonly Misfortune[] {
  const misfortunes: Misfortune[] = [];
  const when = (): number => prng.next() * untilMs;
  const many = (max: number): number => (prng.chance(0.5) ? prng.int(1, max) : 0);
  const place = (): number => prng.int(0, places - 1);
  for (let left = many(4); left > 0; left--)
    misfortunes.push({ type: "crash", atMs: when(), place: place(), downMs: prng.logarithmic(1, 6000) });
  for (let left = many(2); left > 0; left--)
    misfortunes.push({
      type: "leave",
      atMs: when(),
      place: place(),
      downMs: prng.logarithmic(1, 5000),
      graceMs: prng.pick([0, 100, 3000]),
    });
  for (let left = many(4); left > 0; left--)
    misfortunes.push({ type: "pause", atMs: when(), place: place(), forMs: prng.logarithmic(50, 15_000), clockStops: prng.chance(0.3) });
  for (let left = many(3); left > 0; left--)
    misfortunes.push({
      type: "clockJump",
      atMs: when(),
      place: place(),
      byMs: prng.logarithmic(10, 3_600_000) * (prng.chance(0.5) ? 1 : -1),
    });
  for (let left = many(2); left > 0; left--) misfortunes.push({ type: "outage", atMs: when(), forMs: prng.logarithmic(20, 6000) });
  if (prng.chance(0.25)) misfortunes.push(...drawSwizzle(prng, places, when()));
  return misfortunes.toSorted((a, b) => a.atMs - b.atMs);
}

/** Stops a random set of processes one after another, and lets them go on in another order. */
function drawSwizzle(prng: Prng, places: number, fromMs: number): readonly Misfortune[] {
  return Array.from({ length: places }, (_, place) => place)
    .filter(() => prng.chance(0.7))
    .map((place) => ({ type: "pause", atMs: fromMs + prng.next() * 1000, place, forMs: prng.logarithmic(300, 12_000), clockStops: false }));
}
