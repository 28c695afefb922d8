import type { Runtime } from "../../platform/runtime.js";
import type { Prng } from "./prng.js";
import type { Actor, Timeline } from "./timeline.js";

/** How the clocks of one virtual process differ from true virtual time. Mutable: clocks jump. */
export interface ClockFaults {
  /** Wall clock minus true time, in ms. */
  skewMs: number;
  /** How much faster (or slower) than true time both clocks run, as a fraction. */
  readonly drift: number;
  /** How long the process was suspended together with its monotonic clock, as a virtual machine may be. */
  suspendedMs: number;
}

/** The {@link Runtime} of one virtual process. It stands still or dies with its actor. */
export function createVirtualRuntime(timeline: Timeline, actor: Actor, prng: Prng, clock: ClockFaults): Runtime {
  const bootedAtMs = timeline.nowMs();
  const localMs = (): number => (timeline.nowMs() - bootedAtMs) * (1 + clock.drift);
  return {
    now: () => Math.floor(bootedAtMs + localMs() + clock.skewMs),
    monotonicMs: () => 1000 + localMs() - clock.suspendedMs,
    setTimer(callback, delayMs) {
      // A timer of Node's waits at least a millisecond.
      const event = timeline.schedule(actor, "timer", Math.max(1, delayMs) / (1 + clock.drift), callback);
      return {
        cancel: () => {
          event.cancelled = true;
        },
      };
    },
    random: () => prng.next(),
    uuid: () => uuidOf(prng),
    // The real thing: between two events every microtask and tick of this process has run, so no two processes mix.
    drain: (callback) => queueMicrotask(() => process.nextTick(callback)),
    yieldToLoop: (callback) => void timeline.schedule(actor, "yield", 0, callback),
  };
}

function uuidOf(prng: Prng): string {
  const hex = Array.from({ length: 32 }, () => prng.int(0, 15).toString(16)).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}
