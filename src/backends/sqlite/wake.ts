/**
 * Hints between processes that the database has changed: a wake file that writers touch after their commits and everybody watches. Where watching does not
 * work, or an event is lost, a look at `PRAGMA data_version` every now and then finds out; it alone makes progress, only later.
 */
import type { FSWatcher } from "node:fs";
import { closeSync, constants, openSync, watch, writeSync } from "node:fs";
import type { Runtime, TimerHandle } from "../../platform/runtime.js";

export interface Wake {
  /** I committed something that others may wait for. Cheap: at most one write per few milliseconds. */
  touch(): void;
  /** Calls back, at once and then at most every few milliseconds, when another process may have committed. */
  onWake(callback: () => void): { stop(): void };
  close(): void;
}

export interface WakeOptions {
  /** Undefined for a database in memory: nobody else to wake. */
  readonly file: string | undefined;
  readonly runtime: Pick<Runtime, "setTimer">;
  /** A number that changes when another connection commits (`PRAGMA data_version`); throws while there is no connection. */
  readonly dataVersion: () => number;
  /** How often to look at `dataVersion` while things happen. Default: 250. */
  readonly pollMs?: number;
  /** How often when nothing has happened for a while. Default: 1000. */
  readonly idlePollMs?: number;
  /** Watch the file? Default: true. */
  readonly watching?: boolean;
}

const coalesceMs = 5;
/** After so many looks without news, look less often. */
const idleAfterPolls = 20;

export function wake(options: WakeOptions): Wake {
  const { runtime, file } = options;
  const callbacks = new Set<() => void>();
  const own = file === undefined ? undefined : openWakeFile(file);
  const announce = coalesce(runtime, () => own?.write());
  let version = safely(options.dataVersion);
  let watcher: FSWatcher | undefined;
  let closed = false;

  const notify = coalesce(runtime, () => {
    // Every touch of this process comes back as an event, too: only a changed version is another's commit.
    const now = safely(options.dataVersion);
    if (now === version && now !== undefined) return;
    version = now;
    for (const callback of callbacks) callback();
  });

  const startWatching = (): void => {
    if (file === undefined || closed || options.watching === false) return;
    try {
      watcher = watch(file, { persistent: false }, () => notify.call());
      watcher.on("error", () => stopWatching());
    } catch {
      // No watcher to be had (limits of the system, an exotic file system): polling goes on.
    }
  };
  const stopWatching = (): void => {
    watcher?.close();
    watcher = undefined;
  };
  startWatching();
  const poll = startPolling(options, () => {
    const before = version;
    notify.call();
    return version !== before || watcher === undefined;
  });

  return {
    touch: () => announce.call(),
    onWake(callback) {
      callbacks.add(callback);
      return { stop: () => void callbacks.delete(callback) };
    },
    close() {
      // Twice would close a descriptor that by then may be somebody else's.
      if (closed) return;
      closed = true;
      poll.stop();
      announce.stop();
      notify.stop();
      stopWatching();
      own?.close();
      callbacks.clear();
    },
  };
}

/** Looks again and again, less often once `look` has returned false for a while: nothing new, and a watcher that would tell. */
function startPolling(options: WakeOptions, look: () => boolean): { stop(): void } {
  const { runtime, file, pollMs = 250, idlePollMs = 1000 } = options;
  if (file === undefined) return { stop() {} };
  let quiet = 0;
  let timer: TimerHandle;
  const tick = (): void => {
    quiet = look() ? 0 : quiet + 1;
    timer = runtime.setTimer(tick, quiet < idleAfterPolls ? pollMs : idlePollMs);
  };
  timer = runtime.setTimer(tick, pollMs);
  return { stop: () => timer.cancel() };
}

/** Acts at once, and when called again soon after, once more at the end of the pause. */
function coalesce(runtime: Pick<Runtime, "setTimer">, act: () => void): { call(): void; stop(): void } {
  let timer: TimerHandle | undefined;
  let again = false;
  let stopped = false;
  const call = (): void => {
    if (stopped) return;
    if (timer !== undefined) {
      again = true;
      return;
    }
    again = false;
    timer = runtime.setTimer(() => {
      timer = undefined;
      if (again) call();
    }, coalesceMs);
    act();
  };
  return {
    call,
    stop() {
      stopped = true;
      timer?.cancel();
    },
  };
}

interface WakeFile {
  write(): void;
  close(): void;
}

/** Touches the wake file of a database once, if it has one: for a commit on a connection that is not a store's. */
export function touchWakeFile(database: string): void {
  try {
    const file = openSync(`${database}-wake`, constants.O_RDWR);
    try {
      writeSync(file, ".", 0);
    } finally {
      closeSync(file);
    }
  } catch {
    // No store has this database open, or the disk is full: whoever waits polls.
  }
}

/** Writes one byte over itself: that moves the modification time and is an event on every platform's watcher. */
function openWakeFile(path: string): WakeFile | undefined {
  try {
    const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    return {
      write() {
        try {
          writeSync(file, ".", 0);
        } catch {
          // A full disk: the others find out by polling.
        }
      },
      close: () => closeSync(file),
    };
  } catch {
    return undefined;
  }
}

function safely(read: () => number): number | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
