import type { Runtime } from "../../platform/runtime.js";
import type { Prng } from "./prng.js";
import { createActor, type Actor, type Timeline, type TimelineEvent } from "./timeline.js";
import { createVirtualRuntime, type ClockFaults } from "./virtual-runtime.js";

/** One life of a process on virtual time. It ends by a crash; what comes after is another one. */
export interface VirtualProcess {
  readonly name: string;
  readonly actor: Actor;
  readonly clock: ClockFaults;
  readonly runtime: Runtime;
  /** Requests on their way to the store. */
  readonly inFlight: Set<TimelineEvent>;
  /** The code of the process is never called again: its timers and the promises that it waits for are forgotten. Requests on their way may still arrive. */
  crash(): void;
  /** Stands still; everything that was to happen waits. */
  pause(options: { readonly clockStops: boolean }): void;
  resume(): void;
  /** Resolves after `delayMs` of its time. */
  delay(delayMs: number): Promise<void>;
}

export function createVirtualProcess(options: {
  readonly name: string;
  readonly timeline: Timeline;
  readonly prng: Prng;
  readonly clock: ClockFaults;
}): VirtualProcess {
  const { name, timeline, prng, clock } = options;
  const actor = createActor(name);
  const runtime = createVirtualRuntime(timeline, actor, prng.fork("runtime"), clock);
  const inFlight = new Set<TimelineEvent>();
  let clockStoppedAt: number | null = null;
  return {
    name,
    actor,
    clock,
    runtime,
    inFlight,
    crash() {
      timeline.kill(actor);
      for (const request of inFlight) if (prng.chance(0.5)) request.cancelled = true;
      inFlight.clear();
    },
    pause({ clockStops }) {
      timeline.pause(actor);
      clockStoppedAt = clockStops ? timeline.nowMs() : null;
    },
    resume() {
      if (clockStoppedAt !== null) clock.suspendedMs += timeline.nowMs() - clockStoppedAt;
      clockStoppedAt = null;
      timeline.resume(actor);
    },
    delay: (delayMs) => new Promise((resolve) => void runtime.setTimer(resolve, delayMs)),
  };
}
