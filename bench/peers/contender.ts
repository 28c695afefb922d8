import { stepResult } from "../values.js";

/** W1: an empty workflow. W2: ten sequential steps. */
export const peerWorkloads = ["W1", "W2"] as const;
export type PeerWorkload = (typeof peerWorkloads)[number];

/** What a contender finds when it is opened. */
export interface Ground {
  /** An empty database of the server that all of them use. */
  readonly postgresUrl: string;
  readonly postgresPid: number | undefined;
  /** For files; empty at first, removed afterwards. */
  readonly folder: string;
  /** Where its packages are. */
  readonly prefix: string;
}

/** A library that is up, worker and client in this process, with both workflows registered. */
export interface Contender {
  /** Starts a workflow and waits for its result. */
  execute(workload: PeerWorkload, order: number): Promise<unknown>;
  /** The server that works for it, if its time can be taken. */
  readonly serverPid: number | undefined;
  close(): Promise<void>;
}

/** How many workflows are in flight at most; contenders with a limit of their own set it to this. */
export const widthMax = 100;

export const stepCount = 10;

/** What an execution has to give: the input, or the sum of what the steps returned. */
export const expected = (workload: PeerWorkload, order: number): number =>
  workload === "W1" ? order : stepCount * stepResult(order).amount;
