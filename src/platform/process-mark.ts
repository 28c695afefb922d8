import { readFileSync, readlinkSync } from "node:fs";

/**
 * Names this process for others on its machine: the boot of the system, the view of processes that it has (a container has its own), its id, and when it
 * began, since ids are used again. Undefined where the system does not say.
 */
export function processMark(): string | undefined {
  try {
    const { pid } = process;
    return `${placeOfProcesses()} ${pid} ${statOf(pid).began}`;
  } catch {
    return undefined;
  }
}

/** Is the process of a mark dead for certain? Also false if nobody can tell from here. */
export function isGone(mark: string): boolean {
  const [boot, view, pid, began] = mark.split(" ");
  try {
    if (`${boot} ${view}` !== placeOfProcesses()) return false;
    if (!exists(Number(pid))) return true;
    const stat = statOf(Number(pid));
    return stat.began !== began || stat.isZombie;
  } catch {
    return false;
  }
}

const placeOfProcesses = (): string =>
  `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()} ${readlinkSync("/proc/self/ns/pid")}`;

function statOf(pid: number): { readonly began: string; readonly isZombie: boolean } {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name of the program stands before, in parentheses, and may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  const began = fields[19];
  if (began === undefined) throw new Error("the system describes its processes in another way");
  return { began, isZombie: state === "Z" || state === "X" };
}

/** Asked of the system itself: what `/proc` shows may be hidden. */
function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { readonly code?: unknown }).code !== "ESRCH";
  }
}
