import { readdirSync, readFileSync } from "node:fs";

/** Linux counts the time of processes in hundredths of a second, whatever its own clock does. */
const msPerTick = 10;

interface ProcessTimes {
  readonly parent: number;
  /** User and system time of all its threads, and of its children that are gone. */
  readonly ticks: number;
}

/** What `/proc/<pid>/stat` says. The name in it may hold spaces and brackets, hence the search from behind. */
export function parseStat(text: string): ProcessTimes {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
  return { parent: Number(fields[1]), ticks };
}

function timesOf(pid: number | string): ProcessTimes | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    // It has just ended: its parent has its time now.
    return undefined;
  }
}

/** The time that a server has used so far: its process, the children that are gone, and those that live (PostgreSQL has one for each connection). */
export function serverCpuSoFarMs(pid: number): number {
  const own = timesOf(pid);
  if (own === undefined) throw new Error(`there is no process ${pid} to take the time of`);
  const children = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(timesOf)
    .filter((times) => times?.parent === pid);
  return children.reduce((sum, times) => sum + (times?.ticks ?? 0), own.ticks) * msPerTick;
}
