// What the proof looks at: gathered from the effect log, from the driver's own notes and from the database through the public API.
import type { HistoryEvent } from "perdure";
import type { Effect } from "../run/effect-log.js";
import type { FileResult, Verdict } from "../run/pipeline.js";
import type { Kill } from "../run/worker-pool.js";

/** What a run should have become. */
export interface ExpectedRun {
  readonly id: string;
  readonly file: string;
  /** The answer that the run was sent; undefined if it was sent none. */
  readonly answer: Exclude<Verdict, "clean" | "expired"> | undefined;
}

/** What the public API says about a run. */
export interface RunEvidence {
  readonly id: string;
  readonly status: string;
  readonly result: FileResult | undefined;
  readonly unreadMessages: number;
  readonly history: readonly HistoryEvent[];
}

export interface Evidence {
  readonly effects: readonly Effect[];
  /** Lines of the effect log that cannot be read. */
  readonly torn: number;
  readonly kills: readonly Kill[];
  readonly expected: readonly ExpectedRun[];
  readonly runs: readonly RunEvidence[];
}

/** What the proof asks for beyond correctness. */
export interface Demands {
  readonly killsMin: number;
  /** How long takeovers may take at the median, in ms: the goal. */
  readonly takeoverGoalMs: number;
  /** The longest that any takeover may take, in ms: well below the length of a lease, which is what would end the wait otherwise. */
  readonly takeoverMaxMs: number;
}
