import type { Backend } from "perdure";
import type { Child, Message, Post } from "./children.js";
import type { Measurement } from "./report.js";
import type { BackendName, Place } from "./sites.js";

/** What a workload is given. All of it crosses process borders as JSON, the methods apart. */
export interface Bench {
  readonly backend: BackendName;
  readonly quick: boolean;
  readonly sleepers: number;
  /** Exists, is empty at first, and is removed afterwards. */
  readonly folder: string;
  /** Where `openBackend` keeps its data. */
  readonly place: Place;
  /** The database server, if there is one and its time can be taken. */
  readonly serverPid: number | undefined;
  /** A backend on this workload's data. Within a process, always on the same data. */
  openBackend(): Backend;
  /** Starts another process of this workload, on the same data. */
  spawn(role: string, input?: Message): Child;
}

/** The part of a workload that runs in a process which `spawn` started. It ends when the returned promise does. */
export type Role = (bench: Bench, post: Post, input: Message) => Promise<void>;

export interface Workload {
  readonly name: string;
  /** What it does, for the usage text. */
  readonly title: string;
  readonly backends: readonly BackendName[];
  /** Runs in a process of its own. Throws if the work itself went wrong. */
  run(bench: Bench): Promise<Measurement>;
  readonly roles?: Readonly<Record<string, Role>>;
}
