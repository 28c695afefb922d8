import { listenOnBun } from "./bun-rejections.js";
import { currentWorkflow, type LateRejection } from "./code-mark.js";
import { currentHost } from "./load-builtin.js";
import { sharedInstallation, type SharedInstallation } from "./shared-installation.js";

/** Taken now: tests put fakes in its place, and so does the guard. */
const { setImmediate: later } = globalThis;

const installation = sharedInstallation(() => {
  const { name } = currentHost();
  if (name === "bun") return listenOnBun(kept);
  return name === "deno" ? preventWebEvents() : filterProcessEvents();
});

/**
 * Keeps rejections of workflow code from ending the process: `const p = helper(ctx); await ctx.sleep("1h"); await p` handles a rejection an hour late.
 * All others keep the process's own behaviour, exactly: no listener is added to `process`, since the mere presence of one switches the default off.
 * Under `--unhandled-rejections=strict` Node ends the process before it asks anybody.
 * Who leaves is served until the rejections of that moment have been told, which runtimes do last.
 */
export const lateRejections: SharedInstallation = {
  join() {
    const leave = installation.join();
    return () => void later(leave);
  },
};

const kept = new WeakMap<object, LateRejection>();

/** The runtimes call this in the context of the code whose promise was rejected. */
function keep(promise: object, reason: unknown): boolean {
  const workflow = currentWorkflow();
  if (workflow === undefined) return false;
  const rejection: LateRejection = { reason, handled: false, suspects: 1 };
  kept.set(promise, rejection);
  workflow.onLateRejection(rejection);
  return true;
}

function keepHandled(promise: object): boolean {
  const rejection = kept.get(promise);
  if (rejection !== undefined) rejection.handled = true;
  return rejection !== undefined;
}

/** On Node both events go through `process.emit`, and its answer says whether anybody was there to handle them. */
function filterProcessEvents(): () => void {
  const target = process as { emit: (event: string | symbol, ...args: unknown[]) => boolean };
  const own = Object.hasOwn(process, "emit");
  const { emit } = target;
  const filter = function (this: unknown, event: string | symbol, ...args: unknown[]): boolean {
    if (event === "unhandledRejection" && keep(args[1] as object, args[0])) return true;
    if (event === "rejectionHandled" && keepHandled(args[0] as object)) return true;
    return Reflect.apply(emit, this, [event, ...args]);
  };
  target.emit = filter;
  return () => {
    // Somebody has put a filter of his own over this one: it stays, and lets everything pass.
    if (target.emit !== filter) return;
    if (own) target.emit = emit;
    else Reflect.deleteProperty(process, "emit");
  };
}

/** On Deno the web's events come first; listeners on `process` are asked only about what nobody has prevented here. */
function preventWebEvents(): () => void {
  const target = globalThis as unknown as EventTarget;
  const onEvent = (event: Event): void => {
    const { promise, reason } = event as Event & { readonly promise: object; readonly reason: unknown };
    if (event.type === "unhandledrejection" ? !keep(promise, reason) : !keepHandled(promise)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  const types = ["unhandledrejection", "rejectionhandled"];
  for (const type of types) target.addEventListener(type, onEvent);
  return () => {
    for (const type of types) target.removeEventListener(type, onEvent);
  };
}
