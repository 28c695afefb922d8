import type { WorkerKey } from "../../backend/index.js";
import { isGone } from "../../platform/process-mark.js";
import type { Link } from "./link.js";
import type { Session } from "./session.js";

/**
 * Who is alive, as the server knows it: a worker holds an advisory lock on each connection of its process, in shared mode. They are gone the moment its
 * process is, however it ended, and are kept while it is merely stopped. Peers look them up in pg_locks and never try them: through a pooler the try would
 * succeed on the very session that holds it. A lock that is missing means a death only if it was held on this server since the server's start, and is
 * missing in two looks: a restart ends every session, and a connection that was cut comes back. Whoever is on the same machine needs no second look: it sees that
 * the process is gone. The lease bounds the rest.
 */
export interface Liveness {
  /** The first half of the locks' keys. */
  readonly lockClass: number;
  /** Takes the lock of those who listen, on a connection that does. */
  enterListener(session: Session): Promise<void>;
  isOurs(worker: WorkerKey): boolean;
  /** Takes the locks of this process's workers on a new connection. */
  holdAllOn(session: Session): Promise<void>;
  /** A worker of this process; it holds its lock on the first link already. */
  hold(worker: WorkerKey, links: readonly Link[]): Promise<void>;
  letGo(worker: WorkerKey, links: readonly Link[]): Promise<void>;
  judge(seen: readonly Seen[], self: WorkerKey | null, monotonicMs: number): Verdict;
}

export interface Verdict {
  /** Is anybody dead, or anything owned by nobody who lives? */
  readonly dead: boolean;
  /** The workers whose locks are gone for good. */
  readonly unlocked: WorkerKey[];
  /** Is a lock missing that may come back? Another look will tell, after `missingMs`. */
  readonly isMissing: boolean;
}

/** In the place of a worker's key, in the locks of those who listen. Their number is the number of the connections that hold it. */
export const listenerKey = 0x7fff_ffff;

/** A row of a look: of a worker, or (with nulls) of an owner. */
export type Seen = readonly [key: WorkerKey, isExpired: boolean | null, isUnlocked: boolean | null, processMark: string | null];

/** How long a lock must be missing: longer than a lost connection takes to come back. */
export const missingMs = 200;

export function liveness(lockClass: number): Liveness {
  const ours = new Set<WorkerKey>();
  /** Since when (monotonic) a worker's lock has been missing. */
  let missingSince = new Map<WorkerKey, number>();

  const lockOn = async ({ use, isPooled }: Session, worker: WorkerKey): Promise<void> => {
    if (!isPooled) await use((client) => client.query(`SELECT pg_try_advisory_lock_shared(${lockClass}, ${worker})`));
  };

  return {
    lockClass,
    enterListener: (session) => lockOn(session, listenerKey),
    isOurs: (worker: WorkerKey): boolean => ours.has(worker),
    async holdAllOn(session: Session): Promise<void> {
      for (const worker of ours) await lockOn(session, worker);
    },
    async hold(worker: WorkerKey, [, ...others]: readonly Link[]): Promise<void> {
      ours.add(worker);
      for (const { current } of others) if (current !== undefined) await lockOn(current, worker).catch(() => undefined);
    },
    async letGo(worker: WorkerKey, links: readonly Link[]): Promise<void> {
      ours.delete(worker);
      for (const { current } of links) {
        if (current === undefined || current.isPooled) continue;
        await current.use((client) => client.query(`SELECT pg_advisory_unlock_shared(${lockClass}, ${worker})`)).catch(() => undefined);
      }
    },
    judge(seen, self, monotonicMs) {
      const living = new Set<WorkerKey>();
      const missing = new Map<WorkerKey, number>();
      const unlocked: WorkerKey[] = [];
      let dead = false;
      for (const [key, isExpired, isUnlocked, mark] of seen) {
        if (isExpired === null) continue;
        living.add(key);
        if (key === self) continue;
        if (isExpired) dead = true;
        if (isUnlocked !== true) continue;
        const since = missingSince.get(key) ?? monotonicMs;
        missing.set(key, since);
        if (monotonicMs - since >= missingMs || (mark !== null && isGone(mark))) unlocked.push(key);
      }
      missingSince = missing;
      const hasOrphans = seen.some(([key, isExpired]) => isExpired === null && key !== self && !living.has(key));
      return { dead: dead || hasOrphans || unlocked.length > 0, unlocked, isMissing: missing.size > unlocked.length };
    },
  };
}
