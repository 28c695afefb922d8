/**
 * Who is alive, sooner than a lease can tell. Each worker holds a named lock (GET_LOCK) on one connection of its process that does nothing else but renew
 * leases; the server frees the lock when the process dies, and keeps it while it is merely stopped. Peers ask who uses it (IS_USED_LOCK) and never try to
 * take it: a probe that succeeds would itself be a holder.
 *
 * A free lock means a death only if
 * - both connections are the server's own (a pooler would lend one, and free its locks, at will), and it is no node of a cluster, and
 * - this connection has seen that worker hold it: the server has then been up ever since, and is the one on which that worker holds its locks. A restart,
 *   another node of a cluster, or a worker that has no lock for whatever reason, is no death.
 * - it is still free a moment later: a worker whose connection was cut takes its lock again at once.
 */
import { createHash } from "node:crypto";
import type { WorkerKey } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import type { Answer, Session } from "./session.js";
import type { Source } from "./source.js";
import { text } from "./sql.js";
import { answerMaxMs, standingSession } from "./standing-session.js";

export interface Liveness {
  /** The name of a worker's lock, on this server. */
  lockNameOf(workerId: string): string;
  /** Takes the lock of a worker of this process, now and whenever the connection has to be opened anew. */
  hold(lockName: string): Promise<void>;
  release(lockName: string): Promise<void>;
  /** Runs statements on the connection that nothing else waits for. */
  ask(statements: readonly string[]): Promise<readonly Answer[]>;
  /** Notes for whom of these workers the lock is held, and returns those that are dead by it. */
  findDead(read: () => Promise<readonly LockState[]>): Promise<ReadonlySet<WorkerKey>>;
  close(): void;
}

export interface LockState {
  readonly worker: WorkerKey;
  readonly isHeld: boolean;
}

/** How long a lock must be free before it means a death: the time that a worker whose connection was cut needs to come back. */
const graceMs = 100;

export interface LivenessOptions {
  readonly source: Source;
  readonly runtime: Runtime;
  /** What tells the stores on a server apart. */
  readonly scope: string;
}

export function liveness({ source, runtime, scope }: LivenessOptions): Liveness {
  const held = new Set<string>();
  const hash = (value: string, length: number): string => createHash("sha256").update(value).digest("hex").slice(0, length);
  const scopeHash = hash(scope, 12);
  /** The workers that were seen to hold their locks, by the connection that saw it. */
  const seenHeld = new WeakMap<Session, Set<WorkerKey>>();
  const take = async (session: Session, lockName: string): Promise<void> => {
    // Some releases refuse it on the nodes of a cluster.
    if (session.hasTellingLocks) await session.run([`SELECT GET_LOCK(${text(lockName)},0)`], answerMaxMs);
  };
  const standing = standingSession({
    source,
    runtime,
    isNeeded: () => held.size > 0,
    onOpen: async (session) => {
      for (const lockName of held) await take(session, lockName);
    },
  });

  return {
    lockNameOf: (workerId) => `perdure:${scopeHash}:${hash(workerId, 32)}`,
    hold: async (lockName) => {
      held.add(lockName);
      await take(await standing.ready(), lockName);
    },
    release: async (lockName) => {
      held.delete(lockName);
      // With the connection, if it is gone, the lock is gone.
      if (standing.current()?.hasTellingLocks === true)
        await standing.ask([`SELECT RELEASE_LOCK(${text(lockName)})`]).catch(() => undefined);
    },
    ask: standing.ask,
    async findDead(read) {
      const first = await read();
      const session = standing.current();
      if (session === undefined || !session.hasTellingLocks) return new Set();
      const known = seenHeld.get(session) ?? new Set();
      seenHeld.set(session, known);
      for (const { worker, isHeld } of first) if (isHeld) known.add(worker);
      const isMissing = ({ worker, isHeld }: LockState): boolean => !isHeld && known.has(worker);
      if (!first.some(isMissing)) return new Set();
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, graceMs));
      const second = await read();
      // Another connection has seen nothing yet.
      return standing.current() === session ? new Set(second.filter(isMissing).map(({ worker }) => worker)) : new Set();
    },
    close: standing.close,
  };
}
