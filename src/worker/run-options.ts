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
  readonly queue?: string | undefined;
  /** May only this version drive the run? */
  readonly pinned?: true | undefined;
  /** What interceptors carry along. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export function writeRunOptions(options: RunOptions): string | null {
  const text = JSON.stringify(options);
  return text === "{}" ? null : text;
}

export const readRunOptions = (text: string | null): RunOptions => (text === null ? {} : (JSON.parse(text) as RunOptions));
