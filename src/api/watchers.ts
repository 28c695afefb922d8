import type { Operation } from "../backend/operations.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";

/** Everybody in this process who looks at something that may change: published state, streams, answers. Told of commits here, of hints from elsewhere, and now and then. */
export class Watchers {
  readonly #runtime: Runtime;
  readonly #intervalMs: number;
  readonly #waiting = new Set<() => void>();
  #timer: TimerHandle | undefined;

  constructor(runtime: Runtime, intervalMs: number) {
    this.#runtime = runtime;
    this.#intervalMs = intervalMs;
  }

  /** Resolves when it is time to look again. `abort` stops the wait. */
  change(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      if (signal?.aborted === true) return resolve();
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
      this.#timer ??= this.#runtime.setTimer(
        () => {
          this.#timer = undefined;
          this.hint();
        },
        this.#intervalMs,
        { keepAlive: true },
      );
    });
  }

  hint(): void {
    if (this.#waiting.size === 0) return;
    // Those that wait again wait for the next change.
    for (const wake of [...this.#waiting]) wake();
  }

  /** These were committed by this process. */
  committed(operations: readonly Operation[]): void {
    if (this.#waiting.size > 0 && operations.some(isSeen)) this.hint();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.hint();
  }
}

function isSeen(operation: Operation): boolean {
  switch (operation.type) {
    case "turn": {
      const { entries, chunks, next } = operation.effects;
      return entries.length + chunks.length > 0 || next.state === "ended" || next.state === "continued";
    }
    case "start":
      return (
        operation.terminates !== null ||
        (operation.eager !== null && isSeen({ type: "turn", key: 0, epoch: 0, lastSeq: 0, effects: operation.eager.effects }))
      );
    case "append":
    case "terminate":
      return true;
    default:
      return false;
  }
}
