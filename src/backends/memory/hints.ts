import type { Runtime } from "../../platform/runtime.js";
import type { MemoryState } from "./state.js";

interface Hints {
  /** Does any other store listen? */
  isHeard(): boolean;
  tellOthers(): void;
  readonly onHint: (callback: () => void) => { stop(): void };
  close(): void;
}

/** Wakes the other stores of a state: off the commit path, and once however many commits there were. */
export function createHints(state: MemoryState, runtime: Runtime): Hints {
  const callbacks = new Set<{ readonly call: () => void }>();
  let isPending = false;
  const self = {
    onNews: () => {
      if (isPending) return;
      isPending = true;
      runtime.yieldToLoop(() => {
        isPending = false;
        for (const callback of callbacks) callback.call();
      });
    },
  };
  const stopListening = (): void => {
    if (callbacks.size === 0) state.listeners.delete(self);
  };

  return {
    isHeard: () => state.listeners.size > (state.listeners.has(self) ? 1 : 0),
    tellOthers: () => {
      for (const listener of state.listeners) if (listener !== self) listener.onNews();
    },
    onHint: (call) => {
      // An object of its own, so that a callback that was handed in twice can be stopped once.
      const callback = { call };
      callbacks.add(callback);
      state.listeners.add(self);
      return {
        stop: () => {
          callbacks.delete(callback);
          stopListening();
        },
      };
    },
    close: () => {
      callbacks.clear();
      stopListening();
    },
  };
}
