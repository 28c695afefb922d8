import { createHash } from "node:crypto";

/** The names of the locks (GET_LOCK) of one store. They are the server's and not a database's, and no longer than 64 characters. */
export interface LockNames {
  /** Held for as long as a worker's process lives. */
  worker(workerId: string): string;
  /** Held by the connection that is the bell in this place. */
  bell(slot: number): string;
  /** Held by the same connection while, and only while, it can be rung. */
  armed(slot: number): string;
  /** Held by another connection of the same process: what the bell waits for. */
  pillow(slot: number): string;
  /** Held by a process that may not ring some bell. */
  readonly mute: string;
}

/** @param scope what tells the stores on a server apart */
export function lockNames(scope: string): LockNames {
  const hash = (value: string, length: number): string => createHash("sha256").update(value).digest("hex").slice(0, length);
  const prefix = `perdure:${hash(scope, 12)}`;
  return {
    worker: (workerId) => `${prefix}:${hash(workerId, 32)}`,
    bell: (slot) => `${prefix}:bell:${slot}`,
    armed: (slot) => `${prefix}:armed:${slot}`,
    pillow: (slot) => `${prefix}:pillow:${slot}`,
    mute: `${prefix}:mute`,
  };
}
