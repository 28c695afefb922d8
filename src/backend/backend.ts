/**
 * The contract of every store. It speaks records whose payloads are already encoded, knows no workflow semantics beyond them and is batch-first.
 *
 * What a store must hold, at READ COMMITTED or stronger and whatever its callers do:
 * - A run has at most one owner per epoch; every claim raises the epoch; a turn commits only at its epoch and directly after the run's last line.
 * - One operation is one atomic change; operations of one `apply` share a commit but not their fate.
 * - At most one open run per workflow id; sequence numbers and inbox positions have no gaps.
 * - An accepted inbox item is delivered to an open run or stays unread in an ended one: ending is conditional on the inbox.
 * - A call that rejects with a `StoreFailure` says whether its writes may have happened (`outcome`).
 */
import type { Runtime } from "../platform/runtime.js";
import type { Hint } from "./news.js";
import type { Operation, Outcome } from "./operations.js";
import type {
  Attribute,
  ChunkRecord,
  ClaimedRun,
  ClaimedTask,
  EntryRecord,
  HistoryRecord,
  InboxRecord,
  RunKey,
  RunOutcome,
  RunRecord,
  RunStatus,
  RunTarget,
  TaskKey,
  WorkerKey,
} from "./records.js";

/** What users hand to `launch` and `connect`: a description of a store that is not open yet. */
export interface Backend {
  /** "sqlite", "memory", …: for people and logs. */
  readonly kind: string;
  /** Opens the store, creating or migrating its tables if need be. May be called several times; each opens its own connection. */
  open(runtime: Runtime): Promise<Store>;
}

/** What a worker has to know when nobody tells it anything. */
export interface Pulse {
  /** Does the lease hold? If it has expired or the worker was declared dead, it must stop and register anew. */
  readonly isAlive: boolean;
  /** Does this worker hold any run or task? Also one that it does not know of, because the answer of a claim was lost. */
  readonly ownsAny: boolean;
  /** Does anybody else? Then there is something to take over if they die. */
  readonly othersOwn: boolean;
  /** The earliest time at which a run that nobody owns was or will be due on the routes asked for, null if there is none. */
  readonly nextRunDueAt: number | null;
  readonly nextTaskDueAt: number | null;
  /** May `recover` find something to do? */
  readonly hasCasualties: boolean;
  /** May `expireTasks`? */
  readonly hasExpired: boolean;
}

/** An open store. All times that come out of it, or that it compares, are on one clock: its own. */
export interface Store {
  readonly kind: string;
  /** The store's clock now, as far as this process knows it, in ms. */
  now(): number;

  // writes
  /**
   * How many calls of `apply` may well be under way at once, which is more than one where the store can work on one while this process makes the next; and
   * how many operations make it worth while to begin one beside another rather than wait for it.
   */
  readonly concurrentApplies: { readonly max: number; readonly operationsMin: number };
  /** Applies the operations in order in one commit; the outcome at an index belongs to the operation at that index. */
  apply<const Operations extends readonly Operation[]>(
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }>;
  /**
   * The same inside a transaction of the application's own, on its connection: what is written counts when that commits, and is gone if it does not.
   * @throws PerdureError `invalid_argument` for what is no connection of this store's database
   */
  applyWithin<const Operations extends readonly Operation[]>(
    transaction: unknown,
    operations: Operations,
  ): Promise<{ [I in keyof Operations]: Outcome<Operations[I]> }>;

  // workers and their leases
  /** Enters a worker process; it holds its runs and tasks as long as its lease and its liveness lock last. */
  registerWorker(options: { readonly workerId: string; readonly leaseMs: number }): Promise<{ readonly worker: WorkerKey }>;
  /**
   * The one question that an idle worker asks: prolongs its lease, unless `leaseMs` is null, and says what there is to do. As few statements as the database
   * allows, and cheap however many runs sleep. Never waits behind `apply`.
   */
  pulse(options: {
    readonly worker: WorkerKey;
    readonly leaseMs: number | null;
    readonly runRoutes: readonly string[];
    readonly taskRoutes: readonly string[];
  }): Promise<Pulse>;
  /** Takes leave: gives up all runs and tasks at once, without counting a crash. */
  retireWorker(worker: WorkerKey): Promise<void>;
  /**
   * Frees the runs and tasks of every dead worker (lease expired, or seen dead by liveness lock): owner cleared, epoch raised, due at once, crash count raised.
   * If a dead worker owned runs whose crash count was 2 or more when they were claimed, only those are charged: it drives such runs one at a time.
   */
  recover(self: WorkerKey | null): Promise<{ readonly workers: number; readonly runs: number; readonly tasks: number }>;
  /** Removes the tasks whose `expiresAt`, or whose heartbeat, is overdue, and tells their runs (`activity_expired`, with the last details). Answers how many. */
  expireTasks(): Promise<number>;

