import type { Runtime, TimerHandle } from "../../platform/runtime.js";
import { isServerError } from "./failure.js";
import type { Lanes } from "./lanes.js";
import type { LockNames } from "./lock-names.js";
import { text } from "./sql.js";

/** How many bells there can be; whoever comes when all places are taken goes on by looking. */
export const bellsMax = 32;

/** How old the list of the bells may get: whoever has come since is not rung. */
export const listMaxMs = 1000;

/** `away`: there is none, or it is just being hung up again after a ring. `denied`: it is another user's, and this one may not end its statements. */
export type Ring = "rung" | "away" | "denied";

/**
 * Rings one bell: ends the statement in which its connection waits. Whose connection that is the server looks up as it does so, by a lock that this
 * connection holds for just as long as it waits: no number is kept that could be somebody else's by then.
 */
export function ring(lanes: Lanes, locks: LockNames, slot: number): Promise<Ring> {
  return lanes.transact(async (work) => {
    try {
      await work.run([`KILL QUERY IS_USED_LOCK(${text(locks.armed(slot))})`]);
      return "rung";
    } catch (error) {
      if (!isServerError(error)) throw error;
      return missing.has(error.errno) ? "away" : "denied";
    }
  });
}

/** "Unknown thread id", which NULL is; and what a server may say of NULL as an argument. */
const missing = new Set([1094, 1210]);

/** Tells the other processes, off the path of any commit, and one ring for as many commits as there are meanwhile. */
export interface Ringer {
  tellOthers(): void;
  close(): void;
}

export interface RingerOptions {
  readonly lanes: Lanes;
  readonly locks: LockNames;
  readonly runtime: Runtime;
  /** Is this a bell of this process, whose stores tell one another? */
  readonly isOwn: (lockName: string) => boolean;
  /** There is a bell that this process may not ring. */
  readonly onDenied: () => void;
}

/** Between two rings: they are hints, and one says as much as a hundred. */
const spacingMs = 5;
/** A bell that was just rung is hung up again within a round trip; one whose process hangs is not, and must not be tried for ever. */
const triesMax = 8;
const retryMaxMs = 32;

export function ringer({ lanes, locks, runtime, isOwn, onDenied }: RingerOptions): Ringer {
  let listed: readonly number[] = [];
  let listedMs = -Infinity;
  let unrung: readonly number[] = [];
  let tries = 0;
  let timer: TimerHandle | undefined;
  let isBusy = false;
  let isWanted = false;
  let isClosed = false;

  const isListOld = (): boolean => runtime.monotonicMs() - listedMs >= listMaxMs;
  const list = async (): Promise<void> => {
    const slots = Array.from({ length: bellsMax }, (_, slot) => slot);
    const users = slots.map((slot) => `IS_USED_LOCK(${text(locks.bell(slot))})`);
    const askedMs = runtime.monotonicMs();
    const [answer] = await lanes.transact((work) => work.run([`SELECT ${users.join(",")}`]));
    const row = answer?.rows[0] ?? [];
    listed = slots.filter((slot) => (row[slot] ?? null) !== null && !isOwn(locks.bell(slot)));
    listedMs = askedMs;
  };
  const forget = (slots: readonly number[]): void => void (listed = listed.filter((slot) => !slots.includes(slot)));

  const goRound = async (): Promise<void> => {
    if (isWanted) {
      isWanted = false;
      if (isListOld()) await list();
      unrung = listed;
      tries = 0;
    }
    const rings = await Promise.all(unrung.map(async (slot) => ({ slot, how: await ring(lanes, locks, slot) })));
    const denied = rings.filter(({ how }) => how === "denied").map(({ slot }) => slot);
    unrung = rings.filter(({ how }) => how === "away").map(({ slot }) => slot);
    tries += 1;
    if (denied.length > 0) onDenied();
    forget(denied);
    if (tries < triesMax) return;
    forget(unrung);
    unrung = [];
  };
  const send = (): void => {
    isBusy = true;
    // A ring that cannot be sent is a hint that is lost.
    const lose = (): void => void (unrung = []);
    void goRound()
      .catch(lose)
      .then(() => {
        if (isClosed) return;
        timer = runtime.setTimer(
          () => {
            isBusy = false;
            if (isWanted || unrung.length > 0) send();
          },
          unrung.length > 0 ? Math.min(retryMaxMs, 2 ** (tries - 1)) : spacingMs,
        );
      });
  };

  return {
    tellOthers() {
      if (isClosed || (listed.length === 0 && !isListOld())) return;
      isWanted = true;
      if (!isBusy) send();
    },
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}
