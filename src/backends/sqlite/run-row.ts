import type { RunKey, RunStatus, WorkerKey } from "../../backend/index.js";
import { suspectCrashCount } from "./schema.js";

/** Statuses as they are stored: by their place in this list. */
const statuses: readonly RunStatus[] = ["running", "parked", "completed", "failed", "cancelled", "terminated", "continued"];
export const runningStatus = 0;
export const parkedStatus = 1;
export const terminatedStatus = 5;
export const continuedStatus = 6;
export const statusNumber = (status: RunStatus): number => statuses.indexOf(status);
export const statusOf = (stored: number): RunStatus => statuses[stored] ?? "running";

/** The part of a run that changes. */
export interface RunRow {
  readonly key: RunKey;
  readonly chain: RunKey;
  /** Its id among the names. */
  readonly route: number;
  status: number;
  owner: WorkerKey | null;
  epoch: number;
  lastSeq: number;
  inboxCount: number;
  inboxSeen: number;
  dueAt: number | null;
  crashCount: number;
  parkCount: number;
  /** Was it claimed as a suspect? Then its worker's death is put down to it. */
  isSuspect: number;
  endedAt: number | null;
  parkReason: string | null;
}

export const rowColumns = `r.key, r.chain, r.route, r.status, r.owner, r.epoch, r.last_seq AS lastSeq, r.inbox_count AS inboxCount,
  r.inbox_seen AS inboxSeen, r.due_at AS dueAt, r.crash_count AS crashCount, r.park_count AS parkCount, r.is_suspect AS isSuspect,
  r.ended_at AS endedAt, r.park_reason AS parkReason`;

export const isSuspect = (row: RunRow): boolean => row.crashCount >= suspectCrashCount;
export const isOpenRow = (row: RunRow): boolean => row.status <= parkedStatus;

/** From a run `c`: the key of the newest run of its chain. Only followers are in the index, and there may be none. */
export const newestOfChain =
  "coalesce((SELECT max(n.key) FROM run AS n INDEXED BY run_follower WHERE n.chain = c.chain AND n.chain <> n.key), c.chain)";
