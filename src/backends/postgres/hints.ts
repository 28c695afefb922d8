import type { Runtime, TimerHandle } from "../../platform/runtime.js";
import type { Session } from "./session.js";

/** Between two notifications of one process: they are hints, and one says as much as a hundred. */
const spacingMs = 5;

export interface HintsOptions {
  readonly runtime: Runtime;
  readonly channel: string;
  /** Sends a notification, off the path of any commit. */
  readonly notify: (sender: string) => Promise<unknown>;
  /** Makes a connection one of those that `noteListeners` is told the number of. */
  readonly enter: (session: Session) => Promise<void>;
}

export interface Hints {
  /** There is something that others may wait for. */
  tellOthers(): void;
  /** To be asked before listeners are counted; the answer is for `noteListeners`. */
  countNotes(): number;
  /**
   * How many others listen, as counted after `notesBefore`. Where nobody else does, nobody is told. Whoever comes makes itself known
   * before it listens and says so when it does: a count that missed it is older than what it said.
   */
  noteListeners(count: number, notesBefore: number): void;
  /** Subscribes on a new connection. What was said while there was none is unknown, so it counts as a hint. */
  listenOn(session: Session): Promise<void>;
  onHint(call: () => void): { stop(): void };
  close(): void;
}

/** Wakes the other processes, and is woken by them, through LISTEN and NOTIFY. */
export function createHints({ runtime, channel, notify, enter }: HintsOptions): Hints {
  const callbacks = new Set<{ readonly call: () => void }>();
  const sender = runtime.uuid();
  let timer: TimerHandle | undefined;
  /** May anybody else listen? */
  let isHeard = true;
  let notes = 0;
  let isBusy = false;
  let isWanted = false;
  let isClosed = false;

  const send = (): void => {
    isBusy = true;
    isWanted = false;
    // A notification that cannot be sent is a hint that is lost.
    void notify(sender)
      .catch(() => undefined)
      .then(() => {
        if (isClosed) return;
        timer = runtime.setTimer(() => {
          isBusy = false;
          if (isWanted) send();
        }, spacingMs);
      });
  };
  const wake = (): void => {
    for (const callback of callbacks) callback.call();
  };

  return {
    tellOthers(): void {
      if (!isHeard) return;
      isWanted = true;
      if (!isBusy && !isClosed) send();
    },
    countNotes: () => notes,
    noteListeners(count, notesBefore): void {
      if (count > 0 || notes === notesBefore) isHeard = count > 0;
    },
    async listenOn(session: Session): Promise<void> {
      const { client, isPooled } = session;
      // Behind a transaction pooler the subscription would stay on whichever connection it happened to reach: polling alone makes progress.
      if (isPooled) return;
      client.on("notification", (message: { readonly channel: string; readonly payload?: string }) => {
        if (message.channel !== channel || message.payload === sender) return;
        notes += 1;
        isHeard = true;
        wake();
      });
      await enter(session);
      await client.query(`LISTEN "${channel}"`);
      await notify(sender).catch(() => undefined);
      wake();
    },
    onHint(call: () => void): { stop(): void } {
      const callback = { call };
      callbacks.add(callback);
      return { stop: () => void callbacks.delete(callback) };
    },
    close(): void {
      isClosed = true;
      timer?.cancel();
      callbacks.clear();
    },
  };
}