  // claims
  /**
   * Takes up to `limit` runs that are due, have no owner, are on one of `routes`, and whose crash count is below 2; up to `suspects` (0 or 1) more of those at or above.
   * Each claim raises the epoch. `nextDueAt`: the earliest time at which a run on these routes will be due that is not due now, null if none is known.
   */
  claimRuns(options: {
    readonly worker: WorkerKey;
    readonly routes: readonly string[];
    readonly limit: number;
    readonly suspects: number;
  }): Promise<{ readonly runs: readonly ClaimedRun[]; readonly nextDueAt: number | null }>;
  /** Raises the epoch of a run that this worker may own, to learn what became of a commit without an answer. Null if it is not this worker's at that epoch. */
  reclaimRun(options: { readonly worker: WorkerKey; readonly key: RunKey; readonly epoch: number }): Promise<ClaimedRun | null>;
  claimTasks(options: {
    readonly worker: WorkerKey;
    readonly routes: readonly string[];
    readonly limit: number;
  }): Promise<{ readonly tasks: readonly ClaimedTask[]; readonly nextDueAt: number | null }>;
  /**
   * What this worker holds as the store sees it: its runs, with what their drivers have not seen yet, and its tasks. A task that was withdrawn is missing;
   * a run or task that the worker does not know of was claimed by a call whose answer was lost.
   */
  inspectOwned(worker: WorkerKey): Promise<{
    readonly runs: readonly { readonly key: RunKey; readonly inboxCount: number; readonly inboxSeen: number }[];
    readonly tasks: readonly { readonly key: TaskKey; readonly cancelRequested: boolean }[];
  }>;
  /** Gives runs and tasks of this worker up: owner cleared, epoch raised, due at once, no crash counted. Those that are not its own are left alone. */
  release(options: { readonly worker: WorkerKey; readonly runs: readonly RunKey[]; readonly tasks: readonly TaskKey[] }): Promise<void>;
  /** Makes the parked runs on these routes that code can mend (not the poisoned ones) due at once: a worker that starts may have the fix. */
  retryParked(routes: readonly string[]): Promise<number>;

  // reads
  /** Lines `fromSeq` and up, in order, at most `limit`. */
  loadHistory(options: { readonly key: RunKey; readonly fromSeq: number; readonly limit: number }): Promise<readonly HistoryRecord[]>;
  /** Unread items above `position` of several runs at once, in order of position. */
  loadInboxes(runs: readonly { readonly key: RunKey; readonly above: number }[]): Promise<readonly (readonly InboxRecord[])[]>;
  /** The run that each target means; null where there is none. */
  findRuns(targets: readonly RunTarget[]): Promise<readonly (RunOutcome | null)[]>;
  /** Entries of the run's chain, in the order of `names`; null for those that were never written. Null if there is no such run. */
  readEntries(options: { readonly target: RunTarget; readonly names: readonly string[] }): Promise<readonly (EntryRecord | null)[] | null>;
  /** Chunks of a stream of the run's chain from an offset on, at most `limit`; null if there is no such run. `isOpen`: may more come? Looked at before the chunks. */
  readChunks(options: {
    readonly target: RunTarget;
    readonly stream: string;
    readonly from: number;
    readonly limit: number;
  }): Promise<{ readonly chunks: readonly ChunkRecord[]; readonly isOpen: boolean } | null>;
  /** What a writer has appended to a stream of the run's chain: its last number, and since its last restart how many chunks, and the offset of the first; null if none. */
  readStreamTail(options: {
    readonly key: RunKey;
    readonly stream: string;
    readonly writer: string;
  }): Promise<{ readonly lastNumber: number; readonly chunks: number; readonly firstOffset: number | null }>;
  /** Runs in descending order of creation. `before` continues a listing: keys strictly below it. */
  listRuns(options: {
    readonly name?: string | undefined;
    readonly status?: RunStatus | undefined;
    readonly workflowIdPrefix?: string | undefined;
    readonly parentRunId?: string | undefined;
    /** Runs whose chain has all of these. */
    readonly attributes?: readonly Attribute[] | undefined;
    readonly before?: RunKey | undefined;
    readonly limit: number;
  }): Promise<readonly RunRecord[]>;

  // hints
  /**
   * Calls back, coalesced, when another process may have made work or ended a run, and says what it is about; where the store does not know, all of it.
   * Hints may be lost, doubled or late: polling alone must make progress.
   */
  onHint(callback: (hint: Hint) => void): { stop(): void };

  close(): Promise<void>;
}
