import type { Attribute, HistoryRecord, InboxItem, NewChunk, NewTask, Payload, RunKey, TaskKey } from "../../backend/index.js";
import type { Names } from "./names.js";
import { insertRunHead, rowValues, updateRunTail, type RunRow } from "./run-row.js";
import type { Tables } from "./schema.js";
import { idColumns, keyLiteral, number, payloadColumns, payloadSets, pieces, text } from "./sql.js";

/** What a batch writes, collected while it is decided and written in a few statements of many rows. */
export interface Changes {
  readonly newRuns: Set<RunRow>;
  readonly changedRuns: Set<RunRow>;
  /** New runs that follow another in its chain, and those that are children of a run. */
  readonly followers: { readonly chain: RunKey; readonly run: RunKey }[];
  readonly children: { readonly parentRunId: string; readonly run: RunKey }[];
  readonly lines: { readonly run: RunKey; readonly line: HistoryRecord }[];
  /** By `chain:position`. */
  readonly items: Map<string, { readonly chain: RunKey; readonly position: number; readonly item: InboxItem }>;
  readonly taken: { readonly chain: RunKey; readonly position: number }[];
  /** Chains that have gone on: what was in the inbox for a command goes. */
  readonly commandItemsOf: Set<RunKey>;
  readonly dedupeKeys: { readonly chain: RunKey; readonly key: string }[];
  /** The tasks of commands by run: a new one in place of whatever there is, or null for none. */
  readonly tasks: Map<RunKey, Map<number, NewTask | null>>;
  /** Commands by run whose tasks, new or old, are to stop. */
  readonly cancelledTasks: Map<RunKey, Set<number>>;
  readonly touchedTasks: Map<TaskKey, TouchedTask>;
  readonly finishedTasks: TaskKey[];
  /** Runs that have ended, and what they may have left to tidy up from before. */
  readonly tasksOf: Set<RunKey>;
  /** By chain; null for whatever there is. */
  readonly keysOf: Map<RunKey, readonly string[] | null>;
  /** By `chain:name`, how often each was written. */
  readonly entries: Map<
    string,
    { readonly chain: RunKey; readonly name: string; readonly payload: Payload | null; readonly times: number }
  >;
  readonly chunks: { readonly chain: RunKey; readonly place: number; readonly chunk: NewChunk }[];
  /** By `chain:name`. */
  readonly attributes: Map<string, Attribute & { readonly chain: RunKey }>;
}

export interface TouchedTask {
  readonly details: Payload | null;
  /** The time of this batch, if the task expires by silence. */
  readonly heardAt: number | null;
  readonly detach: boolean;
}

export const noChanges = (): Changes => ({
  newRuns: new Set(),
  changedRuns: new Set(),
  followers: [],
  children: [],
  lines: [],
  items: new Map(),
  taken: [],
  commandItemsOf: new Set(),
  dedupeKeys: [],
  tasks: new Map(),
  cancelledTasks: new Map(),
  touchedTasks: new Map(),
  finishedTasks: [],
  tasksOf: new Set(),
  keysOf: new Map(),
  entries: new Map(),
  chunks: [],
  attributes: new Map(),
});

const itemKinds: readonly InboxItem["kind"][] = [
  "start",
  "message",
  "update",
  "activity_completed",
  "activity_failed",
  "activity_expired",
  "cancel",
];
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
    ...kinshipStatements(changes, tables),
    ...shelfStatements(changes, tables),
  ];
}

function inboxStatements({ items, taken, commandItemsOf, dedupeKeys, keysOf }: Changes, tables: Tables): string[] {
  const rows = [...items.values()].map(({ chain, position, item: { kind, name, command, attempt, payload, options } }) => {
    const facts = `${itemKinds.indexOf(kind)},${text(name)},${number(command)},${number(attempt)}`;
    return `(${chain},${position},${facts},${payloadColumns(payload)},${text(options)})`;
  });
  const keys = dedupeKeys.filter(({ chain }) => !keysOf.has(chain)).map(({ chain, key }) => `(${chain},${keyLiteral(key)})`);
  const emptied = [...keysOf].flatMap(([chain, some]) => (some === null ? [`chain=${chain}`] : []));
  const forgotten = [...keysOf].flatMap(([chain, some]) => (some ?? []).map((key) => `chain=${chain} AND dedupe_key=x'${key}'`));
  return [
    ...deleteRows(
      tables.inbox,
      taken.map(({ chain, position }) => `chain=${chain} AND position=${position}`),
    ),
    ...deleteRanges(
      tables.inbox,
      [...commandItemsOf].map((chain) => `chain=${chain} AND command IS NOT NULL`),
    ),
    ...inserts(`INSERT INTO ${tables.inbox} (chain,position,kind,name,command,attempt,payload_text,payload_bytes,options) VALUES `, rows),
    ...inserts(`INSERT INTO ${tables.dedupe} (chain,dedupe_key) VALUES `, keys),
    ...deleteRanges(tables.dedupe, emptied),
    ...deleteRows(tables.dedupe, forgotten),
  ];
}

