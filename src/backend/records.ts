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
  readonly kind: "start" | "message" | "update" | "activity_completed" | "activity_failed" | "activity_expired" | "cancel";
  /** Name of the message or update; of an expired activity, what it waited for: `queued` or `heartbeat`. Empty for other kinds. */
  readonly name: string;
  /** The command that an outcome belongs to; null for other kinds. An item with a command is of one run only: its chain goes on without it. */
  readonly command: number | null;
  /** The attempt that an outcome belongs to; null for other kinds. */
  readonly attempt: number | null;
  readonly payload: Payload | null;
  /** What the engine keeps beside the payload, as JSON text (the id of an update, headers). */
  readonly options: string | null;
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
  /** What workers claim it by: an opaque text that the engine makes of name, queue and version. */
  readonly route: string;
  readonly version: string | null;
  readonly engineVersion: number;
  /** Hash of the encoded input: the same id with another input is a conflict. */
  readonly inputHash: string;
  /** When the run as a whole times out, in ms on the store's clock; null for never. */
  readonly deadlineAt: number | null;
  /** The run that this one is a child of; null for none. */
  readonly parentRunId: string | null;
  /** What the engine keeps with the run, as JSON text. */
  readonly options: string | null;
}

/** Which run a command from outside means. */
export type RunTarget =
  /** The newest run of a workflow id. */
  | { readonly workflowId: string }
  /** Exactly this run. */
  | { readonly runId: string }
  /** The newest run of the chain that this run belongs to. */
  | { readonly chainOf: string };

/** A searchable fact about a chain of runs. */
export interface Attribute {
  readonly name: string;
  /** Typed by the engine; compared as text. Null removes the attribute. */
  readonly value: string | null;
}

/** A named value of a chain of runs that can be read without any worker: published state, the answer of an update. */
export interface NewEntry {
  readonly name: string;
  readonly payload: Payload | null;
}

export interface EntryRecord extends NewEntry {
  /** How often it was written. */
  readonly version: number;
}

/** A part of a stream of a chain of runs. */
export interface NewChunk {
  readonly stream: string;
  /** Who writes it: a step or activity of one run of the chain, or empty for the workflow's own code. */
  readonly writer: string;
  /** Its place among all that its writer appended to the stream, from 1; one that is there already is dropped. 0 for the workflow's own, which come with a turn. */
  readonly number: number;
  /** Set in a mark without payload: the writer begins again, and what it wrote from this offset on does not count any more. */
  readonly restartAt: number | null;
  readonly payload: Payload | null;
}

export interface ChunkRecord extends Omit<NewChunk, "stream" | "number"> {
  /** Its place in the stream, from 0, without gaps. */
  readonly offset: number;
}

/** How a run is ended by force. */
export interface Termination {
  /** The terminal line; its number and time are the store's to give. */
  readonly event: string;
  readonly payload: Payload | null;
  /** Tasks that its end leaves behind. */
  readonly tasks: readonly NewTask[];
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
  readonly route: string;
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
  /** How many inbox items no turn has taken. After the end: messages that were accepted but never received; 0 once the chain has gone on. */
  readonly inboxUnread: number;
  readonly crashCount: number;
  readonly parkReason: ParkReason | null;
  readonly parentRunId: string | null;
  readonly options: string | null;
  /** In the order of their names. */
  readonly attributes: readonly Attribute[];
}

/** A run that a worker now has the right to drive, at `epoch`. */
export interface ClaimedRun {
  readonly key: RunKey;
  readonly workflowId: string;
  readonly runId: string;
  readonly name: string;
  readonly route: string;
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
  readonly parentRunId: string | null;
  readonly options: string | null;
  /** What lies unread in the inbox, all of it, where the claim has read it on the way; else it is to be asked for. */
  readonly mail?: readonly InboxRecord[] | undefined;
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
  /** What workers claim it by, as that of a run. */
  readonly route: string;
  readonly attempt: number;
  readonly input: Payload;
  /** Limits that the process which executes the task enforces, as JSON text (worker/task-options.ts). */
  readonly options: string;
  /** Not before this time (the back-off of a retry), in ms on the store's clock. */
  readonly dueAt: number;
  /** If nobody has claimed it by then, it expires; null for never. */
  readonly expiresAt: number | null;
  /** Once it is claimed: how long its worker may be silent before it expires, in ms; null for as long as it lives. */
  readonly heartbeatMs: number | null;
  /** What an earlier attempt last told with a heartbeat. */
  readonly details: Payload | null;
}

export interface ClaimedTask extends Omit<NewTask, "expiresAt"> {
  readonly key: TaskKey;
  readonly runKey: RunKey;
  readonly workflowId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly crashCount: number;
  /** Is it to stop, as soon as it can? */
  readonly cancelRequested: boolean;
}

/** A claimed task by its key, at the epoch of the claim; or one by what it is for, whoever has claimed it and whether anybody has. */
export type TaskTarget =
  | { readonly key: TaskKey; readonly epoch: number }
  | { readonly runId: string; readonly command: number; readonly attempt: number };
