import type { InboxItem, InboxRecord, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

export type InboxTable = ReturnType<typeof inboxTable>;

/** What is on its way to runs, and the keys that make sends idempotent. */
export function inboxTable(connection: SqliteConnection) {
  const insert = connection.prepare(
    "INSERT INTO inbox (chain, position, kind, name, command, attempt, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const remove = connection.prepare("DELETE FROM inbox WHERE chain = (SELECT chain FROM run WHERE key = ?) AND position = ?");
  const read = connection.prepare(`SELECT i.kind, i.name, i.command, i.attempt, i.payload, i.position
    FROM run AS r JOIN inbox AS i ON i.chain = r.chain WHERE r.key = ? AND i.position > ? ORDER BY i.position`);
  const insertKey = connection.prepare("INSERT INTO dedupe (chain, dedupe_key) VALUES (?, ?) ON CONFLICT DO NOTHING");
  const removeKeys = connection.prepare("DELETE FROM dedupe WHERE chain = (SELECT chain FROM run WHERE key = ?)");
  return {
    put(chain: RunKey, position: number, { kind, name, command, attempt, payload }: InboxItem): void {
      insert.run([chain, position, kind, name, command, attempt, payload]);
    },
    /** Removes what a turn took. Whatever is not there was taken before. */
    take(run: RunKey, positions: readonly number[]): void {
      for (const position of positions) remove.run([run, position]);
    },
    read: (run: RunKey, above: number): InboxRecord[] => read.all<InboxRecord>([run, above]),
    /** False if the chain has accepted this key before. */
    acceptKey: (chain: RunKey, dedupeKey: string): boolean => insertKey.run([chain, dedupeKey]) === 1,
    forgetKeys: (run: RunKey): void => void removeKeys.run([run]),
  };
}
