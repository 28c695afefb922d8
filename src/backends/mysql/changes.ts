import type { HistoryRecord, InboxItem, NewTask, RunKey, TaskKey } from "../../backend/index.js";
import type { Names } from "./names.js";
import { insertRunHead, rowValues, updateRunTail, type RunRow } from "./run-row.js";
import type { Tables } from "./schema.js";
import { keyLiteral, number, payloadColumns, pieces, text } from "./sql.js";

/** What a batch writes, collected while it is decided and written in a few statements of many rows. */
export interface Changes {
  readonly newRuns: Set<RunRow>;
  readonly changedRuns: Set<RunRow>;
  readonly lines: { readonly run: RunKey; readonly line: HistoryRecord }[];
  /** By `chain:position`. */
  readonly items: Map<string, { readonly chain: RunKey; readonly position: number; readonly item: InboxItem }>;
  readonly taken: { readonly chain: RunKey; readonly position: number }[];
  readonly dedupeKeys: { readonly chain: RunKey; readonly key: string }[];
  /** The tasks of commands by run: a new one in place of whatever there is, or null for none. */
  readonly tasks: Map<RunKey, Map<number, NewTask | null>>;
  readonly finishedTasks: TaskKey[];
  /** Runs that have ended, and what they may have left to tidy up. */
  readonly tasksOf: Set<RunKey>;
  readonly keysOf: Set<RunKey>;
}

export const noChanges = (): Changes => ({
  newRuns: new Set(),
  changedRuns: new Set(),
  lines: [],
  items: new Map(),
  taken: [],
  dedupeKeys: [],
  tasks: new Map(),
  finishedTasks: [],
  tasksOf: new Set(),
  keysOf: new Set(),
});

const itemKinds: readonly InboxItem["kind"][] = ["start", "message", "activity_completed", "activity_failed", "cancel"];
export const itemKindOf = (stored: number): InboxItem["kind"] => itemKinds[stored] ?? "message";

/** The statements that write the changes; none if there are none. */
export function statementsOf(changes: Changes, tables: Tables, names: Names): string[] {
  const changed = [...changes.changedRuns].filter((row) => !changes.newRuns.has(row)).map(rowValues);
  return [
    ...inserts(insertRunHead(tables.run), [...changes.newRuns].map(rowValues)),
    ...inserts(insertRunHead(tables.run), changed, updateRunTail),
    ...inserts(
      `INSERT INTO ${tables.history} (run,seq,at,event,payload_text,payload_bytes) VALUES `,
      changes.lines.map(({ run, line }) => `(${run},${line.seq},${number(line.at)},${text(line.event)},${payloadColumns(line.payload)})`),
    ),
    ...inboxStatements(changes, tables),
    ...taskStatements(changes, tables, names),
  ];
}

function inboxStatements({ items, taken, dedupeKeys, keysOf }: Changes, tables: Tables): string[] {
  const rows = [...items.values()].map(({ chain, position, item: { kind, name, command, attempt, payload } }) => {
    return `(${chain},${position},${itemKinds.indexOf(kind)},${text(name)},${number(command)},${number(attempt)},${payloadColumns(payload)})`;
  });
  const keys = dedupeKeys.filter(({ chain }) => !keysOf.has(chain)).map(({ chain, key }) => `(${chain},${keyLiteral(key)})`);
  return [
    ...pieces(taken).map(
      (piece) =>
        `DELETE FROM ${tables.inbox} WHERE ${pairs(
          piece.map(({ chain, position }) => [chain, position]),
          "chain",
          "position",
        )}`,
    ),
    ...inserts(`INSERT INTO ${tables.inbox} (chain,position,kind,name,command,attempt,payload_text,payload_bytes) VALUES `, rows),
    ...inserts(`INSERT INTO ${tables.dedupe} (chain,dedupe_key) VALUES `, keys),
    ...pieces([...keysOf]).map((chains) => `DELETE FROM ${tables.dedupe} WHERE chain IN (${chains.join(",")})`),
  ];
}

function taskStatements({ tasks, finishedTasks, tasksOf }: Changes, tables: Tables, names: Names): string[] {
  const removed: (readonly [number, number])[] = [];
  const queued: string[] = [];
  for (const [run, commands] of tasks) {
    if (tasksOf.has(run)) continue;
    for (const [command, task] of commands) {
      if (task === null) removed.push([run, command]);
      else {
        const { name, queue, attempt, dueAt, options, input } = task;
        const due = `${number(dueAt)},${number(dueAt)}`;
        queued.push(`(${run},${command},${names.idOf(name)},${text(queue)},${attempt},${due},${text(options)},${payloadColumns(input)})`);
      }
    }
  }
  return [
    ...pieces(finishedTasks).map((keys) => `DELETE FROM ${tables.task} WHERE id IN (${keys.join(",")})`),
    ...pieces([...tasksOf]).map((runs) => `DELETE FROM ${tables.task} WHERE run IN (${runs.join(",")})`),
    ...pieces(removed).map((piece) => `DELETE FROM ${tables.task} WHERE ${pairs(piece, "run", "command")}`),
    // A task of the same command is an older attempt: it goes, and with it its key.
    ...inserts(
      `REPLACE INTO ${tables.task} (run,command,name,queue,attempt,due_at,claimable_at,options,input_text,input_bytes) VALUES `,
      queued,
    ),
  ];
}

const pairs = (list: readonly (readonly [number, number])[], first: string, second: string): string =>
  list.map(([a, b]) => `(${first}=${a} AND ${second}=${b})`).join(" OR ");

/** How long one statement gets, in characters: far below what any server takes in a packet. */
const statementMax = 200_000;

/** Inserts of many rows each. */
function inserts(head: string, rows: readonly string[], tail = ""): string[] {
  const statements: string[] = [];
  let piece: string[] = [];
  let length = 0;
  const end = (): void => {
    if (piece.length > 0) statements.push(`${head}${piece.join(",")}${tail}`);
    piece = [];
    length = 0;
  };
  for (const row of rows) {
    if (length + row.length > statementMax) end();
    piece.push(row);
    length += row.length;
  }
  end();
  return statements;
}
