import type { Runtime, TimerHandle } from "../../platform/runtime.js";

/**
 * When to look for what other processes have done. Where nobody tells this one (`bell.ts`), looking again is all there is: a few milliseconds after something
 * has happened, then ever more rarely, until nothing has happened for so long that the pulse of the worker will do.
 */
export interface Lookout {
  /** Something has happened here or elsewhere, so that more may follow soon. */
  expect(): void;
  /** A question was answered so. Unless it was answered so before, something has happened. */
  noteAnswer(question: string, answer: string): void;
  /** How long a look takes: those who look rest for longer than that. */
  noteCost(ms: number): void;
  close(): void;
}

export interface LookoutOptions {
  readonly runtime: Pick<Runtime, "setTimer" | "monotonicMs">;
  /** It is time to look. */
  readonly look: () => void;
  /** Is this process told of news? Then looks are for the few of which it is not. */
  readonly isTold: () => boolean;
}

interface Pace {
  readonly firstMs: number;
  /** Between two looks, of the time that has passed since something happened: so nothing is seen later than by this part of its own duration. */
  readonly restPart: number;
  /** From here on nobody is expected any more. */
  readonly lastMs: number;
}

const untoldPace: Pace = { firstMs: 5, restPart: 0.1, lastMs: 1000 };
const toldPace: Pace = { firstMs: 100, restPart: 0.5, lastMs: 400 };
const restFactor = 2;
const answersMax = 10_000;

export function lookout({ runtime, look, isTold }: LookoutOptions): Lookout {
  const answers = new Map<string, string>();
  let sinceMs = -Infinity;
  let costMs = 0;
  let timer: TimerHandle | undefined;
  let isClosed = false;

  const paceNow = (): Pace => (isTold() ? toldPace : untoldPace);
  const plan = (): void => {
    const { firstMs, restPart, lastMs } = paceNow();
    const restMs = Math.max(firstMs, costMs * restFactor, (runtime.monotonicMs() - sinceMs) * restPart);
    if (isClosed || restMs > lastMs) return;
    timer = runtime.setTimer(() => {
      timer = undefined;
      look();
      plan();
    }, restMs);
  };
  const expect = (): void => {
    const nowMs = runtime.monotonicMs();
    const { firstMs, restPart } = paceNow();
    // A look that is planned for later than it would be now is planned anew.
    const isLate = (nowMs - sinceMs) * restPart > firstMs;
    sinceMs = nowMs;
    if (timer !== undefined && !isLate) return;
    timer?.cancel();
    plan();
  };

  return {
    expect,
    noteAnswer(question, answer) {
      if (answers.get(question) === answer) return;
      if (answers.size >= answersMax) answers.clear();
      answers.set(question, answer);
      expect();
    },
    noteCost: (ms) => void (costMs = ms),
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}
