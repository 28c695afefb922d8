import type { Attribute, RunKey } from "../../backend/index.js";
import type { SqliteConnection } from "./driver.js";

/** Searchable facts about chains. */
export interface AttributeTable {
  /** Sets an attribute, or removes it if its value is null. */
  write(chain: RunKey, attribute: Attribute): void;
  /** Runs whose chain has this attribute, in no order. */
  runsWith(attribute: Attribute, limit: number): RunKey[];
}

export function attributeTable(connection: SqliteConnection): AttributeTable {
  const set = connection.prepare(`INSERT INTO attribute (chain, name, value) VALUES (?, ?, ?)
    ON CONFLICT (chain, name) DO UPDATE SET value = excluded.value`);
  const remove = connection.prepare("DELETE FROM attribute WHERE chain = ? AND name = ?");
  // The first run of a chain has its key.
  const runsWith =
    connection.prepare(`SELECT chain AS key FROM attribute INDEXED BY attribute_by_value WHERE name = ? AND value = ? UNION ALL
    SELECT r.key FROM attribute AS a INDEXED BY attribute_by_value CROSS JOIN run AS r INDEXED BY run_follower
      ON r.chain = a.chain AND r.chain <> r.key WHERE a.name = ? AND a.value = ? LIMIT ?`);
  return {
    write: (chain, { name, value }) => void (value === null ? remove.run([chain, name]) : set.run([chain, name, value])),
    runsWith: ({ name, value }, limit) => runsWith.all<{ key: RunKey }>([name, value, name, value, limit]).map(({ key }) => key),
  };
}
