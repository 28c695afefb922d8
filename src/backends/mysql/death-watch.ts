import type { Runtime, TimerHandle } from "../../platform/runtime.js";

/**
 * Looks for deaths where the pulse of a worker would be late: while nobody has any work it comes rarely, and of work that begins just after it, it knows only
 * the next time. From then on it comes often enough by itself.
 */
export interface DeathWatch {
  /** Others may have begun to work. */
  expect(): void;
  /** The pulse has looked. */
  notePulse(): void;
  close(): void;
}

export interface DeathWatchOptions {
  readonly runtime: Pick<Runtime, "setTimer">;
  /** Looks, and takes over if need be. */
  readonly look: () => Promise<unknown>;
}

/** As often as the pulse while others have work. */
const everyMs = 450;
/** By then the pulse has come. */
const looksMax = 3;

export function deathWatch({ runtime, look }: DeathWatchOptions): DeathWatch {
  let timer: TimerHandle | undefined;
  let looksLeft = 0;
  let isClosed = false;

  const plan = (): void => {
    timer = runtime.setTimer(() => {
      timer = undefined;
      if (isClosed || looksLeft === 0) return;
      looksLeft -= 1;
      // What it does not find the pulse will.
      void look()
        .catch(() => undefined)
        .then(() => {
          if (timer === undefined && looksLeft > 0 && !isClosed) plan();
        });
    }, everyMs);
  };

  return {
    expect() {
      if (isClosed) return;
      looksLeft = looksMax;
      if (timer === undefined) plan();
    },
    notePulse: () => void (looksLeft = 0),
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}
