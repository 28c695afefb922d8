/**
 * The writes of the engine as data. `Store.apply` takes many at once and commits them together; each has its own outcome, and none that is refused
 * (fenced, taken, not running) touches a row.
 */
import type {
  Attribute,
  ClaimedRun,
  EndedStatus,
  HistoryRecord,
  InboxItem,
  NewChunk,
  NewEntry,
  NewRun,
  NewTask,
  ParkReason,
  Payload,
  RunKey,
  RunRecord,
  RunTarget,
  TaskKey,
  TaskTarget,
  Termination,
  WorkerKey,
} from "./records.js";

export type Operation =
  | StartOperation
  | TurnOperation
  | SendOperation
  | FinishTaskOperation
  | TouchTaskOperation
  | AppendOperation
  | TerminateOperation
  | ResumeOperation;

/** The outcome of the operation at the same index. */
export type Outcome<O extends Operation = Operation> = O extends StartOperation
  ? StartOutcome
  : O extends TurnOperation
    ? TurnOutcome
    : O extends SendOperation
      ? SendOutcome
      : O extends FinishTaskOperation
        ? FinishTaskOutcome
        : O extends TouchTaskOperation
          ? TouchTaskOutcome
          : O extends AppendOperation
            ? AppendOutcome
            : O extends TerminateOperation
              ? TerminateOutcome
              : ResumeOutcome;

/** What a committed turn leaves behind. */
export interface Effects {
  /** The lines to append: `seq` goes on from the run's last. */
  readonly events: readonly HistoryRecord[];
  /** Inbox positions that these events took. */
  readonly consumed: readonly number[];
  /** Tasks to queue. A task of the same command replaces an older attempt. With the end of a run they are what it leaves behind; all its others go. */
  readonly tasks: readonly NewTask[];
  /** Commands whose tasks are to be withdrawn, whether claimed or not. */
  readonly withdrawnTasks: readonly number[];
  /** Commands whose tasks are to be told to stop; their outcomes still come. */
  readonly cancelledTasks: readonly number[];
  /** Entries of the chain to write; the last of a name counts. */
  readonly entries: readonly NewEntry[];
  /** What the workflow's own code appends to streams. */
  readonly chunks: readonly NewChunk[];
  /** Attributes of the chain to set or remove; the last of a name counts. */
  readonly attributes: readonly Attribute[];
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
  | { readonly state: "ended"; readonly status: Exclude<EndedStatus, "continued"> }
  /**
   * The last line is the terminal event of this run, and the chain goes on with another of the same workflow id. What nobody has read stays for it, except
   * items with a command, which meant this run; dedupe keys, entries, streams and attributes stay as they are. The new run's input is the next inbox item.
   * It begins at `dueAt`; null: at once, and then it belongs to the worker of this turn at epoch 1.
   */
  | { readonly state: "continued"; readonly run: NewRun; readonly input: Payload; readonly dueAt: number | null };

/** Inserts a run, unless its workflow id has one that is in the way. */
export interface StartOperation {
  readonly type: "start";
  readonly run: NewRun;
  /** Is the newest run of this id in the way once it has ended? `after_failure`: not if it failed, was cancelled or terminated. */
  readonly reuse: "never" | "after_failure" | "always";
  /** Ends an open run of this id that is in the way; null leaves it alone. */
  readonly terminates: Termination | null;
  /** Attributes that its chain begins with. */
  readonly attributes: readonly Attribute[];
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
  /** The run that is in the way: the newest of this workflow id, or the one of this run id: then an earlier attempt of this very start got through. */
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
      /** The run that goes on at once, driven by the same worker; null unless the turn asked for it. */
      readonly continued: ClaimedRun | null;
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
  readonly target: RunTarget;
  readonly item: InboxItem;
  /** Makes the send idempotent within the run's chain: a second item with this key is dropped. Never empty. */
  readonly dedupeKey: string;
  /** If nobody drives the run and its route is among `routes`, claim it in the same commit. */
  readonly claimFor: ClaimFor | null;
}

export interface ClaimFor {
  readonly worker: WorkerKey;
  readonly routes: readonly string[];
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

/** Moves the outcome of a task into the inbox of its run and removes the task, in one commit. */
export interface FinishTaskOperation {
  readonly type: "finish_task";
  readonly task: TaskTarget;
  /** `done`: nobody waits for an outcome; the task is only removed (`position` is 0 then). That is how the tasks end that a run leaves behind. */
  readonly kind: "activity_completed" | "activity_failed" | "done";
  readonly payload: Payload | null;
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

/** Says that a claimed task goes on: conditional on its epoch and owner. */
export interface TouchTaskOperation {
  readonly type: "touch_task";
  readonly key: TaskKey;
  readonly epoch: number;
  /** What is to be handed to the next attempt; null leaves what is there. */
  readonly details: Payload | null;
  /** Gives the claim up, without letting anybody else claim it: whoever has the token will finish it. It expires no sooner than it would have. */
  readonly detach: boolean;
}

export type TouchTaskOutcome = { readonly status: "touched"; readonly cancelRequested: boolean } | { readonly status: "gone" };

/** Appends to streams of a run's chain on behalf of a body: conditional on the run, or the task, being owned at this epoch, and on its run being open. */
export interface AppendOperation {
  readonly type: "append";
  readonly on: { readonly run: RunKey; readonly epoch: number } | { readonly task: TaskKey; readonly epoch: number };
  /** In order; those with a number that their writer has appended already are dropped. */
  readonly chunks: readonly NewChunk[];
}

export type AppendOutcome = { readonly status: "appended" } | { readonly status: "fenced" };

/** Ends an open run by force: whoever drives it is fenced, its tasks go, and its unread mail stays. */
export interface TerminateOperation {
  readonly type: "terminate";
  readonly target: RunTarget;
  readonly termination: Termination;
}

export type TerminateOutcome =
  | { readonly status: "terminated"; readonly key: RunKey; readonly runId: string }
  | { readonly status: "not_running" }
  | { readonly status: "not_found" };

/** Makes a parked run due at once and clears its crash count. */
export interface ResumeOperation {
  readonly type: "resume";
  readonly target: RunTarget;
}

export type ResumeOutcome = { readonly status: "resumed" } | { readonly status: "not_parked" } | { readonly status: "not_found" };
