import { hintOf, type Hint, type News } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import type { MemoryState } from "./state.js";

interface Hints {
  /** Does any other store listen? */
  isHeard(): boolean;
  tellOthers(about: News): void;
  readonly onHint: (callback: (hint: Hint) => void) => { stop(): void };
  close(): void;
}

/** Wakes the other stores of a state: off the commit path, and once however many commits there were. */
export function createHints(state: MemoryState, runtime: Runtime): Hints {
  const callbacks = new Set<{ readonly call: (hint: Hint) => void }>();
  /** What is to be told of when the loop comes round; 0 if nothing is. */
  let pending: News = 0;
  const self = {
    onNews: (about: News) => {
      const isPending = pending !== 0;
      pending |= about;
      if (isPending) return;
      runtime.yieldToLoop(() => {
        const hint = hintOf(pending);
        pending = 0;
        for (const callback of callbacks) callback.call(hint);
      });
    },
  };
  const stopListening = (): void => {
    if (callbacks.size === 0) state.listeners.delete(self);
  };

  return {
    isHeard: () => state.listeners.size > (state.listeners.has(self) ? 1 : 0),
    tellOthers: (about) => {
      for (const listener of state.listeners) if (listener !== self) listener.onNews(about);
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
