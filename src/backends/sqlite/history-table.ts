import type { HistoryRecord, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

export type HistoryTable = ReturnType<typeof historyTable>;

/** The lines of histories. */
export function historyTable(connection: SqliteConnection) {
  const insert = connection.prepare("INSERT INTO history (run, seq, at, event, payload) VALUES (?, ?, ?, ?, ?)");
  const read = connection.prepare(
    "SELECT seq, at, event, payload FROM history INDEXED BY history_by_run WHERE run = ? AND seq >= ? ORDER BY seq LIMIT ?",
  );
  return {
    append(run: RunKey, lines: readonly HistoryRecord[]): void {
      for (const { seq, at, event, payload } of lines) insert.run([run, seq, at, event, payload]);
    },
    read: (run: RunKey, fromSeq: number, limit: number): HistoryRecord[] => read.all<HistoryRecord>([run, fromSeq, limit]),
  };
}
