import { StoreFailure } from "../backend/failures.js";
import type { Runtime } from "../platform/runtime.js";

export interface PersistOptions<T> {
  readonly runtime: Runtime;
  readonly call: () => Promise<T>;
  readonly stopped: () => boolean;
  readonly onTrouble: (error: unknown) => void;
}

/** Did the store not say whether the write happened? */
export const isUnknownOutcome = (error: unknown): boolean => error instanceof StoreFailure && error.outcome === "unknown";

const firstMs = 10;
const maxMs = 2000;

/** Calls again, with back-off, while the store fails: only for calls that may be made twice. Undefined once stopped. Errors of other kinds are thrown. */
export async function persist<T>({ runtime, call, stopped, onTrouble }: PersistOptions<T>): Promise<T | undefined> {
  for (let attempt = 0; !stopped(); attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      if (error.outcome === "none" && !error.transient) throw error;
      onTrouble(error);
      const delayMs = Math.min(maxMs, firstMs * 2 ** attempt) * (0.5 + runtime.random());
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, delayMs, { keepAlive: true }));
    }
  }
  return undefined;
}

/** The same for a while: the last failure is thrown when the store is still out of reach after `patienceMs`. For what somebody stands by and waits for. */
export async function persistFor<T>(patienceMs: number, options: Omit<PersistOptions<T>, "stopped">): Promise<T> {
  const { runtime, call, onTrouble } = options;
  const endsMs = runtime.monotonicMs() + patienceMs;
  let last: unknown;
  const result = await persist({
    runtime,
    call: async () => ({ value: await call() }),
    stopped: () => runtime.monotonicMs() >= endsMs,
    onTrouble: (error) => {
      last = error;
      onTrouble(error);
    },
  });
  if (result === undefined) throw last;
  return result.value;
}
