import { statSync } from "node:fs";
import { PerdureError } from "../../errors.js";

/** Which file a connection is on: a path can come to mean another file, and writes to a deleted file vanish without an error. */
export interface FileIdentity {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/** Undefined if there is no such file. Reads the directory entry only: opening and closing the file here would drop the locks that SQLite holds on it. */
export function identifyFile(path: string): FileIdentity | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : { path, device: stats.dev, inode: stats.ino };
}

/**
 * Checks that the path still leads to the file it led to. Costs a few microseconds.
 * @throws PerdureError `backend_mismatch` if the file was deleted, moved or replaced.
 */
export function assertSameFile(identity: FileIdentity): void {
  const found = identifyFile(identity.path);
  if (found === undefined) {
    throw new PerdureError(
      "backend_mismatch",
      `${identity.path}: the database file was deleted or moved while in use. Put it back (with its -wal file) or restore a backup, then restart.`,
    );
  }
  if (found.device !== identity.device || found.inode !== identity.inode) {
    throw new PerdureError(
      "backend_mismatch",
      `${identity.path}: the database file was replaced by another one while in use. Stop all processes that use it, then restart.`,
    );
  }
}
