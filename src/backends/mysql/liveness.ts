/**
 * Who is alive, sooner than a lease can tell. Each worker holds a named lock (GET_LOCK) on one connection of its process that does nothing else but renew
 * leases; the server frees the lock when the process dies, and keeps it while it is merely stopped. Peers ask who uses it (IS_USED_LOCK) and never try to
 * take it: a probe that succeeds would itself be a holder.
 *
 * A free lock means a death only if
 * - both connections are the server's own (a pooler would lend one, and free its locks, at will), and it is no node of a cluster, and
 * - the worker's row says that it took the lock on this very server since its last start: then the server has been up ever since, and whoever held it has
 *   gone. So a process that has just come finds those that died before it. A restart, a replica that was promoted, another node of a cluster, or a worker
 *   that has no lock for whatever reason, is no death.
 * - it is still free a moment later: a worker whose connection was cut takes its lock again at once.
 */
import type { WorkerKey } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import type { Answer, Session } from "./session.js";
import type { Source } from "./source.js";
import { numberOf, text } from "./sql.js";
import { answerMaxMs, standingSession } from "./standing-session.js";

export interface Liveness {
  /** Takes the lock of a worker of this process, now and whenever the connection has to be opened anew. */
  hold(lockName: string): Promise<void>;
  release(lockName: string): Promise<void>;
  /** Runs statements on the connection that nothing else waits for. */
  ask(statements: readonly string[]): Promise<readonly Answer[]>;
  /** The server and its start, as workers note them with their locks; null where locks say nothing. */
  place(): Promise<string | null>;
  /** Reads, and once more if need be, and returns the workers that are dead by their locks. */
  findDead(read: (here: string | null) => Promise<readonly LockState[]>): Promise<ReadonlySet<WorkerKey>>;
  close(): void;
}

export interface LockState {
  readonly key: WorkerKey;
  readonly isHeld: boolean;
  /** Free, and taken on this server since its start. */
  readonly isHere: boolean;
}

/** How long a lock must be free before it means a death: the time that a worker whose connection was cut needs to come back. */
const graceMs = 100;

export interface LivenessOptions {
  readonly source: Source;
  readonly runtime: Runtime;
  readonly workerTable: string;
}

export function liveness({ source, runtime, workerTable }: LivenessOptions): Liveness {
  const held = new Set<string>();
  const places = new WeakMap<Session, string>();
  const take = async (session: Session, lockName: string): Promise<void> => {
    // Some releases refuse it on the nodes of a cluster.
    if (session.hasTellingLocks) await session.run([`SELECT GET_LOCK(${text(lockName)},0)`], answerMaxMs);
  };
  const standing = standingSession({
    source,
    runtime,
    isNeeded: () => held.size > 0,
    onOpen: async (session) => {
      if (!session.hasTellingLocks) return;
      const here = await placeOf(session);
      places.set(session, here);
      for (const lockName of held) await take(session, lockName);
      // A lock that the server still gives to the connection before is none of this one's: its end must not look like a death.
      if (held.size > 0)
        await session.run([
          `UPDATE ${workerTable} SET locked_on=IF(IS_USED_LOCK(lock_name)=CONNECTION_ID(),${text(here)},NULL) WHERE lock_name IN (${[...held].map(text).join(",")})`,
        ]);
    },
  });

  return {
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
    place: async () => places.get(await standing.ready()) ?? null,
    async findDead(read) {
      const session = await standing.ready();
      const here = places.get(session) ?? null;
      const isMissing = ({ isHeld, isHere }: LockState): boolean => !isHeld && isHere;
      const first = await read(here);
      if (!first.some(isMissing)) return new Set();
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, graceMs));
      const second = await read(here);
      // Another connection may be to another server.
      return standing.current() === session ? new Set(second.filter(isMissing).map(({ key }) => key)) : new Set();
    },
    close: standing.close,
  };
}

/**
 * The server and when it was started, to the second. Its uptime is counted from the same clock in whole seconds, so the start comes out the same whenever it
 * is asked for, as long as both are of one second.
 */
async function placeOf(session: Session): Promise<string> {
  const clock = "SELECT UNIX_TIMESTAMP() DIV 1, CONCAT_WS('/',@@hostname,@@port,@@server_id)";
  for (;;) {
    const [before, uptime, after] = await session.run([clock, "SHOW GLOBAL STATUS LIKE 'Uptime'", clock], answerMaxMs);
    const [second, server] = before?.rows[0] ?? [];
    if (numberOf(second) !== numberOf(after?.rows[0]?.[0])) continue;
    return `${String(server)}/${numberOf(second) - numberOf(uptime?.rows[0]?.[1])}`;
  }
}
