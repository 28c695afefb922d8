import type { CommandKind, EventKind } from "../core/events.js";

/** One thing that happened to a run, and what its code did next. */
export interface HistoryEvent {
  /** Its place, from 1. */
  readonly seq: number;
  readonly at: Date;
  readonly kind: EventKind;
  /** The number of the operation that it belongs to. */
  readonly command?: number | undefined;
  /** The name of the message or update, for `message_received` and `update_accepted`. */
  readonly name?: string | undefined;
  /** The id of the update, for `update_accepted`. */
  readonly updateId?: string | undefined;
  /** The run that goes on, for `run_continued`. */
  readonly nextRunId?: string | undefined;
  /** The attempt that failed, for `attempt_failed` and `operation_failed`. */
  readonly attempt?: number | undefined;
  /** When the next attempt may begin, for `attempt_failed`. */
  readonly retryAt?: Date | undefined;
  /** What it carried: the input, the result, the message, the reason of a cancel; for failures the error. */
  readonly data?: unknown;
  /** The operations that the workflow's code asked for when it was told. */
  readonly commands: readonly HistoryCommand[];
  /** The numbers of the operations that it cancelled, or no longer needs: the timer of a scope that ended in time, for one. Absent if there are none. */
  readonly withdrawn?: readonly number[] | undefined;
}

/** An operation that workflow code asked for. */
export interface HistoryCommand {
  /** Its number within the run, from 1. */
  readonly number: number;
  readonly kind: CommandKind;
  readonly name: string;
  /** When it settles by itself: the end of a sleep or the timeout of a wait. */
  readonly dueAt?: Date | undefined;
}

/** A run's history as plain data, its payloads opened: made by `handle.export()`, for files and for `replay`. */
export interface HistoryExport {
  readonly format: "perdure-history-1";
  readonly id: string;
  readonly runId: string;
  readonly name: string;
  readonly version?: string | undefined;
  readonly attempt: number;
  readonly deadlineAt?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly lines: readonly { readonly seq: number; readonly at: number; readonly event: string; readonly payload: string | null }[];
}
