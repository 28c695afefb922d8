import type { Message } from "./children.js";
import type { Place } from "./sites.js";

/** The argument of a process, as JSON. */
export interface ProcessArgs {
  readonly workload: string;
  /** Absent in the process of the workload itself. */
  readonly role?: string;
  readonly input?: Message;
  readonly settings: Settings;
}

export interface Settings {
  /** The workload's own database. */
  readonly place: Place;
  /** The process of its server, if its time can be taken. */
  readonly serverPid?: number;
  readonly quick: boolean;
  readonly sleepers: number;
  readonly folder: string;
  /** Where CPU profiles go, if they are wanted. */
  readonly profileFolder?: string;
}

/** What `spawnProcess` starts for workloads and their roles. */
export const processEntry = new URL("./process.js", import.meta.url);

/** What every process of the benchmark is started with. */
export const nodeOptions = ({ profileFolder }: Settings): readonly string[] =>
  profileFolder === undefined ? ["--expose-gc"] : ["--expose-gc", "--cpu-prof", "--cpu-prof-dir", profileFolder];
