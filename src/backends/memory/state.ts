/** The tables of the memory store and the indexes over them. The operations beside this file are the only writers; checkers may read everything. */
import type {
  ChunkRecord,
  EndedStatus,
  EntryRecord,
  HistoryRecord,
  InboxRecord,
  NewTask,
  News,
  ParkReason,
  Payload,
  RunKey,
  TaskKey,
  WorkerKey,
} from "../../backend/index.js";
import { createDueIndex, type Due, type DueIndex } from "./due-index.js";

/** The store's name of a chain of runs that continue one another: the key of its first run. Inbox, entries, streams and attributes belong to the chain. */
export type ChainKey = number;

export interface RunRow extends Due<RunRow> {
  readonly key: RunKey;
  readonly chain: ChainKey;
  readonly workflowId: string;
  readonly runId: string;
  readonly name: string;
  readonly route: string;
  readonly version: string | null;
  readonly engineVersion: number;
  readonly inputHash: string;
  readonly createdAt: number;
  readonly deadlineAt: number | null;
  readonly parentRunId: string | null;
  readonly options: string | null;
  status: "running" | "parked" | EndedStatus;
  endedAt: number | null;
  owner: WorkerKey | null;
  epoch: number;
  lastSeq: number;
  inboxSeen: number;
  /** How many items the inbox had when the chain went on without this run; null while it has not. */
  inboxCountAtEnd: number | null;
  /** The run that went on in the place of this one. */
  nextInChain: RunRow | null;
  crashCount: number;
  /** Was the crash count at the threshold when the run was last claimed? Then its worker's death is put down to it. */
  claimedAsSuspect: boolean;
  parkCount: number;
  parkReason: ParkReason | null;
}

export interface InboxRow extends InboxRecord {
  /** Has a turn taken it? Its payload is dropped then; the row stays for its place and its dedupe key. */
  readonly consumed: boolean;
}

export interface Inbox {
  /** How many items were ever put in: the position of the newest. */
  count: number;
  unread: number;
  /** While the run is open, the item at position p is at index p - 1; after the end only the unread ones are left. */
  rows: InboxRow[];
  readonly dedupeKeys: Set<string>;
}

export interface TaskRow extends Due<TaskRow>, Omit<NewTask, "dueAt" | "expiresAt" | "details"> {
  readonly key: TaskKey;
  readonly runKey: RunKey;
  owner: WorkerKey | null;
  epoch: number;
  crashCount: number;
  expiresAt: number | null;
  details: Payload | null;
  /** Has its worker given the claim up for somebody who has the token? Then nobody claims it. */
  isDetached: boolean;
  cancelRequested: boolean;
}

/** A stream of a chain: its chunks, and the last number of each of its writers. */
export interface StreamRows {
  readonly chunks: ChunkRecord[];
  readonly lastNumbers: Map<string, number>;
}

export interface WorkerRow {
  readonly key: WorkerKey;
  readonly workerId: string;
  leaseUntil: number;
}

export interface MemoryState {
  // tables
  readonly runs: Map<RunKey, RunRow>;
  readonly histories: Map<RunKey, HistoryRecord[]>;
  readonly inboxes: Map<ChainKey, Inbox>;
  /** By chain, then by name. */
  readonly entries: Map<ChainKey, Map<string, EntryRecord>>;
  readonly streams: Map<ChainKey, Map<string, StreamRows>>;
  readonly attributes: Map<ChainKey, Map<string, string>>;
  readonly tasks: Map<TaskKey, TaskRow>;
  /** Living workers; a dead or retired one is deleted. */
  readonly workers: Map<WorkerKey, WorkerRow>;

  // indexes
  readonly runByRunId: Map<string, RunRow>;
  readonly newestRunByWorkflowId: Map<string, RunRow>;
  /** Open runs without owner that want to be driven, by crash count: below the threshold, and at or above it. */
  readonly dueRuns: DueIndex<RunRow>;
  readonly dueSuspects: DueIndex<RunRow>;
  readonly dueTasks: DueIndex<TaskRow>;
  readonly parkedByRoute: Map<string, Set<RunRow>>;
  readonly runsByOwner: Map<WorkerKey, Set<RunRow>>;
  readonly tasksByOwner: Map<WorkerKey, Set<TaskRow>>;
  /** Tasks that expire at some time. */
  readonly expiringTasks: Set<TaskRow>;
  readonly runsByParent: Map<string, Set<RunRow>>;
  /** By run, then by command. */
  readonly tasksByRun: Map<RunKey, Map<number, TaskRow>>;

  /** The last key that was given out, of each kind. */
  readonly lastKeys: { run: RunKey; task: TaskKey; worker: WorkerKey };
  /** One for each open store: called after commits of the other stores that may matter to it. */
  readonly listeners: Set<{ readonly onNews: (about: News) => void }>;
}

export function createMemoryState(): MemoryState {
  return {
    runs: new Map(),
    histories: new Map(),
    inboxes: new Map(),
    entries: new Map(),
    streams: new Map(),
    attributes: new Map(),
    tasks: new Map(),
    workers: new Map(),
    runByRunId: new Map(),
    newestRunByWorkflowId: new Map(),
    dueRuns: createDueIndex(),
    dueSuspects: createDueIndex(),
    dueTasks: createDueIndex(),
    parkedByRoute: new Map(),
    runsByOwner: new Map(),
    tasksByOwner: new Map(),
    expiringTasks: new Set(),
    runsByParent: new Map(),
    tasksByRun: new Map(),
    lastKeys: { run: 0, task: 0, worker: 0 },
    listeners: new Set(),
  };
}

/** From this crash count on, a run is driven one at a time, so that the next crash convicts one run. */
export const suspectCrashCount = 2;

export const isSuspect = (row: RunRow): boolean => row.crashCount >= suspectCrashCount;

export function addTo<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  if (values === undefined) index.set(key, new Set([value]));
  else values.add(value);
}

export function removeFrom<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  if (values === undefined) return;
  values.delete(value);
  if (values.size === 0) index.delete(key);
}

/** A row that the state's own rules say is there. */
export function rowOf<K, V>(table: ReadonlyMap<K, V>, key: K): V {
  const row = table.get(key);
  if (row === undefined) throw new Error(`The memory store lost the row of key ${String(key)}.`);
  return row;
}
