import type { InboxItem, InboxRecord, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";
import { continuedStatus } from "./run-row.js";

/** What is on its way to runs, and the keys that make sends idempotent. */
export interface InboxTable {
  put(chain: RunKey, position: number, item: InboxItem): void;
  /** Removes what a turn took. Whatever is not there was taken before. */
  take(run: RunKey, positions: readonly number[]): void;
  /** What is above a position, in order; nothing once the chain has gone on without the run. */
  read(run: RunKey, above: number): InboxRecord[];
  /** False if the chain has accepted this key before. */
  acceptKey(chain: RunKey, dedupeKey: string): boolean;
  forgetKeys(run: RunKey): void;
  /** Removes what belongs to commands: the chain goes on without the run that issued them. */
  dropCommandItems(chain: RunKey): void;
}

export function inboxTable(connection: SqliteConnection): InboxTable {
  const insert = connection.prepare(
    "INSERT INTO inbox (chain, position, kind, name, command, attempt, payload, options) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const remove = connection.prepare("DELETE FROM inbox WHERE chain = (SELECT chain FROM run WHERE key = ?) AND position = ?");
  const read = connection.prepare(`SELECT i.kind, i.name, i.command, i.attempt, i.payload, i.options, i.position
    FROM run AS r JOIN inbox AS i ON i.chain = r.chain WHERE r.key = ? AND r.status <> ${continuedStatus} AND i.position > ? ORDER BY i.position`);
  const insertKey = connection.prepare("INSERT INTO dedupe (chain, dedupe_key) VALUES (?, ?) ON CONFLICT DO NOTHING");
  const removeKeys = connection.prepare("DELETE FROM dedupe WHERE chain = (SELECT chain FROM run WHERE key = ?)");
  const dropCommandItems = connection.prepare("DELETE FROM inbox WHERE chain = ? AND command IS NOT NULL");
  return {
    put(chain, position, { kind, name, command, attempt, payload, options }) {
      insert.run([chain, position, kind, name, command, attempt, payload, options]);
    },
    take(run, positions) {
      for (const position of positions) remove.run([run, position]);
    },
    read: (run, above) => read.all<InboxRecord>([run, above]),
    acceptKey: (chain, dedupeKey) => insertKey.run([chain, dedupeKey]) === 1,
    forgetKeys: (run) => void removeKeys.run([run]),
    dropCommandItems: (chain) => void dropCommandItems.run([chain]),
  };
}
