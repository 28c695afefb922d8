import type { Prng } from "./prng.js";
import type { Actor, TimelineEvent } from "./timeline.js";

/** Chooses which ready event happens next, as an index. */
export interface Strategy {
  readonly name: string;
  choose(ready: readonly TimelineEvent[]): number;
}

const earliest = (ready: readonly TimelineEvent[]): number => {
  let best = 0;
  for (let index = 1; index < ready.length; index++)
    if ((ready[index] as TimelineEvent).id < (ready[best] as TimelineEvent).id) best = index;
  return best;
};

/** In the order of their making: the schedule of an idle machine, and what is fair when the faults are over. */
export const fair: Strategy = { name: "fair", choose: earliest };

const uniform = (prng: Prng): Strategy => ({
  name: "uniform",
  choose: (ready) => (ready.length === 1 ? 0 : prng.int(0, ready.length - 1)),
});

const deviating = (prng: Prng): Strategy => {
  const rate = prng.logarithmic(0.01, 0.3);
  return { name: "fifo", choose: (ready) => (ready.length > 1 && prng.chance(rate) ? prng.int(0, ready.length - 1) : earliest(ready)) };
};

/** Priorities by actor, with few points at which the one in front falls back: finds bugs of small depth with a known chance (PCT). */
const priorities = (prng: Prng): Strategy => {
  const changeAt = new Set(Array.from({ length: 3 }, () => prng.int(1, 600)));
  const priority = new Map<Actor, number>();
  let lowest = 0;
  let step = 0;
  const of = (actor: Actor): number => {
    const known = priority.get(actor);
    if (known !== undefined) return known;
    const drawn = prng.next();
    priority.set(actor, drawn);
    return drawn;
  };
  return {
    name: "pct",
    choose(ready) {
      let best = 0;
      for (let index = 1; index < ready.length; index++) {
        const difference = of((ready[index] as TimelineEvent).actor) - of((ready[best] as TimelineEvent).actor);
        if (difference > 0 || (difference === 0 && (ready[index] as TimelineEvent).id < (ready[best] as TimelineEvent).id)) best = index;
      }
      if (changeAt.has(++step)) priority.set((ready[best] as TimelineEvent).actor, --lowest);
      return best;
    },
  };
};

/** One actor moves only when nobody else can, for stretches of time. */
const starving = (prng: Prng): Strategy => {
  let victim: Actor | null = null;
  let left = 0;
  return {
    name: "starve",
    choose(ready) {
      if (left-- <= 0) {
        victim = victim === null ? prng.pick(ready).actor : null;
        left = prng.int(20, 200);
      }
      const others = ready.filter((event) => event.actor !== victim);
      return others.length === 0 ? prng.int(0, ready.length - 1) : ready.indexOf(prng.pick(others));
    },
  };
};

export const drawStrategy = (prng: Prng): Strategy => prng.pick([uniform, uniform, deviating, priorities, starving])(prng);
