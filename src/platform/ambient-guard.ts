import { currentWorkflow } from "./code-mark.js";
import { sharedInstallation } from "./shared-installation.js";

type AnyFunction = (...args: any[]) => unknown;

/**
 * Replaces the globals that give something else on every replay by ones that first ask whether workflow code is calling. Other code is served as ever,
 * some 10 ns later. What is imported by name (`node:crypto`, `node:timers/promises`) cannot be replaced; awaiting those is noticed after the turn.
 */
export const ambientGuard = sharedInstallation(() => {
  const undo = [
    guardDate(),
    guard(Math, "random", "Math.random()", "ctx.random()"),
    guard(globalThis.crypto, "randomUUID", "crypto.randomUUID()", "ctx.uuid()"),
    guard(globalThis, "setTimeout", "setTimeout(…)", "ctx.sleep(…)", idleTimer),
    guard(globalThis, "setInterval", "setInterval(…)", "ctx.sleep(…) in a loop", idleTimer),
    guard(globalThis, "setImmediate", "setImmediate(…)", "ctx.sleep(0)", idleImmediate),
    guard(globalThis, "fetch", "fetch(…)", 'ctx.step("…", () => fetch(…))', () => new Promise(() => {})),
  ];
  return () => {
    for (const one of undo.reverse()) one();
  };
});

/** `refused`: what a call with an effect answers when it is not carried out. Without it, the call is: the run is set aside, and its answer harms nobody. */
function guard(
  owner: object | undefined,
  key: string,
  call: string,
  instead: string,
  refused?: (original: AnyFunction) => unknown,
): () => void {
  const original = (owner as Record<string, unknown> | undefined)?.[key] as AnyFunction | undefined;
  if (owner === undefined || typeof original !== "function") return () => {};
  const guarded = function (this: unknown, ...args: unknown[]): unknown {
    const carryOut = currentWorkflow() === undefined || ask(call, instead, refused !== undefined);
    // By the owner, not by `this`: these are often called without one, and some demand it.
    const answer: unknown = carryOut || refused === undefined ? Reflect.apply(original, owner, args) : refused(original);
    return answer;
  };
  // Their own properties (util.promisify finds setTimeout's promise form by one), name and length.
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(original))) {
    if (name !== "prototype") Object.defineProperty(guarded, name, property);
  }
  for (const symbol of Object.getOwnPropertySymbols(original)) {
    Object.defineProperty(guarded, symbol, Object.getOwnPropertyDescriptor(original, symbol) as PropertyDescriptor);
  }
  return replace(owner, key, guarded);
}

function guardDate(): () => void {
  const original = globalThis.Date;
  const restoreNow = guard(original, "now", "Date.now()", "ctx.now()");
  const proxy = new Proxy(original, {
    construct(target, args, newTarget) {
      if (args.length === 0 && currentWorkflow() !== undefined) ask("new Date()", "ctx.now()", false);
      const date = Reflect.construct(target, args, newTarget === proxy ? target : newTarget) as object;
      return date;
    },
    apply(target) {
      if (currentWorkflow() !== undefined) ask("Date()", "ctx.now()", false);
      const text = target();
      return text;
    },
  });
  const restoreConstructor = replace(original.prototype, "constructor", proxy);
  const restoreDate = replace(globalThis, "Date", proxy);
  return () => {
    restoreDate();
    restoreConstructor();
    restoreNow();
  };
}

/** Puts a value in the place of a property, and answers how to put the old one back; what somebody else has replaced meanwhile stays. */
function replace(owner: object, key: string, value: unknown): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(owner, key);
  Object.defineProperty(owner, key, { value, configurable: true, writable: true, enumerable: descriptor?.enumerable ?? false });
  return () => {
    if ((owner as Record<string, unknown>)[key] !== value) return;
    if (descriptor === undefined) Reflect.deleteProperty(owner, key);
    else Object.defineProperty(owner, key, descriptor);
  };
}

function ask(call: string, instead: string, effect: boolean): boolean {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 30;
  // Frames: this one, the replacement's, then the caller's.
  const frames = (new Error(call).stack ?? "")
    .split("\n")
    .filter((line) => /^\s*at /.test(line))
    .slice(2);
  Error.stackTraceLimit = stackTraceLimit;
  const fromPackage = /[\\/]node_modules[\\/]|\(?(?:node|ext|bun):/.test(frames[0] ?? "");
  const carryOut = currentWorkflow()?.onAmbientUse({ call, instead, stack: frames.join("\n"), fromPackage, effect }) ?? true;
  return carryOut;
}

/** A timer that never fires, for code that goes on to keep or clear it. */
function idleTimer(original: AnyFunction): unknown {
  const timer = original(() => {}, 0);
  clearTimeout(timer as ReturnType<typeof setTimeout>);
  return timer;
}

function idleImmediate(original: AnyFunction): unknown {
  const immediate = original(() => {});
  clearImmediate(immediate as ReturnType<typeof setImmediate>);
  return immediate;
}
