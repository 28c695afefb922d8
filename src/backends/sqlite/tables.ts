import type { WorkerKey } from "../../backend/index.js";
import { attributeTable } from "./attribute-table.js";
import type { AttributeTable } from "./attribute-table.js";
import { chunkTable } from "./chunk-table.js";
import type { ChunkTable } from "./chunk-table.js";
import type { SqliteConnection } from "./driver.js";
import { entryTable } from "./entry-table.js";
import type { EntryTable } from "./entry-table.js";
import { factTable } from "./fact-table.js";
import type { FactTable } from "./fact-table.js";
import { historyTable } from "./history-table.js";
import type { HistoryTable } from "./history-table.js";
import { inboxTable } from "./inbox-table.js";
import type { InboxTable } from "./inbox-table.js";
import { keySource } from "./keys.js";
import type { KeySource } from "./keys.js";
import { nameTable } from "./names.js";
import type { Names } from "./names.js";
import { runQueue } from "./run-queue.js";
import type { RunQueue } from "./run-queue.js";
import { runRecords } from "./run-records.js";
import type { RunRecords } from "./run-records.js";
import { runTable } from "./run-table.js";
import type { RunTable } from "./run-table.js";
import { taskQueue } from "./task-queue.js";
import type { TaskQueue } from "./task-queue.js";
import { taskTable } from "./task-table.js";
import type { TaskTable } from "./task-table.js";
import { workerTable } from "./worker-table.js";
import type { WorkerTable } from "./worker-table.js";

/** The prepared statements of one connection, by table. */
export interface Tables {
  readonly keys: KeySource;
  readonly names: Names;
  readonly facts: FactTable;
  readonly runs: RunTable;
  readonly records: RunRecords;
  readonly runQueue: RunQueue;
  readonly history: HistoryTable;
  readonly inbox: InboxTable;
  readonly entries: EntryTable;
  readonly chunks: ChunkTable;
  readonly attributes: AttributeTable;
  readonly tasks: TaskTable;
  readonly taskQueue: TaskQueue;
  readonly workers: WorkerTable;
}

export function prepareTables(connection: SqliteConnection): Tables {
  const names = nameTable(connection);
  return {
    keys: keySource(connection),
    names,
    facts: factTable(connection, names),
    runs: runTable(connection),
    records: runRecords(connection, names),
    runQueue: runQueue(connection),
    history: historyTable(connection),
    inbox: inboxTable(connection),
    entries: entryTable(connection),
    chunks: chunkTable(connection),
    attributes: attributeTable(connection),
    tasks: taskTable(connection, names),
    taskQueue: taskQueue(connection, names),
    workers: workerTable(connection),
  };
}

/** One write transaction: its tables, its one time, and what it knows already. */
export interface Work extends Tables {
  readonly now: number;
  /** May this worker take things? Only while its lease lasts; what it took before then is fenced by epochs alone. */
  isAlive(worker: WorkerKey): boolean;
}

export function beginWork(tables: Tables, now: number): Work {
  const known = new Map<WorkerKey, boolean>();
  return {
    ...tables,
    now,
    isAlive(worker) {
      let alive = known.get(worker);
      if (alive === undefined) {
        const row = tables.workers.byKey(worker);
        known.set(worker, (alive = row !== undefined && now < row.leaseUntil));
      }
      return alive;
    },
  };
}
