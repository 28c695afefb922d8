import { closeSync, openSync, readSync } from "node:fs";

/**
 * How many write transactions a SQLite file in WAL mode has seen, by all connections of all processes: the counter `iChange` in the header of the
 * wal-index (bytes 8 to 11 of the -shm file, in the machine's byte order). It tells what was committed, whatever an engine says about itself.
 */
export function walCommits(databaseFile: string): number {
  const file = openSync(`${databaseFile}-shm`, "r");
  try {
    const bytes = new Uint8Array(4);
    readSync(file, bytes, 0, 4, 8);
    return new Uint32Array(bytes.buffer)[0] ?? Number.NaN;
  } finally {
    closeSync(file);
  }
}
