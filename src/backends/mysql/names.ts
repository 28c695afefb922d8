import type { Lanes, Work } from "./lanes.js";
import type { Tables } from "./schema.js";
import { idColumns, idOf, numberOf, pieces } from "./sql.js";

/** Names of workflows and activities, and routes, as integers, so that rows and indexes stay narrow. Names are never removed, so what was read stays true. */
export interface Names {
  /** Makes sure that these names have ids: to be called, and committed, before the transaction that needs them. */
  ensure(names: readonly string[]): Promise<void>;
  /** Their ids. Those that no row has yet get one too, so that nobody has to ask for them again with every poll. */
  idsOf(names: readonly string[]): Promise<readonly number[]>;
  /** Makes sure that the names of these ids are known. Inside a transaction on its own session: to wait for another one would be to wait for oneself. */
  learn(ids: readonly number[], work?: Work): Promise<void>;
  /** Of a name that was ensured. */
  idOf(name: string): number;
  /** Of an id that was learned. */
  nameOf(id: number): string;
}

export function nameTable(lanes: Lanes, tables: Tables): Names {
  const idByName = new Map<string, number>();
  const nameById = new Map<number, string>();
  let lastId = 0;

  const catchUp = async (work?: Work): Promise<void> => {
    // From the beginning of the unknown: ids are given before their rows are committed, so a smaller one may come after a larger one.
    const read = [`SELECT id, name_key, name_long FROM ${tables.name} WHERE id > ${lastId} ORDER BY id`];
    const run = work?.readFresh ?? work?.run;
    const answers = await (run === undefined ? lanes.transact((own) => own.run(read)) : run(read));
    for (const [id, key, long] of answers[0]?.rows ?? []) {
      const name = idOf(key, long);
      idByName.set(name, numberOf(id));
      nameById.set(numberOf(id), name);
    }
    while (nameById.has(lastId + 1)) lastId += 1;
  };

  const ensure = async (names: readonly string[]): Promise<void> => {
    const missing = [...new Set(names)].filter((name) => !idByName.has(name));
    if (missing.length === 0) return;
    const inserts = pieces(missing).map(
      (piece) =>
        `INSERT INTO ${tables.name} (name_key, name_long) VALUES ${piece.map((name) => `(${idColumns(name)})`).join(",")} ON DUPLICATE KEY UPDATE id = id`,
    );
    // Sending it again does no harm.
    await lanes.transact((work) => work.run(inserts));
    await catchUp();
  };

  return {
    ensure,
    async idsOf(names) {
      await ensure(names);
      return [...new Set(names)].flatMap((name) => idByName.get(name) ?? []);
    },
    async learn(ids, work) {
      if (ids.some((id) => !nameById.has(id))) await catchUp(work);
    },
    idOf(name) {
      const id = idByName.get(name);
      if (id === undefined) throw new Error(`The name ${name} has no id yet.`);
      return id;
    },
    nameOf(id) {
      const name = nameById.get(id);
      if (name === undefined) throw new Error(`The database lacks the name ${id}.`);
      return name;
    },
  };
}
