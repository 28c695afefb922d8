import type { Backend } from "../../backend/index.js";
import { createMemoryState, type MemoryState } from "./state.js";
import { openMemoryStore } from "./store.js";

/** Options of {@link memory}. */
export interface MemoryOptions {
  /** The store's one clock, in milliseconds. Default: the clock of the runtime that each store is opened with. For simulations with skewed workers. */
  readonly now?: () => number;
}

/**
 * A store that lives in this process's memory and is gone with it: for tests, examples and work that need not outlive the process.
 * Everything that is opened from one `memory()` value sees the same data, so several engines can share it; two values share nothing.
 * @example
 * const engine = await launch({ backend: memory(), workflows: [greet] });
 */
export function memory(options: MemoryOptions = {}): Backend {
  return memoryOn(createMemoryState(), options);
}

/** A backend on a state that the caller keeps: the simulator and its checkers read the tables. */
export function memoryOn(state: MemoryState, options: MemoryOptions = {}): Backend {
  return {
    kind: "memory",
    open: async (runtime) => openMemoryStore(state, runtime, options.now ?? (() => runtime.now())),
  };
}
