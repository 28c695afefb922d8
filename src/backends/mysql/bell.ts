/**
 * What LISTEN would be. Each process that waits for news keeps a connection, its bell, that sleeps in a statement; whoever has news for it ends that statement
 * (KILL QUERY, which every user may do to its own). A named lock for each of a few places says who has a bell, and a second one, held only while the statement
 * runs, whose statement there is to end. It is given up before the bell's process looks: so whoever finds it free has committed before that look, or finds it
 * taken again in a moment.
 *
 * The statement waits for a lock that the process itself holds on its other standing connection, and so never gets it. SLEEP would do, were it not for MariaDB:
 * all that sleep share a mutex there, and of two rings at once one often takes two seconds. Also, when the process dies the wait is over at once.
 *
 * Rings may be lost, doubled or late as all hints may. But one who can be sure to be rung need not look every few milliseconds.
 */
import type { Runtime } from "../../platform/runtime.js";
import { isDisconnect, isServerError } from "./failure.js";
import type { Liveness } from "./liveness.js";
import type { LockNames } from "./lock-names.js";
import { bellsMax, listMaxMs, type Ring } from "./ringer.js";
import type { Answer, Session } from "./session.js";
import type { Source } from "./source.js";
import { nowSql, numberOf, text } from "./sql.js";
import { answerMaxMs, standingSession, type StandingSession } from "./standing-session.js";

export interface Bell {
  /** There is somebody here who wants to hear it. */
  hang(): void;
  /** Is it rung for all news? Only then need nobody look for them. */
  isTrusted(): boolean;
  /** This process may not ring some bell: those who listen must know that they are not told of everything. */
  confess(): void;
  close(): void;
}

export interface BellOptions {
  readonly source: Source;
  readonly runtime: Runtime;
  readonly locks: LockNames;
  /** May it have a connection? Where the application's pool has too few, it must not take that of the lease. */
  readonly hasRoom: boolean;
  readonly workerTable: string;
  /** The other connection. */
  readonly live: Pick<Liveness, "hold" | "release">;
  readonly ring: (slot: number) => Promise<Ring>;
  readonly onRing: () => void;
}

/** Shorter than the minute after which many proxies end a connection that is silent. */
const napSeconds = 45;
/** By so much a nap that nobody ended may seem shorter than it was. */
const napSlackMs = 1000;
/** The bell is tried by ringing it, when it hangs for sure. */
const trialAfterMs = 20;
/** After trouble on a connection that is still there. */
const againMs = 500;
const interrupted = 1317;

/** The bells of this process by their locks: its stores tell one another. */
const ownBells = new Set<string>();
export const isOwnBell = (lockName: string): boolean => ownBells.has(lockName);

export const bell = (options: BellOptions): Bell => new StandingBell(options);

class StandingBell implements Bell {
  readonly #options: BellOptions;
  readonly #standing: StandingSession;
  #isWanted = false;
  #session: Session | undefined;
  #place: number | undefined;
  #isMute = false;
  #isAnybodyMute = true;
  #isTried = false;
  #trustedFromMs = Infinity;

