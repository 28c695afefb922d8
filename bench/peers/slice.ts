import type { Message } from "../children.js";
import type { Ground, PeerWorkload } from "./contender.js";

export const contenderNames = ["perdure-postgres", "perdure-sqlite", "dbos", "openworkflow", "restate"] as const;
export type ContenderName = (typeof contenderNames)[number];

/** One turn of a contender: what its process is started with, as JSON. */
export interface SliceArgs {
  readonly contender: ContenderName;
  readonly workload: PeerWorkload;
  readonly ground: Ground;
  readonly warmUpMs: number;
  readonly aloneMs: number;
  readonly togetherMs: number;
}

/** What it measured. */
export interface SliceResult extends Message {
  readonly type: "slice";
  /** The latencies of workflows one at a time. */
  readonly alone: readonly number[];
  /** The same of a hundred at a time, and what they took in all. */
  readonly together: readonly number[];
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly serverCpuMs: number | undefined;
}

export interface SliceFailure extends Message {
  readonly type: "failure";
  readonly error: string;
}
