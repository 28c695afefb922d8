/**
 * The writes of the engine as data. `Store.apply` takes many at once and commits them together; each has its own outcome, and none that is refused
 * (fenced, taken, not running) touches a row.
 */
import type {
  ClaimedRun,
  EndedStatus,
  HistoryRecord,
  InboxItem,
  NewRun,
  NewTask,
  ParkReason,
  Payload,
  RunKey,
  RunRecord,
  TaskKey,
  WorkerKey,
} from "./records.js";

export type Operation = StartOperation | TurnOperation | SendOperation | FinishTaskOperation | ResumeOperation;

/** The outcome of the operation at the same index. */
export type Outcome<O extends Operation = Operation> = O extends StartOperation
  ? StartOutcome
  : O extends TurnOperation
    ? TurnOutcome
    : O extends SendOperation
      ? SendOutcome
      : O extends FinishTaskOperation
        ? FinishTaskOutcome
        : ResumeOutcome;

/** What a committed turn leaves behind. */
export interface Effects {
  /** The lines to append: `seq` goes on from the run's last. */
  readonly events: readonly HistoryRecord[];
  /** Inbox positions that these events took. */
  readonly consumed: readonly number[];
  /** Activities to queue. A task of the same command replaces an older attempt. */
  readonly tasks: readonly NewTask[];
  /** Commands whose tasks are to be withdrawn, whether claimed or not. */
  readonly withdrawnTasks: readonly number[];
  /** The highest inbox position that the driver has seen. */
  readonly inboxSeen: number;
  readonly next: NextState;
}

export type NextState =
  /** The driver goes on: it has bodies in flight or more events. */
  | { readonly state: "driving" }
  /** Nothing to do before `dueAt` (null: before somebody writes to the inbox). Gives the run up, unless the inbox holds more than `inboxSeen`: then the driver keeps it. */
  | { readonly state: "idle"; readonly dueAt: number | null }
  /** Kept with its reason, without owner; tried again at `dueAt` (null: only when told to). */
  | { readonly state: "parked"; readonly reason: ParkReason; readonly dueAt: number | null }
  /** The last line is the terminal event. Refused with `unseen_inbox` if the inbox holds more than `inboxSeen`. */
  | { readonly state: "ended"; readonly status: Exclude<EndedStatus, "continued"> };

/** Inserts a run, unless its workflow id has one. */
export interface StartOperation {
  readonly type: "start";
  readonly run: NewRun;
  /** The input, kept in the inbox (position 1) of a run that is not driven at once; with `eager`, it is part of the first event instead. */
  readonly input: Payload;
  /** Messages that are in the inbox from the beginning, after the input. */
  readonly messages: readonly InboxItem[];
  /** When the run wants to be driven first (a delayed start); null: at once. */
  readonly dueAt: number | null;
  /** The first turn, made before the commit by a worker with a free slot; the new run belongs to it at epoch 1. Its inbox positions begin at 1 with `messages`. */
  readonly eager: { readonly worker: WorkerKey; readonly effects: Effects } | null;
}

export type StartOutcome =
  | {
      readonly status: "started";
      readonly key: RunKey;
      readonly createdAt: number;
      /** Is it still owned by the eager worker? */ readonly owned: boolean;
      readonly inboxCount: number;
    }
  /** The newest run of this workflow id. If its `runId` is that of the operation, an earlier attempt of this very start got through. */
  | { readonly status: "exists"; readonly run: RunRecord };

/** Commits a driver's turns. Conditional on `epoch` and on `lastSeq` being the run's last sequence number. */
export interface TurnOperation {
  readonly type: "turn";
  readonly key: RunKey;
  readonly epoch: number;
  readonly lastSeq: number;
  readonly effects: Effects;
}

export type TurnOutcome =
  | {
      readonly status: "committed";
      /** False once the run was given up, parked or ended. */ readonly owned: boolean;
      readonly inboxCount: number;
    }
  /** Somebody else has the run (or it has ended): drop everything about it. */
  | { readonly status: "fenced" }
  /** The end was refused: deliver what has arrived first. */
  | { readonly status: "unseen_inbox"; readonly inboxCount: number }
  /** Another transaction holds the row: nothing happened, try again. */
  | { readonly status: "locked" };

/** Puts an item into the inbox of an open run and makes the run due, in one commit. */
export interface SendOperation {
  readonly type: "send";
  readonly target: { readonly workflowId: string } | { readonly runId: string };
  readonly item: InboxItem;
  /** Makes the send idempotent within the run's chain: a second item with this key is dropped. Never empty. */
  readonly dedupeKey: string;
  /** If nobody drives the run and its name is among `names`, claim it in the same commit. */
  readonly claimFor: ClaimFor | null;
}

export interface ClaimFor {
  readonly worker: WorkerKey;
  readonly names: readonly string[];
}

export type SendOutcome =
  | {
      readonly status: "sent";
      readonly key: RunKey;
      readonly position: number;
      readonly claimed: ClaimedRun | null;
      /** Who drives the run, if somebody does. */ readonly owner: WorkerKey | null;
    }
  | { readonly status: "duplicate" }
  | { readonly status: "not_running" }
  | { readonly status: "not_found" };

/** Moves the outcome of a claimed task into the inbox of its run and removes the task, in one commit. Conditional on the task's `epoch`. */
export interface FinishTaskOperation {
  readonly type: "finish_task";
  readonly key: TaskKey;
  readonly epoch: number;
  readonly kind: "activity_completed" | "activity_failed";
  readonly payload: Payload;
  readonly claimFor: ClaimFor | null;
}

export type FinishTaskOutcome =
  | {
      readonly status: "finished";
      readonly runKey: RunKey;
      readonly position: number;
      readonly claimed: ClaimedRun | null;
      readonly owner: WorkerKey | null;
    }
  /** The task was withdrawn, taken over, or its run has ended: the outcome is dropped. */
  | { readonly status: "gone" };

/** Makes a parked run due at once and clears its crash count. */
export interface ResumeOperation {
  readonly type: "resume";
  readonly target: { readonly workflowId: string } | { readonly runId: string };
}

export type ResumeOutcome = { readonly status: "resumed" } | { readonly status: "not_parked" } | { readonly status: "not_found" };
