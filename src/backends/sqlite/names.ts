import type { SqliteConnection } from "./driver.js";

/** Names of workflows and activities, and their routes, as integers, so that rows and indexes stay narrow. Names are never removed, so what was read stays true. */
export interface Names {
  /** The id of a name, undefined if no row has it yet. */
  find(name: string): number | undefined;
  /** The ids of those names that rows can have. */
  findAll(names: readonly string[]): readonly number[];
  /** The id of a name, made if need be; in a write transaction. */
  ensure(name: string): number;
  nameOf(id: number): string;
  /** A write transaction begins. What the one before it made is read again: only now is it certain to be there. */
  begin(): void;
  /** A transaction failed, and with it perhaps the names that it made. */
  forget(): void;
}

interface NameRow {
  readonly id: number;
  readonly name: string;
}

export function nameTable(connection: SqliteConnection): Names {
  const readNew = connection.prepare("SELECT id, name FROM name WHERE id > ? ORDER BY id");
  const insert = connection.prepare("INSERT INTO name (id, name) VALUES (?, ?)");
  const idByName = new Map<string, number>();
  const nameById = new Map<number, string>();
  let lastId = 0;
  let hasMade = false;
  const enter = ({ id, name }: NameRow): void => {
    idByName.set(name, id);
    nameById.set(id, name);
    lastId = id;
  };
  /** Others may have made names. */
  const catchUp = (): void => {
    for (const row of readNew.all<NameRow>([lastId])) enter(row);
  };
  const forget = (): void => {
    idByName.clear();
    nameById.clear();
    lastId = 0;
    hasMade = false;
  };
  const find = (name: string): number | undefined => {
    const id = idByName.get(name);
    if (id !== undefined) return id;
    catchUp();
    return idByName.get(name);
  };

  return {
    find,
    findAll(names) {
      if (!names.every((name) => idByName.has(name))) catchUp();
      const ids = new Set<number>();
      for (const name of names) {
        const id = idByName.get(name);
        if (id !== undefined) ids.add(id);
      }
      return [...ids];
    },
    ensure(name) {
      const found = find(name);
      if (found !== undefined) return found;
      const id = lastId + 1;
      insert.run([id, name]);
      hasMade = true;
      enter({ id, name });
      return id;
    },
    nameOf(id) {
      if (!nameById.has(id)) catchUp();
      const name = nameById.get(id);
      if (name === undefined) throw new Error(`The database lacks the name ${id}.`);
      return name;
    },
    begin() {
      if (hasMade) forget();
    },
    forget,
  };
}