  constructor(options: BellOptions) {
    this.#options = options;
    this.#standing = standingSession({
      source: options.source,
      runtime: options.runtime,
      isNeeded: () => this.#isWanted,
      onOpen: async (session) => void this.#attend(session),
    });
  }

  hang(): void {
    if (this.#isWanted || !this.#options.hasRoom) return;
    this.#isWanted = true;
    this.#standing.keep();
  }

  isTrusted(): boolean {
    return !this.#isMute && !this.#isAnybodyMute && this.#options.runtime.monotonicMs() >= this.#trustedFromMs;
  }

  confess(): void {
    if (this.#isMute) return;
    this.#isMute = true;
    // So that it says so now, and not when its nap is over.
    this.#ringOwn();
  }

  close(): void {
    this.#isWanted = false;
    this.#leave();
    this.#standing.close();
  }

  async #attend(session: Session): Promise<void> {
    const { runtime, locks, live, onRing } = this.#options;
    this.#session = session;
    try {
      const slot = session.hasTellingLocks ? await takePlace(session, locks) : undefined;
      // Here it cannot hang, nor will it after another attempt.
      if (slot === undefined) this.#isWanted = false;
      if (slot === undefined || !this.#isWanted) return session.destroy();
      this.#place = slot;
      ownBells.add(locks.bell(slot));
      await live.hold(locks.pillow(slot));
      // Whatever was said while it did not hang is unknown.
      onRing();
      for (;;) await this.#listen(session, slot);
    } catch (error) {
      // Unless another connection is in its place by now.
      if (this.#session === session) this.#leave();
      // What the server refuses once it will refuse again.
      if (isServerError(error) && !isDisconnect(error)) this.#isWanted = false;
      runtime.setTimer(() => session.destroy(), againMs);
    }
  }

  async #listen(session: Session, slot: number): Promise<void> {
    const { runtime, locks, live, workerTable, onRing } = this.#options;
    if (!this.#isTried) runtime.setTimer(() => this.#ringOwn(), trialAfterMs);
    const startMs = runtime.monotonicMs();
    const { isAnyMute, isFallen } = await nap(session, { locks, slot, isMute: this.#isMute, workerTable });
    const isRung = runtime.monotonicMs() - startMs < napSeconds * 1000 - napSlackMs;
    this.#isAnybodyMute = isAnyMute;
    // The first ring is the trial's, and means nothing else.
    if (isRung && this.#isTried) onRing();
    if (isRung && !this.#isTried) {
      this.#isTried = true;
      // Those who made their lists before it came will have made new ones by then.
      this.#trustedFromMs = runtime.monotonicMs() + listMaxMs;
    }
    // The other connection was cut.
    if (isFallen) await live.hold(locks.pillow(slot));
  }

  #ringOwn(): void {
    if (this.#place !== undefined) void this.#options.ring(this.#place).catch(() => undefined);
  }

  #leave(): void {
    const { locks, live } = this.#options;
    this.#isTried = false;
    this.#trustedFromMs = Infinity;
    if (this.#place === undefined) return;
    ownBells.delete(locks.bell(this.#place));
    void live.release(locks.pillow(this.#place));
    this.#place = undefined;
  }
}

/** The first that is free, and is now held. */
async function takePlace(session: Session, locks: LockNames): Promise<number | undefined> {
  const places = Array.from({ length: bellsMax }, (_, slot) => `WHEN GET_LOCK(${text(locks.bell(slot))},0) THEN ${slot}`);
  const [answer] = await session.run([`SELECT CASE 1 ${places.join(" ")} END`], answerMaxMs);
  const [slot] = answer?.rows[0] ?? [];
  return slot === null || slot === undefined ? undefined : numberOf(slot);
}

interface NapOptions {
  readonly locks: LockNames;
  readonly slot: number;
  readonly isMute: boolean;
  readonly workerTable: string;
}

/** Waits until somebody rings, or the nap is over. `isFallen`: the lock that it waits for was free. */
async function nap(
  session: Session,
  { locks, slot, isMute, workerTable }: NapOptions,
): Promise<{ readonly isAnyMute: boolean; readonly isFallen: boolean }> {
  const [armed, pillow] = [text(locks.armed(slot)), text(locks.pillow(slot))];
  const before = isMute ? [`DO GET_LOCK(${text(locks.mute)},0)`] : [];
  const sleep = `DO GET_LOCK(${armed},0),GET_LOCK(${pillow},${napSeconds})`;
  // Workers behind a pooler and the like, which have no lock that tells, may be unable to ring as well.
  const look = `SELECT IS_USED_LOCK(${text(locks.mute)}) IS NOT NULL OR EXISTS(SELECT 1 FROM ${workerTable} WHERE locked_on IS NULL AND lease_until>${nowSql})`;
  const after = [`SELECT RELEASE_LOCK(${armed}),RELEASE_LOCK(${pillow})`, look];
  let answers: readonly Answer[];
  try {
    answers = await session.run([...before, sleep, ...after], napSeconds * 1000 + answerMaxMs);
  } catch (error) {
    // What a ring does to the statement is another thing with each server, and each statement of the packet may be the one that it hits.
    if (!isServerError(error) || error.errno !== interrupted) throw error;
    answers = await session.run(after, answerMaxMs);
  }
  const [gotUp, looked] = answers.slice(-2);
  return { isAnyMute: numberOf(looked?.rows[0]?.[0] ?? 1) !== 0, isFallen: numberOf(gotUp?.rows[0]?.[1] ?? 0) === 1 };
}
