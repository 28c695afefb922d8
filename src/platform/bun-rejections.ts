import { EventEmitter } from "node:events";
import type { LateRejection, WorkflowMark } from "./code-mark.js";

type AnyFunction = (...args: unknown[]) => unknown;

class Opening {
  readonly workflows: readonly WorkflowMark[];
  constructor(workflows: readonly WorkflowMark[]) {
    this.workflows = workflows;
  }
}
class Closing {
  readonly opening: Opening;
  constructor(opening: Opening) {
    this.opening = opening;
  }
}

const events = ["unhandledRejection", "rejectionHandled"] as const;
const methods = [
  "on",
  "addListener",
  "once",
  "prependListener",
  "prependOnceListener",
  "off",
  "removeListener",
  "removeAllListeners",
  "listeners",
  "rawListeners",
  "listenerCount",
] as const;

/** True while the listener is there to take brackets in; without it they would be printed as errors. */
let listening = false;

/** Must turns be bracketed? */
export const bracketing = (): boolean => listening;

/**
 * Brackets what turns do, on Bun: it does not say whose code a rejection came from, but it tells of rejections in the order in which they happened. So
 * each turn begins and ends with a rejection of our own, and those between belong to the workflows of that turn. 0.3 µs a turn.
 */
export function openBracket(workflows: readonly WorkflowMark[]): () => void {
  const opening = new Opening(workflows);
  void Promise.reject(opening);
  return () => {
    if (listening) void Promise.reject(new Closing(opening));
  };
}

/** Takes the place of every listener for rejections; the application's are kept aside and told of what is theirs. */
export function listenOnBun(kept: WeakMap<object, LateRejection>): () => void {
  const open = new Set<Opening>();
  const aside = new EventEmitter();
  const listeners = {
    unhandledRejection(reason: unknown, promise: object): void {
      if (reason instanceof Opening) return void open.add(reason);
      if (reason instanceof Closing) return void open.delete(reason.opening);
      const workflows = [...open].flatMap((opening) => opening.workflows);
      if (workflows.length > 0) {
        const rejection: LateRejection = { reason, handled: false, suspects: workflows.length };
        kept.set(promise, rejection);
        for (const workflow of workflows) workflow.onLateRejection(rejection);
      } else if (!aside.emit("unhandledRejection", reason, promise) && unclaimed.push(reason) === 1) setImmediate(leaveToBun);
    },
    rejectionHandled(promise: object): void {
      const rejection = kept.get(promise);
      if (rejection === undefined) aside.emit("rejectionHandled", promise);
      else rejection.handled = true;
    },
  };
  let unclaimed: unknown[] = [];
  let installed = true;
  const attach = (on: boolean): void => {
    listening = on;
    open.clear();
    for (const event of events) native(on ? "on" : "removeListener", event, listeners[event]);
  };
  /** Nobody listens, so the default applies. Only Bun knows which that is: we step aside, and the same reasons are rejected again. */
  const leaveToBun = (): void => {
    attach(false);
    for (const reason of unclaimed) void Promise.reject(reason);
    unclaimed = [];
    setImmediate(() => installed && attach(true));
  };

  const { native, restore } = divertListeners(aside);
  attach(true);
  return () => {
    installed = false;
    attach(false);
    restore();
  };
}

/** Moves the listeners for rejections from `process` to another emitter, and has `process` add and look for them there. */
function divertListeners(aside: EventEmitter): {
  readonly native: (method: string, ...args: unknown[]) => unknown;
  readonly restore: () => void;
} {
  const target = process as unknown as Record<string, AnyFunction>;
  const native = (method: string, ...args: unknown[]): unknown => Reflect.apply(originals.get(method) as AnyFunction, process, args);
  const originals = new Map(methods.map((method) => [method as string, target[method] as AnyFunction]));
  const move = (from: (method: string, ...args: unknown[]) => unknown, to: (method: string, ...args: unknown[]) => unknown): void => {
    for (const event of events) {
      for (const listener of from("rawListeners", event) as unknown[]) {
        from("removeListener", event, listener);
        to("on", event, listener);
      }
    }
  };
  const diverted = (method: string, ...args: unknown[]): unknown => Reflect.apply(Reflect.get(aside, method) as AnyFunction, aside, args);
  move(native, diverted);
  for (const method of methods) {
    target[method] = (...args) => {
      const answer = events.includes(args[0] as never) ? diverted(method, ...args) : native(method, ...args);
      return answer === aside ? process : answer;
    };
  }
  return {
    native,
    restore() {
      for (const method of methods) Reflect.deleteProperty(process, method);
      move(diverted, native);
    },
  };
}
