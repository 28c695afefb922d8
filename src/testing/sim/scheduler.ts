import { hashText, type Prng } from "./prng.js";
import type { Strategy } from "./strategies.js";
import type { Timeline } from "./timeline.js";
import type { Witness } from "./witness.js";

export interface SchedulerOptions {
  readonly timeline: Timeline;
  readonly witness: Witness;
  readonly prng: Prng;
  readonly strategy: Strategy;
  /** Calls back when all microtasks and ticks have run: one hop of the real event loop. */
  readonly hop: (callback: () => void) => void;
  readonly onEvent: ((atMs: number, actor: string, label: string) => void) | undefined;
}

/** Lets events happen one at a time, in the order that its strategy chooses, each to its very end. Stops at the first violation. */
export class Scheduler {
  strategy: Strategy;
  events = 0;
  /** Changes with any event, its order or its time. */
  traceHash = 0;
  readonly #options: SchedulerOptions;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.strategy = options.strategy;
  }

  /** Until `done`, or nothing is to happen before `untilMs`, or there were `eventsMax` events. */
  run(untilMs: number, eventsMax: number, done: () => boolean): Promise<void> {
    const { timeline, witness, hop } = this.#options;
    const last = this.events + eventsMax;
    // Callbacks rather than awaits: under AsyncLocalStorage every promise costs, and this runs for each event.
    return new Promise((resolve) => {
      const next = (): void => {
        if (witness.violations.length > 0 || this.events >= last || done()) return resolve();
        const ready = timeline.ready(untilMs);
        if (ready.length === 0) return resolve();
        this.#happen(this.strategy.choose(ready));
        return hop(next);
      };
      next();
    });
  }

  #happen(index: number): void {
    const { timeline, prng, onEvent, witness } = this.#options;
    const event = timeline.take(index, prng.next() * 0.05);
    this.events++;
    this.traceHash = hashText(event.label, hashText(event.actor.name, this.traceHash ^ Math.floor(timeline.nowMs() * 1024)));
    onEvent?.(witness.nowMs(), event.actor.name, event.label);
    event.run();
  }
}
