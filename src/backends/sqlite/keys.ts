import type { SqliteConnection } from "./driver.js";

/** Gives out keys in a write transaction: read once, counted in memory, written once before the commit. */
export interface KeySource {
  next(kind: KeyKind): number;
  /** What `next` would give out: for what may turn out to be there already, so that finding it writes nothing. */
  peek(kind: KeyKind): number;
  /** Writes what was given out. */
  flush(): void;
  /** The transaction is over, either way: another process may give out keys now. */
  forget(): void;
}

export type KeyKind = "run" | "task" | "worker";
type LastKeys = { [Kind in KeyKind]: number };

export function keySource(connection: SqliteConnection): KeySource {
  const read = connection.prepare("SELECT run, task, worker FROM last_key WHERE id = 1");
  const write = connection.prepare("UPDATE last_key SET run = ?, task = ?, worker = ? WHERE id = 1");
  let last: LastKeys | undefined;
  let isDirty = false;
  const known = (): LastKeys => (last ??= { run: 0, task: 0, worker: 0, ...read.get<LastKeys>() });
  return {
    next(kind) {
      isDirty = true;
      return (known()[kind] += 1);
    },
    peek: (kind) => known()[kind] + 1,
    flush() {
      if (isDirty && last !== undefined) write.run([last.run, last.task, last.worker]);
      isDirty = false;
    },
    forget() {
      last = undefined;
      isDirty = false;
    },
  };
}
