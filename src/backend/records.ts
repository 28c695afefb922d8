/** The records that cross the seam between engine and store. Payloads are already encoded: a store never sees a user's value. */

/** Encoded user data: readable text, or bytes once a codec chain (compression, encryption) made it opaque. */
export type Payload = string | Uint8Array;

/** The store's short name of a run: an integer in append order. */
export type RunKey = number;
/** The store's short name of a worker process. */
export type WorkerKey = number;
/** The store's short name of a queued activity. */
export type TaskKey = number;

/** `running` covers sleeping and waiting; what a running run waits for is read from its history. */
export type RunStatus = "running" | "parked" | "completed" | "failed" | "cancelled" | "terminated" | "continued";
export type EndedStatus = Exclude<RunStatus, "running" | "parked">;

/** Which status may follow which. The stores keep to it by conditional updates; the simulator checks it after every commit. */
export const nextStatuses: Readonly<Record<RunStatus, readonly RunStatus[]>> = {
  running: ["running", "parked", "completed", "failed", "cancelled", "terminated", "continued"],
  parked: ["running", "parked", "cancelled", "completed", "failed", "terminated", "continued"],
  completed: [],
  failed: [],
  cancelled: [],
  terminated: [],
  continued: [],
};

export const isOpen = (status: RunStatus): boolean => status === "running" || status === "parked";

/** One line of a run's history: an event and the commands that its turn issued. Append-only, `seq` counts from 1 without gaps. */
export interface HistoryRecord {
  readonly seq: number;
  /** Event time in milliseconds, never less than that of the line before. */
  readonly at: number;
  /** The event without its user data, as JSON text (core/events.ts). */
  readonly event: string;
  readonly payload: Payload | null;
}

/** What is on its way to a run: messages, results of activities, requests to cancel, the input of a run that nobody has begun. */
export interface InboxItem {
  readonly kind: "start" | "message" | "activity_completed" | "activity_failed" | "cancel";
  /** Name of the message; empty for other kinds. */
  readonly name: string;
  /** The command that an activity's outcome belongs to; null for other kinds. */
  readonly command: number | null;
  /** The attempt that an activity's outcome belongs to; null for other kinds. */
  readonly attempt: number | null;
  readonly payload: Payload | null;
}

export interface InboxRecord extends InboxItem {
  /** Place in the inbox, from 1, without gaps: the order of delivery. */
  readonly position: number;
}

export interface NewRun {
  readonly workflowId: string;
  /** Unique for all time; makes a start that is sent again find itself. */
  readonly runId: string;
  readonly name: string;
  readonly version: string | null;
  readonly engineVersion: number;
  /** Hash of the encoded input: the same id with another input is a conflict. */
  readonly inputHash: string;
  /** When the run as a whole times out, in ms on the store's clock; null for never. */
  readonly deadlineAt: number | null;
}

/** Why a run is parked, as JSON-able data. */
export interface ParkReason {
  readonly code: "nondeterminism" | "poisoned" | "undecodable" | "history_too_long" | "internal";
  readonly message: string;
  /** The explained report: both sides and the user's line, as far as they are known. */
  readonly report?: string;
}

/** The row of a run as clients see it. */
export interface RunRecord {
  readonly key: RunKey;
  readonly workflowId: string;
  readonly runId: string;
  readonly name: string;
  readonly version: string | null;
  readonly engineVersion: number;
  readonly inputHash: string;
  readonly status: RunStatus;
  readonly createdAt: number;
  readonly endedAt: number | null;
  readonly deadlineAt: number | null;
  /** When the run wants to be driven next; null if only something from outside can move it (or while somebody drives it). */
  readonly dueAt: number | null;
  /** The `workerId` of the process that drives the run now; null if none. */
  readonly ownerId: string | null;
  readonly epoch: number;
  readonly lastSeq: number;
  readonly inboxCount: number;
  /** How many inbox items no turn has taken. After the end: messages that were accepted but never received. */
  readonly inboxUnread: number;
  readonly crashCount: number;
  readonly parkReason: ParkReason | null;
}

/** A run that a worker now has the right to drive, at `epoch`. */
export interface ClaimedRun {
  readonly key: RunKey;
  readonly workflowId: string;
  readonly runId: string;
  readonly name: string;
  readonly version: string | null;
  readonly engineVersion: number;
  readonly status: "running" | "parked";
  readonly createdAt: number;
  readonly deadlineAt: number | null;
  readonly epoch: number;
  readonly lastSeq: number;
  readonly inboxCount: number;
  readonly crashCount: number;
  /** How often the run was parked since it last made progress; spaces out the retries of a parked run. */
  readonly parkCount: number;
}

/** What has become of a run, with the payload of its last history line once it has ended. */
export interface RunOutcome {
  readonly run: RunRecord;
  /** The last line of the history of an ended run; null while it is open. */
  readonly last: HistoryRecord | null;
}

export interface NewTask {
  /** The command of the run that this activity belongs to; (run, command) is unique. */
  readonly command: number;
  readonly name: string;
  readonly queue: string;
  readonly attempt: number;
  readonly input: Payload;
  /** Limits that the process which executes the task enforces, as JSON text (worker/task-options.ts). */
  readonly options: string;
  /** Not before this time (the back-off of a retry), in ms on the store's clock. */
  readonly dueAt: number;
}

export interface ClaimedTask extends NewTask {
  readonly key: TaskKey;
  readonly runKey: RunKey;
  readonly workflowId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly crashCount: number;
}
