import { statfsSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";

const fileSystems: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x01021994: "tmpfs",
  0x794c7630: "overlayfs",
  0x6969: "nfs",
};

/** What the figures depend on, in a line. On tmpfs a commit costs no disk, so a warning comes with it. */
export function describeMachine(folder: string): string {
  const type = statfsSync(folder).type;
  const fileSystem = fileSystems[type] ?? `file system 0x${type.toString(16)}`;
  const warning =
    fileSystem === "tmpfs" ? " (memory, not a disk: commits look cheaper than they are; choose another place with --dir)" : "";
  const load = loadavg()[0] ?? Number.NaN;
  return `Node ${process.versions.node}, ${availableParallelism()} × ${cpus()[0]?.model ?? "unknown processor"}, load ${load.toFixed(2)}, files on ${fileSystem}${warning}`;
}
