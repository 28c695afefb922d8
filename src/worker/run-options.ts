import type { RetryPolicy } from "../core/retry.js";

/** The run that a run is a child of. */
export interface ParentLink {
  readonly id: string;
  readonly runId: string;
  /** The command that waits for the outcome. */
  readonly command: number;
  readonly onClose: "cancel" | "terminate" | "abandon";
}

/** What the engine keeps with a run, stored as JSON text. Everything is left out where it has its usual value. */
export interface RunOptions {
  /** Counts the executions of one id that were begun again after a failure; left out for the first. */
  readonly attempt?: number | undefined;
  readonly parent?: ParentLink | undefined;
  /** In the place of the definition's. */
  readonly retry?: Omit<RetryPolicy, "when"> | undefined;
  /** How long each run of the chain may take, in ms. */
  readonly timeoutMs?: number | undefined;
  /** When every run of the chain must have ended, in ms: the deadline of the parent. */
  readonly latestAt?: number | undefined;
  readonly queue?: string | undefined;
  /** May only this version drive the run? */
  readonly pinned?: true | undefined;
  /** What interceptors carry along. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** When a run that begins at this time must have ended; null for never. */
export function deadlineOf({ timeoutMs, latestAt }: RunOptions, beginsMs: number): number | null {
  const deadline = Math.min(timeoutMs === undefined ? Infinity : beginsMs + timeoutMs, latestAt ?? Infinity);
  return deadline === Infinity ? null : deadline;
}

export function writeRunOptions(options: RunOptions): string | null {
  const text = JSON.stringify(options);
  return text === "{}" ? null : text;
}

export const readRunOptions = (text: string | null): RunOptions => (text === null ? {} : (JSON.parse(text) as RunOptions));
