import type { Runtime, TimerHandle } from "../../platform/runtime.js";
import type { Session } from "./session.js";

/** Between two notifications of one process: they are hints, and one says as much as a hundred. */
const spacingMs = 5;

export interface HintsOptions {
  readonly runtime: Runtime;
  readonly channel: string;
  /** Sends a notification, off the path of any commit. */
  readonly notify: (sender: string) => Promise<unknown>;
}

export interface Hints {
  /** There is something that others may wait for. */
  tellOthers(): void;
  /** Subscribes on a new connection. What was said while there was none is unknown, so it counts as a hint. */
  listenOn(session: Session): Promise<void>;
  onHint(call: () => void): { stop(): void };
  close(): void;
}

/** Wakes the other processes, and is woken by them, through LISTEN and NOTIFY. */
export function createHints({ runtime, channel, notify }: HintsOptions): Hints {
  const callbacks = new Set<{ readonly call: () => void }>();
  const sender = runtime.uuid();
  let timer: TimerHandle | undefined;
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
      isWanted = true;
      if (!isBusy && !isClosed) send();
    },
    async listenOn({ client, isPooled }: Session): Promise<void> {
      // Behind a transaction pooler the subscription would stay on whichever connection it happened to reach: polling alone makes progress.
      if (isPooled) return;
      client.on("notification", (message: { readonly channel: string; readonly payload?: string }) => {
        if (message.channel === channel && message.payload !== sender) wake();
      });
      await client.query(`LISTEN "${channel}"`);
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
