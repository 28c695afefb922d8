import type { Runtime, TimerHandle } from "../platform/runtime.js";

export interface PollerOptions {
  readonly runtime: Runtime;
  /**
   * The longest time between two polls, in ms; each wait is shortened at random by up to a fifth, so that workers do not poll in step. Infinity for one
   * that is told whenever it has to look.
   */
  readonly intervalMs: number;
  /** Looks for work. Answers in how many ms there will be some, null if it does not know; 0 for at once. Must not reject. */
  readonly poll: () => Promise<number | null>;
}

/** Looks for work when told to, when it is due, and now and then: hints may be lost, and somebody has to notice. */
export class Poller {
  readonly #options: PollerOptions;
  #timer: TimerHandle | undefined;
  #wakeAtMs = Infinity;
  #polling = false;
  #pollingSinceMs = Infinity;
  #again = false;
  #stopped = true;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Since when (monotonic) a poll is in progress; Infinity if none is. */
  get pollingSinceMs(): number {
    return this.#pollingSinceMs;
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Polls from now on, the first time after an interval. */
  resume(): void {
    this.#stopped = false;
    this.wakeIn(this.#options.intervalMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wakeAtMs = Infinity;
  }

  /** Polls as soon as the poll in progress, if any, is over. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#polling) {
      this.#again = true;
      return;
    }
    this.#polling = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wakeAtMs = Infinity;
    void this.#poll();
  }

  /** Polls in `delayMs` at the latest. */
  wakeIn(delayMs: number): void {
    if (this.#stopped) return;
    const { runtime } = this.#options;
    const atMs = runtime.monotonicMs() + Math.max(0, delayMs);
    // Also for never, which is not before never.
    if (atMs >= this.#wakeAtMs) return;
    this.#timer?.cancel();
    this.#wakeAtMs = atMs;
    this.#timer = runtime.setTimer(
      () => {
        // Before waking: during a poll that only asks for another one, and a time that has passed would outrank every later wait.
        this.#timer = undefined;
        this.#wakeAtMs = Infinity;
        this.wake();
      },
      delayMs,
      { keepAlive: true },
    );
  }

  async #poll(): Promise<void> {
    const { poll, runtime, intervalMs } = this.#options;
    let dueInMs: number | null;
    do {
      this.#again = false;
      this.#pollingSinceMs = runtime.monotonicMs();
      dueInMs = await poll();
      this.#pollingSinceMs = Infinity;
    } while ((this.#again || dueInMs === 0) && !this.#stopped);
    this.#polling = false;
    const idleMs = intervalMs * (1 - runtime.random() * 0.2);
    this.wakeIn(Math.min(idleMs, dueInMs ?? idleMs));
  }
}
