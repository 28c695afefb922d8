import type { CommandKind, EventKind } from "../core/events.js";

/** One thing that happened to a run, and what its code did next. */
export interface HistoryEvent {
  /** Its place, from 1. */
  readonly seq: number;
  readonly at: Date;
  readonly kind: EventKind;
  /** The number of the operation that it belongs to. */
  readonly command?: number | undefined;
  /** The name of the message, for `message_received`. */
  readonly name?: string | undefined;
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
