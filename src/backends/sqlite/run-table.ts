import type { RunKey, RunTarget, WorkerKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import { newestOfChain, rowColumns, runningStatus } from "./run-row.js";
import type { RunRow } from "./run-row.js";

/** A turn as the conditional updates want it: what must still be so, and what is so afterwards. */
export interface Step {
  readonly key: RunKey;
  readonly epoch: number;
  readonly lastSeq: number;
  readonly newLastSeq: number;
  /** How many items the driver has seen, which must be all there are. */
  readonly inboxSeen: number;
}

/** The part of runs that changes: what decides, and every write. */
export interface RunTable {
  insert(row: RunRow): void;

  // The usual turns: the driver goes on, gives the run up, or ends it. False: nothing was written, read the row.
  advance(step: Step): boolean;
  rest(step: Step, dueAt: number | null): boolean;
  end(step: Step, status: number, endedAt: number): boolean;

  setInboxCount(key: RunKey, count: number): void;
  setDueAt(key: RunKey, dueAt: number): void;
  /** Makes the worker the owner at the next epoch. */
  take(key: RunKey, worker: WorkerKey): void;
  /** Writes all that can change. */
  save(row: RunRow): void;

  byKey(key: RunKey): RunRow | undefined;
  find(target: RunTarget): RunRow | undefined;
}

/**
 * The usual turn: the driver owns a running run, nothing has come in that it has not seen, and no crash or parking is to be forgotten. One statement
 * checks and writes; whatever else is the case is found out by reading the row, which costs as much again.
 */
const usual = `key = ? AND epoch = ? AND last_seq = ? AND inbox_count = ?
  AND owner IS NOT NULL AND status = 0 AND crash_count = 0 AND park_count = 0`;

export function runTable(connection: SqliteConnection): RunTable {
  const insert =
    connection.prepare(`INSERT INTO run (key, chain, route, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at, park_count, ended_at, park_reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  // Most runs begin so; a parameter less is a twentieth of a microsecond.
  const insertRunning =
    connection.prepare(`INSERT INTO run (key, chain, route, status, owner, epoch, last_seq, inbox_count, inbox_seen, due_at)
    VALUES (?, ?, ?, ${runningStatus}, ?, ?, ?, ?, ?, ?)`);
  // None of its columns is in an index or the condition of one.
  const advance = connection.prepare(`UPDATE run SET last_seq = ?, inbox_seen = ? WHERE ${usual}`);
  const rest = connection.prepare(`UPDATE run SET last_seq = ?, inbox_seen = ?, owner = NULL, due_at = ? WHERE ${usual}`);
  const end = connection.prepare(`UPDATE run SET last_seq = ?, inbox_seen = ?, owner = NULL, status = ?, ended_at = ? WHERE ${usual}`);
  const setInboxCount = connection.prepare("UPDATE run SET inbox_count = ? WHERE key = ?");
  const setDueAt = connection.prepare("UPDATE run SET due_at = ? WHERE key = ?");
  const take = connection.prepare(
    "UPDATE run SET owner = ?, epoch = epoch + 1, due_at = NULL, is_suspect = crash_count >= 2 WHERE key = ?",
  );
  const save =
    connection.prepare(`UPDATE run SET status = ?, owner = ?, epoch = ?, last_seq = ?, inbox_count = ?, inbox_seen = ?, due_at = ?,
    crash_count = ?, park_count = ?, is_suspect = ?, ended_at = ?, park_reason = ? WHERE key = ?`);
  const byKey = connection.prepare(`SELECT ${rowColumns} FROM run AS r WHERE r.key = ?`);
  const byWorkflowId = connection.prepare(`SELECT ${rowColumns} FROM run_fact AS f JOIN run AS r ON r.key = f.key
    WHERE f.workflow_id = ? ORDER BY f.generation DESC LIMIT 1`);
  const byRunId = connection.prepare(`SELECT ${rowColumns} FROM run_fact AS f JOIN run AS r ON r.key = f.key WHERE f.run_id = ?`);
  const byChainOf = connection.prepare(`SELECT ${rowColumns} FROM run_fact AS f JOIN run AS c ON c.key = f.key
    JOIN run AS r ON r.key = ${newestOfChain} WHERE f.run_id = ?`);

  return {
    insert({ key, chain, route, status, owner, epoch, lastSeq, inboxCount, inboxSeen, dueAt, parkCount, endedAt, parkReason }) {
      if (status === runningStatus) insertRunning.run([key, chain, route, owner, epoch, lastSeq, inboxCount, inboxSeen, dueAt]);
      else insert.run([key, chain, route, status, owner, epoch, lastSeq, inboxCount, inboxSeen, dueAt, parkCount, endedAt, parkReason]);
    },
    advance: ({ key, epoch, lastSeq, newLastSeq, inboxSeen }) => advance.run([newLastSeq, inboxSeen, key, epoch, lastSeq, inboxSeen]) === 1,
    rest: ({ key, epoch, lastSeq, newLastSeq, inboxSeen }, dueAt) =>
      rest.run([newLastSeq, inboxSeen, dueAt, key, epoch, lastSeq, inboxSeen]) === 1,
    end: ({ key, epoch, lastSeq, newLastSeq, inboxSeen }, status, endedAt) =>
      end.run([newLastSeq, inboxSeen, status, endedAt, key, epoch, lastSeq, inboxSeen]) === 1,
    setInboxCount: (key, count) => void setInboxCount.run([count, key]),
    setDueAt: (key, dueAt) => void setDueAt.run([dueAt, key]),
    take: (key, worker) => void take.run([worker, key]),
    save(row) {
      const { status, owner, epoch, lastSeq, inboxCount, inboxSeen, dueAt, crashCount, parkCount, endedAt, parkReason } = row;
      const counts = [epoch, lastSeq, inboxCount, inboxSeen, dueAt, crashCount, parkCount, row.isSuspect];
      save.run([status, owner, ...counts, endedAt, parkReason, row.key]);
    },
    byKey: (key) => byKey.get<RunRow>([key]),
    find(target) {
      if ("workflowId" in target) return byWorkflowId.get<RunRow>([target.workflowId]);
      return "runId" in target ? byRunId.get<RunRow>([target.runId]) : byChainOf.get<RunRow>([target.chainOf]);
    },
  };
}
