import { AsyncLocalStorage } from "node:async_hooks";

/** Says within which call a piece of code runs, through every await. */
export interface CallContext<T> {
  run<Result>(value: T, call: () => Result): Result;
  current(): T | undefined;
}

export function callContext<T>(): CallContext<T> {
  const storage = new AsyncLocalStorage<T>();
  return { run: (value, call) => storage.run(value, call), current: () => storage.getStore() };
}
