import { everything, hintOf, type Hint, type News } from "../../backend/index.js";
import type { Runtime, TimerHandle } from "../../platform/runtime.js";
import type { Session } from "./session.js";

/**
 * Between two notifications of one process: they are hints, and one says as much as a hundred. One piece of news at a time, as of people and webhooks and of
 * whoever does one thing after the other, has hardly to wait; those that come in crowds share a notification.
 */
const spacingMaxMs = 5;
const spacingMsPerPiece = 1;

/** More pieces of news at once are a sign of load: then a notification keeps out of the way of commits. */
const announcedMax = 3;

export interface HintsOptions {
  readonly runtime: Runtime;
  readonly channel: string;
  /** Sends a notification, off the path of any commit. */
  readonly notify: (note: string) => Promise<unknown>;
  /** Makes a connection one of those that `noteListeners` is told the number of. */
  readonly enter: (session: Session) => Promise<void>;
}

export interface Hints {
  /** There is something that others may wait for: what about, and how many pieces of news. */
  tellOthers(about: News, pieces?: number): void;
  /**
   * Somebody is about to make so many pieces of news: the notification, if it may be sent right behind what makes them, and so a round trip sooner.
   * Undefined: `tellOthers` when they are made.
   */
  announce(about: News, pieces: number): string | undefined;
  /** To be asked before listeners are counted; the answer is for `noteListeners`. */
  countNotes(): number;
  /**
   * How many others listen, as counted after `notesBefore`. Where nobody else does, nobody is told. Whoever comes makes itself known
   * before it listens and says so when it does: a count that missed it is older than what it said.
   */
  noteListeners(count: number, notesBefore: number): void;
  /** Subscribes on a new connection. What was said while there was none is unknown, so it counts as a hint. */
  listenOn(session: Session): Promise<void>;
  onHint(call: (hint: Hint) => void): { stop(): void };
  close(): void;
}

interface Teller {
  tell(about: News, pieces: number): void;
  announce(about: News, pieces: number): string | undefined;
  close(): void;
}

/** Tells of news, not too often. */
function createTeller(runtime: Runtime, sender: string, notify: HintsOptions["notify"]): Teller {
  let timer: TimerHandle | undefined;
  let isBusy = false;
  /** News of which nobody was told yet: how many pieces, and what about. */
  let untold = 0;
  let untoldAbout: News = 0;
  let isClosed = false;

  const pauseAfter = (pieces: number): void => {
    if (isClosed) return;
    const pauseMs = Math.min(spacingMaxMs, pieces * spacingMsPerPiece);
    timer = runtime.setTimer(() => {
      isBusy = false;
      if (untold > 0) send();
    }, pauseMs);
  };
  const send = (): void => {
    isBusy = true;
    const [pieces, note] = [untold, noteOf(sender, untoldAbout)];
    untold = 0;
    untoldAbout = 0;
    // A notification that cannot be sent is a hint that is lost.
    void notify(note)
      .catch(() => undefined)
      .then(() => pauseAfter(pieces));
  };
  return {
    tell(about, pieces) {
      untoldAbout |= about;
      untold += pieces;
      if (!isBusy && !isClosed) send();
    },
    announce(about, pieces) {
      if (isBusy || isClosed || pieces === 0 || pieces > announcedMax) return undefined;
      isBusy = true;
      pauseAfter(pieces);
      return noteOf(sender, about);
    },
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}

/** Wakes the other processes, and is woken by them, through LISTEN and NOTIFY. */
export function createHints({ runtime, channel, notify, enter }: HintsOptions): Hints {
  const callbacks = new Set<{ readonly call: (hint: Hint) => void }>();
  const sender = runtime.uuid();
  const teller = createTeller(runtime, sender, notify);
  /** May anybody else listen? */
  let isHeard = true;
  let notes = 0;

  const wake = (about: News): void => {
    const hint = hintOf(about);
    for (const callback of callbacks) callback.call(hint);
  };

  return {
    tellOthers(about, pieces = 1): void {
      if (isHeard) teller.tell(about, pieces);
    },
    announce: (about, pieces) => (isHeard ? teller.announce(about, pieces) : undefined),
    countNotes: () => notes,
    noteListeners(count, notesBefore): void {
      if (count > 0 || notes === notesBefore) isHeard = count > 0;
    },
    async listenOn(session: Session): Promise<void> {
      const { client, isPooled } = session;
      // Behind a transaction pooler the subscription would stay on whichever connection it happened to reach: polling alone makes progress.
      if (isPooled) return;
      client.on("notification", (message: { readonly channel: string; readonly payload?: string }) => {
        if (message.channel !== channel) return;
        const [from, about] = readNote(message.payload ?? "");
        if (from === sender) return;
        notes += 1;
        isHeard = true;
        wake(about);
      });
      await enter(session);
      await client.query(`LISTEN "${channel}"`);
      await notify(noteOf(sender, everything)).catch(() => undefined);
      wake(everything);
    },
    onHint(call): { stop(): void } {
      const callback = { call };
      callbacks.add(callback);
      return { stop: () => void callbacks.delete(callback) };
    },
    close(): void {
      teller.close();
      callbacks.clear();
    },
  };
}

const noteOf = (sender: string, about: News): string => `${sender} ${about}`;

/** Of a transaction of an application there is neither sender nor subject. */
function readNote(note: string): readonly [sender: string, about: News] {
  const [sender = "", about] = note.split(" ");
  return [sender, about === undefined ? everything : Number(about)];
}
