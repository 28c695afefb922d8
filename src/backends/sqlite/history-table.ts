import type { HistoryRecord, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

/** The lines of histories. */
export interface HistoryTable {
  append(run: RunKey, lines: readonly HistoryRecord[]): void;
  read(run: RunKey, fromSeq: number, limit: number): HistoryRecord[];
}

export function historyTable(connection: SqliteConnection): HistoryTable {
  const insert = connection.prepare("INSERT INTO history (run, seq, at, event, payload) VALUES (?, ?, ?, ?, ?)");
  const read = connection.prepare(
    "SELECT seq, at, event, payload FROM history INDEXED BY history_by_run WHERE run = ? AND seq >= ? ORDER BY seq LIMIT ?",
  );
  return {
    append(run, lines) {
      for (const { seq, at, event, payload } of lines) insert.run([run, seq, at, event, payload]);
    },
    read: (run, fromSeq, limit) => read.all<HistoryRecord>([run, fromSeq, limit]),
  };
}
