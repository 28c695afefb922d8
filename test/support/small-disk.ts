import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system of its own that can be filled up without harm to anybody. */
export interface SmallDisk {
  readonly folder: string;
  /** Takes all that is left. */
  fill(): void;
  /** Gives it back. */
  free(): void;
  remove(): void;
}

/** @param owned a file of the user whose disk it shall be · Undefined where this process may not mount one. */
export function smallDisk(sizeMb: number, owned: string): SmallDisk | undefined {
  const folder = mkdtempSync(join(tmpdir(), "perdure-disk-"));
  const { uid, gid } = statSync(owned);
  const options = `size=${sizeMb}m,mode=700,uid=${uid},gid=${gid}`;
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", options, "perdure-test", folder]);
  if (status !== 0) {
    rmSync(folder, { recursive: true });
    return undefined;
  }
  const ballast = join(folder, "ballast");
  return {
    folder,
    fill() {
      const file = openSync(ballast, "a");
      try {
        // Page by page: a larger piece would leave room for some of the smaller ones that others write.
        for (const page = Buffer.alloc(4096); ;) writeSync(file, page);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(ballast, { force: true }),
    remove() {
      spawnSync("umount", [folder]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
