import { everything, hintOf, type Hint } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";

/**
 * Hints between the stores of one process. MySQL has nothing like LISTEN: other processes find out by looking (`lookout.ts`), and a store that is told of
 * news wakes those beside it off the commit path, once however many commits there were.
 */
export interface Hints {
  tellOthers(): void;
  /** Others may have made news of which nobody tells. */
  tellOwn(): void;
  onHint(callback: (hint: Hint) => void): { stop(): void };
  close(): void;
}

interface Listener {
  onNews(): void;
}

/** By what tells the stores on a server apart. A hint that comes to the wrong store does no harm. */
const listenersByScope = new Map<string, Set<Listener>>();

export function hints(scope: string, runtime: Runtime): Hints {
  const listeners = listenersByScope.get(scope) ?? new Set<Listener>();
  listenersByScope.set(scope, listeners);
  const callbacks = new Set<{ readonly call: (hint: Hint) => void }>();
  let isPending = false;
  const self: Listener = {
    onNews: () => {
      if (isPending) return;
      isPending = true;
      runtime.yieldToLoop(() => {
        isPending = false;
        for (const callback of callbacks) callback.call(hintOf(everything));
      });
    },
  };
  const leave = (): void => {
    if (callbacks.size > 0) return;
    listeners.delete(self);
    if (listeners.size === 0 && listenersByScope.get(scope) === listeners) listenersByScope.delete(scope);
  };

  return {
    tellOthers: () => {
      for (const listener of listenersByScope.get(scope) ?? []) if (listener !== self) listener.onNews();
    },
    tellOwn: () => self.onNews(),
    onHint: (call) => {
      // An object of its own, so that a callback that was handed in twice can be stopped once.
      const callback = { call };
      callbacks.add(callback);
      const present = listenersByScope.get(scope) ?? listeners;
      listenersByScope.set(scope, present.add(self));
      return {
        stop: () => {
          callbacks.delete(callback);
          leave();
        },
      };
    },
    close: () => {
      callbacks.clear();
      leave();
    },
  };
}
