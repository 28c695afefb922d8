import { closeSync, constants, openSync, statSync, writeSync } from "node:fs";

/** A sign between processes that somebody waits for the write lock: a small file beside the database whose modification time moves. A hint, no lock. */
export interface WaitMark {
  /** I wait. */
  leave(): void;
  /** Did another process leave a mark since I last looked? Costs a few microseconds. */
  seen(): boolean;
  close(): void;
}

/** Undefined if the file cannot be written: then writers do not stand back for each other. */
export function waitMark(path: string): WaitMark | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch {
    return undefined;
  }
  const look = (): bigint => statSync(path, { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? 0n;
  let last = look();
  let closed = false;
  return {
    leave() {
      try {
        writeSync(file, ".", 0);
      } catch {
        // A full disk: the wait goes on without a mark.
      }
      // My own mark is not for me.
      last = look();
    },
    seen() {
      const now = look();
      const moved = now !== last;
      last = now;
      return moved;
    },
    close() {
      // Twice would close a descriptor that by then may be somebody else's.
      if (!closed) closeSync(file);
      closed = true;
    },
  };
}
