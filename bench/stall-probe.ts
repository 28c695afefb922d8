import { openSync, readSync } from "node:fs";
import { stampMs } from "./measure.js";

export interface Stalls {
  /** The longest time that the event loop did not turn. */
  readonly maxMs: number;
  /** The same without the time in which this thread wanted to run and the machine gave its core to others. */
  readonly maxOwnMs: number;
}

const intervalMs = 5;

/** How long the main thread has waited for a core, in ms; always 0 where the system does not tell. */
function waitForCore(): () => number {
  try {
    const file = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
    const buffer = Buffer.alloc(64);
    return () => Number(buffer.toString("latin1", 0, readSync(file, buffer, 0, 64, 0)).split(" ")[1]) / 1e6;
  } catch {
    return () => 0;
  }
}

/** Watches the event loop of this process from now on, by a short timer that notes how late it is. */
export function watchStalls(): () => Stalls {
  const waitedMs = waitForCore();
  let maxMs = 0;
  let maxOwnMs = 0;
  let lastMs = stampMs();
  let lastWaitedMs = waitedMs();
  const timer = setInterval(() => {
    const nowMs = stampMs();
    const nowWaitedMs = waitedMs();
    const lateMs = nowMs - lastMs - intervalMs;
    maxMs = Math.max(maxMs, lateMs);
    maxOwnMs = Math.max(maxOwnMs, lateMs - (nowWaitedMs - lastWaitedMs));
    lastMs = nowMs;
    lastWaitedMs = nowWaitedMs;
  }, intervalMs);
  return () => {
    clearInterval(timer);
    return { maxMs, maxOwnMs };
  };
}
