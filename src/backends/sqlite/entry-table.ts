import type { EntryRecord, NewEntry, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

/** Named values of chains. */
export interface EntryTable {
  write(chain: RunKey, entry: NewEntry): void;
  read(chain: RunKey, name: string): EntryRecord | undefined;
}

export function entryTable(connection: SqliteConnection): EntryTable {
  const write = connection.prepare(`INSERT INTO entry (chain, name, version, payload) VALUES (?, ?, 1, ?)
    ON CONFLICT (chain, name) DO UPDATE SET version = version + 1, payload = excluded.payload`);
  const read = connection.prepare("SELECT name, version, payload FROM entry WHERE chain = ? AND name = ?");
  return {
    write: (chain, { name, payload }) => void write.run([chain, name, payload]),
    read: (chain, name) => read.get<EntryRecord>([chain, name]),
  };
}
