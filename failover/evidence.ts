import type { HistoryEvent } from "perdure";
import type { Effect } from "./effect-log.js";
import type { TenStepsResult } from "./ten-steps.js";

/** A run as a client saw it when the trial was over. */
export interface RunEvidence {
  readonly id: string;
  readonly input: number;
  /** Undefined if it did not complete. */
  readonly result: TenStepsResult | undefined;
  readonly history: readonly HistoryEvent[];
}

/** What is known of a trial, gathered from the processes, the effect log and the public API. */
export interface Evidence {
  readonly kind: "kill" | "stop";
  readonly victimPid: number;
  /** When the victim was killed or stopped. */
  readonly struckMs: number;
  /** When the stopped victim was let go on. */
  readonly resumedMs: number | undefined;
  /** It said, after it went on, that its lease was lost. */
  readonly noticedLoss: boolean;
  readonly effects: readonly Effect[];
  readonly runs: readonly RunEvidence[];
  /** The histories from before the victim went on, if all runs had ended by then. */
  readonly before: ReadonlyMap<string, readonly HistoryEvent[]> | undefined;
}