function taskStatements(changes: Changes, tables: Tables, names: Names): string[] {
  const { tasks, cancelledTasks, touchedTasks, finishedTasks, tasksOf } = changes;
  const removed: string[] = [];
  const queued: string[] = [];
  for (const [run, commands] of tasks) {
    for (const [command, task] of commands) {
      if (task === null) removed.push(`run=${run} AND command=${command}`);
      else queued.push(taskValues(run, task, names, cancelledTasks.get(run)?.has(command) === true));
    }
  }
  const cancelled = [...cancelledTasks].flatMap(([run, commands]) =>
    [...commands].flatMap((command) => (tasks.get(run)?.has(command) === true ? [] : [`run=${run} AND command=${command}`])),
  );
  return [
    ...touchStatements(touchedTasks, tables),
    ...deleteRows(
      tables.task,
      finishedTasks.map((key) => `id=${key}`),
    ),
    ...deleteRanges(
      tables.task,
      [...tasksOf].map((run) => `run=${run}`),
    ),
    ...deleteRows(tables.task, removed),
    ...cancelled.map((condition) => `UPDATE ${tables.task} FORCE INDEX (by_command) SET cancel_requested=1 WHERE ${condition}`),
    // A task of the same command is an older attempt: it goes, and with it its key.
    ...inserts(
      `REPLACE INTO ${tables.task} (run,command,name,route,attempt,due_at,claimable_at,expires_at,heartbeat_ms,cancel_requested,options,input_text,input_bytes,details_text,details_bytes) VALUES `,
      queued,
    ),
  ];
}

function taskValues(run: RunKey, task: NewTask, names: Names, isCancelled: boolean): string {
  const { command, name, route, attempt, dueAt, expiresAt, heartbeatMs, options, input, details } = task;
  const times = `${number(dueAt)},${number(dueAt)},${number(expiresAt)},${number(heartbeatMs)},${isCancelled ? 1 : 0}`;
  return `(${run},${command},${names.idOf(name)},${names.idOf(route)},${attempt},${times},${text(options)},${payloadColumns(input)},${payloadColumns(details)})`;
}

/** Most of those that go on say no more than that: one statement for all of them. */
function touchStatements(touched: Changes["touchedTasks"], tables: Tables): string[] {
  const update = `UPDATE ${tables.task} FORCE INDEX (PRIMARY) SET`;
  const heard: TaskKey[] = [];
  const others: string[] = [];
  let now = 0;
  for (const [key, { details, heardAt, detach }] of touched) {
    if (heardAt !== null) {
      heard.push(key);
      now = heardAt;
    }
    const sets = [...(details === null ? [] : [payloadSets("details", details)]), ...(detach ? ["owner=NULL", "detached=1"] : [])];
    if (sets.length > 0) others.push(`${update} ${sets.join(",")} WHERE id=${key}`);
  }
  return [...pieces(heard).map((keys) => `${update} expires_at=${number(now)}+heartbeat_ms WHERE id IN (${keys.join(",")})`), ...others];
}

const kinshipStatements = ({ followers, children }: Changes, tables: Tables): string[] => [
  ...inserts(
    `INSERT INTO ${tables.follower} (chain,run) VALUES `,
    followers.map(({ chain, run }) => `(${chain},${run})`),
  ),
  ...inserts(
    `INSERT INTO ${tables.child} (parent_key,run) VALUES `,
    children.map(({ parentRunId, run }) => `(${keyLiteral(parentRunId)},${run})`),
  ),
];

function shelfStatements({ entries, chunks, attributes }: Changes, tables: Tables): string[] {
  if (entries.size + chunks.length + attributes.size === 0) return [];
  const changed = [...attributes.values()];
  return [
    ...inserts(
      `INSERT INTO ${tables.entry} (chain,name_key,name_long,version,payload_text,payload_bytes) VALUES `,
      [...entries.values()].map(({ chain, name, payload, times }) => `(${chain},${idColumns(name)},${times},${payloadColumns(payload)})`),
      " ON DUPLICATE KEY UPDATE version=version+VALUES(version),payload_text=VALUES(payload_text),payload_bytes=VALUES(payload_bytes)",
    ),
    ...inserts(
      `INSERT INTO ${tables.chunk} (chain,stream_key,stream_long,place,writer_key,writer_long,number,restart_at,payload_text,payload_bytes) VALUES `,
      chunks.map(({ chain, place, chunk: { stream, writer, number: writerNumber, restartAt, payload } }) => {
        const writing = `${idColumns(writer)},${writerNumber},${number(restartAt)}`;
        return `(${chain},${idColumns(stream)},${place},${writing},${payloadColumns(payload)})`;
      }),
    ),
    ...deleteRows(
      tables.attribute,
      changed.filter(({ value }) => value === null).map(({ chain, name }) => `chain=${chain} AND name_key=${keyLiteral(name)}`),
    ),
    ...inserts(
      `INSERT INTO ${tables.attribute} (chain,name_key,name_long,value_key,value_long) VALUES `,
      changed.flatMap(({ chain, name, value }) => (value === null ? [] : [`(${chain},${idColumns(name)},${idColumns(value)})`])),
      " ON DUPLICATE KEY UPDATE value_key=VALUES(value_key),value_long=VALUES(value_long)",
    ),
  ];
}

/**
 * Two rows with each statement: rather than look at three or more by their keys, the server looks at all rows of a table while it is short, and then waits for
 * each that somebody holds.
 */
const deleteRows = (table: string, conditions: readonly string[]): string[] =>
  pieces(conditions, 2).map((pair) => `DELETE FROM ${table} WHERE ${pair.length === 1 ? pair[0] : `(${pair.join(") OR (")})`}`);

/** Rows that lie together, by what they have in common. */
const deleteRanges = (table: string, conditions: readonly string[]): string[] =>
  conditions.map((condition) => `DELETE FROM ${table} WHERE ${condition}`);

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
