import { runUnmarked } from "../platform/code-mark.js";
import type { Runtime } from "../platform/runtime.js";
import type { Guard } from "./guard.js";
import type { RunDriver } from "./run-driver.js";

/** Turns take at most this long before the event loop gets its share: without it a loaded worker stalls timers and I/O for hundreds of milliseconds. */
const sliceMs = 5;

/**
 * Gives drivers their turns. A drain costs a round through the runtime's queues, so one serves every driver that is ready: each delivers its one event,
 * then the microtasks of all of them run, then each is collected. Runs share nothing, so it does not matter how their microtasks interleave.
 */
export class TurnLoop {
  readonly #runtime: Runtime;
  readonly #guard: Guard;
  #ready: RunDriver[] = [];
  #running = false;
  #sliceBeganMs = 0;

  constructor(runtime: Runtime, guard: Guard) {
    this.#runtime = runtime;
    this.#guard = guard;
  }

  schedule(driver: RunDriver): void {
    this.#ready.push(driver);
    if (this.#running) return;
    this.#running = true;
    this.#sliceBeganMs = this.#runtime.monotonicMs();
    // It may be workflow code that sets this off (when it is caught at something): the turns that follow are not part of it.
    runUnmarked(() => this.#runtime.drain(this.#round));
  }

  readonly #round = (): void => {
    const ready = this.#ready;
    this.#ready = [];
    const close = this.#guard.bracket(ready);
    const begun = ready.filter((driver) => driver.beginTurn());
    if (begun.length === 0) {
      close();
      return this.#next();
    }
    this.#runtime.drain(() => {
      close();
      for (const driver of begun) driver.endTurn();
      this.#next();
    });
  };

  #next(): void {
    if (this.#ready.length === 0) {
      this.#running = false;
    } else if (this.#runtime.monotonicMs() - this.#sliceBeganMs > sliceMs) {
      this.#runtime.yieldToLoop(() => {
        this.#sliceBeganMs = this.#runtime.monotonicMs();
        this.#runtime.drain(this.#round);
      });
    } else {
      this.#round();
    }
  }
}
