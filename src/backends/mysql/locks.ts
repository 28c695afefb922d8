/** The statements by which a batch locks rows and reads what those locks guard. Runs are locked in the order of their keys, then tasks in that of theirs. */
import type { NewChunk, RunKey, StartOperation, TaskKey } from "../../backend/index.js";
import type { Batch, StreamTail, Wanted } from "./batch.js";
import type { Work } from "./lanes.js";
import { factColumns, factOf, insertFirstFacts } from "./run-fact.js";
import { isOpenRow, rowColumns, rowOf, type RunRow } from "./run-row.js";
import type { Tables } from "./schema.js";
import type { Row } from "./session.js";
import { hexOf, idKey, idOf, keyLiteral, nullableNumberOf, numberOf, pieces } from "./sql.js";
import { statementPlan, type StatementPlan } from "./statement-plan.js";
import { keyOfTarget } from "./targets.js";

/** Inserts what is new (a run that exists keeps its row), then reads which of them are. */
export function planStarts(plan: StatementPlan, tables: Tables, { names, newRuns }: Batch, starts: readonly StartOperation[]): void {
  for (const piece of pieces(starts)) {
    plan.add(
      insertFirstFacts(
        tables,
        names,
        piece.map(({ run }) => run),
      ),
    );
    plan.add(
      `SELECT f.id, f.workflow_key, f.run_key, f.created_at FROM ${tables.fact} f FORCE INDEX (by_run) LEFT JOIN ${tables.run} r ON r.id = f.id
WHERE f.run_key IN (${piece.map(({ run }) => keyLiteral(run.runId)).join(",")}) AND r.id IS NULL`,
      (rows) => {
        for (const [key, workflowKey, runKey, createdAt] of rows)
          newRuns.set(hexOf(runKey), { key: numberOf(key), workflowKey: hexOf(workflowKey), createdAt: numberOf(createdAt) });
      },
    );
  }
}

/** What of a run is needed beside its row. */
export interface RunNeeds {
  readonly facts: boolean;
  /** The time of its last line. */
  readonly lastAt: boolean;
  readonly leftovers: boolean;
  /** All that its record is made of. */
  readonly records: boolean;
}

export function planRuns(plan: StatementPlan, tables: Tables, batch: Batch, keys: readonly RunKey[], needs: RunNeeds): void {
  const inOrder = keys.toSorted((a, b) => a - b);
  planRunLocks(
    plan,
    tables,
    inOrder.filter((key) => !batch.runs.has(key)),
    { lock: "FOR UPDATE", into: batch.runs },
  );
  for (const piece of pieces(inOrder)) {
    const list = piece.join(",");
    if (needs.facts || needs.records) {
      plan.look(`SELECT f.id, ${factColumns} FROM ${tables.fact} f FORCE INDEX (PRIMARY) WHERE f.id IN (${list})`, (rows) => {
        for (const [key, ...columns] of rows) batch.facts.set(numberOf(key), factOf(columns));
      });
    }
    if (needs.lastAt) {
      plan.look(
        `SELECT r.id, h.at FROM ${tables.run} r FORCE INDEX (PRIMARY) STRAIGHT_JOIN ${tables.history} h FORCE INDEX (PRIMARY) ON h.run=r.id AND h.seq=r.last_seq WHERE r.id IN (${list})`,
        (rows) => {
          for (const [key, at] of rows) batch.lastAt.set(numberOf(key), Math.max(numberOf(at), batch.lastAt.get(numberOf(key)) ?? 0));
        },
      );
    }
    if (needs.leftovers) planLeftovers(plan, tables, batch, piece);
    if (needs.records) planShelves(plan, tables, batch, list);
  }
}

function planLeftovers(plan: StatementPlan, tables: Tables, { leftovers }: Batch, keys: readonly RunKey[]): void {
  for (const key of keys) leftovers.set(key, { tasks: new Set(), keys: new Set() });
  const list = keys.join(",");
  plan.look(`SELECT run, id FROM ${tables.task} FORCE INDEX (by_command) WHERE run IN (${list})`, (rows) => {
    for (const [run, key] of rows) leftovers.get(numberOf(run))?.tasks.add(numberOf(key));
  });
  plan.look(
    `SELECT r.id, d.dedupe_key FROM ${tables.run} r FORCE INDEX (PRIMARY) STRAIGHT_JOIN ${tables.dedupe} d FORCE INDEX (PRIMARY) ON d.chain=r.chain WHERE r.id IN (${list})`,
    (rows) => {
      for (const [run, key] of rows) leftovers.get(numberOf(run))?.keys.add(hexOf(key));
    },
  );
}

/** The unread items and the attributes of the chains of these runs. */
function planShelves(plan: StatementPlan, tables: Tables, { unread, attributes }: Batch, runs: string): void {
  plan.look(
    `SELECT r.chain, i.position, i.command FROM ${tables.run} r FORCE INDEX (PRIMARY) STRAIGHT_JOIN ${tables.inbox} i FORCE INDEX (PRIMARY) ON i.chain=r.chain WHERE r.id IN (${runs})`,
    (rows) => {
      for (const [chain, position, command] of rows) mapOf(unread, numberOf(chain)).set(numberOf(position), command !== null);
    },
  );
  plan.look(
    `SELECT r.chain, a.name_key, a.name_long, a.value_key, a.value_long FROM ${tables.run} r FORCE INDEX (PRIMARY) STRAIGHT_JOIN ${tables.attribute} a FORCE INDEX (PRIMARY) ON a.chain=r.chain WHERE r.id IN (${runs})`,
    (rows) => {
      for (const [chain, nameKey, nameLong, valueKey, valueLong] of rows)
        mapOf(attributes, numberOf(chain)).set(idOf(nameKey, nameLong), idOf(valueKey, valueLong));
    },
  );
}

/** The map of a key, made when it is first asked for. */
export function mapOf<K, L, V>(maps: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let map = maps.get(key);
  if (map === undefined) maps.set(key, (map = new Map<L, V>()));
  return map;
}

/** Rows that somebody else holds are passed over. */
export const planTurns = (plan: StatementPlan, tables: Tables, { runs }: Batch, keys: readonly RunKey[]): void =>
  planRunLocks(
    plan,
    tables,
    keys.toSorted((a, b) => a - b),
    { lock: "FOR UPDATE SKIP LOCKED", into: runs },
  );

function planRunLocks(
  plan: StatementPlan,
  tables: Tables,
  keys: readonly RunKey[],
  { lock, into }: { readonly lock: "FOR UPDATE" | "FOR UPDATE SKIP LOCKED"; readonly into: Map<RunKey, RunRow> },
): void {
  for (const piece of pieces(keys)) {
    plan.add(`${selectRuns(tables, piece)} ${lock}`, (rows) => {
      for (const row of rows) into.set(numberOf(row[0]), rowOf(row));
    });
  }
}

const selectRuns = ({ run }: Tables, keys: readonly RunKey[]): string =>
  `SELECT ${rowColumns} FROM ${run} r FORCE INDEX (PRIMARY) WHERE r.id IN (${keys.join(",")}) ORDER BY r.id`;

/** A row that was passed over is locked, or does not exist. Read without a lock, as it was before whoever holds it. */
export async function readSkipped(work: Work, tables: Tables, { lockedRuns }: Batch, keys: readonly RunKey[]): Promise<void> {
  const plan = statementPlan();
  for (const piece of pieces(keys)) {
    plan.look(selectRuns(tables, piece), (rows) => {
      for (const row of rows) lockedRuns.set(numberOf(row[0]), rowOf(row));
    });
  }
  await plan.run(work);
  for (const [key, row] of lockedRuns) if (!isOpenRow(row)) lockedRuns.delete(key);
}

const taskColumns = "id, run, command, attempt, owner, epoch, heartbeat_ms, cancel_requested";

export function planTasks(plan: StatementPlan, tables: Tables, batch: Batch, keys: readonly TaskKey[]): void {
  for (const piece of pieces(keys.toSorted((a, b) => a - b))) {
    plan.add(
      `SELECT ${taskColumns} FROM ${tables.task} FORCE INDEX (PRIMARY) WHERE id IN (${piece.join(",")}) ORDER BY id FOR UPDATE`,
      (rows) => noteTasks(batch, rows),
    );
  }
}

/**
 * Tasks by what they are for, which only the holder of their run's row can change: so they are looked up first and then locked by their keys. To lock them by
 * their command would lock, in a transaction that repeats reads, the gap before it too.
 */
export async function lockAttempts(work: Work, tables: Tables, batch: Batch, attempts: Wanted["attempts"]): Promise<void> {
  const pairs = attempts.flatMap(({ runId, command }) => {
    const run = batch.runByRunId.get(idKey(runId));
    return run === undefined ? [] : [`(run=${run} AND command=${command})`];
  });
  const keys = new Set<TaskKey>();
  const look = statementPlan();
  for (const piece of pieces(pairs)) {
    look.look(`SELECT id FROM ${tables.task} FORCE INDEX (by_command) WHERE ${piece.join(" OR ")}`, (rows) => {
      for (const [key] of rows) keys.add(numberOf(key));
    });
  }
  await look.run(work);
  const lock = statementPlan();
  planTasks(lock, tables, batch, [...keys]);
  await lock.run(work);
}

function noteTasks({ tasks }: Batch, rows: readonly Row[]): void {
  for (const [id, run, command, attempt, owner, epoch, heartbeatMs, cancelRequested] of rows) {
    const key = numberOf(id);
    tasks.set(key, {
      key,
      run: numberOf(run),
      command: numberOf(command),
      attempt: numberOf(attempt),
      owner: nullableNumberOf(owner),
      epoch: numberOf(epoch),
      heartbeatMs: nullableNumberOf(heartbeatMs),
      cancelRequested: numberOf(cancelRequested) !== 0,
    });
  }
}

/** After the locks: who holds a run's row is the only one who can accept a key for it. */
export function planDedupe(plan: StatementPlan, tables: Tables, batch: Batch, sends: Wanted["sends"]): void {
  const pairs = sends.flatMap(({ target, dedupeKey }) => {
    const key = keyOfTarget(batch, target);
    const chain = key === undefined ? undefined : batch.chains.get(key);
    return chain === undefined ? [] : [`(chain=${chain} AND dedupe_key=${keyLiteral(dedupeKey)})`];
  });
  for (const piece of pieces(pairs)) {
    plan.look(`SELECT chain, dedupe_key FROM ${tables.dedupe} FORCE INDEX (PRIMARY) WHERE ${piece.join(" OR ")}`, (rows) => {
      for (const [chain, key] of rows) batch.dedupeKeys.add(`${numberOf(chain)}:${hexOf(key)}`);
    });
  }
}

/** Where streams go on, and how far their writers have come. */
export function planStreams(
  plan: StatementPlan,
  tables: Tables,
  batch: Batch,
  wanted: readonly { readonly run: RunKey; readonly chunk: NewChunk }[],
): void {
  const statements = new Set<string>();
  const select = (run: RunKey, stream: string): string =>
    `FROM ${tables.run} r STRAIGHT_JOIN ${tables.chunk} c FORCE INDEX (PRIMARY) ON c.chain=r.chain WHERE r.id=${run} AND c.stream_key=${keyLiteral(stream)}`;
  for (const { run, chunk } of wanted) {
    const { stream, writer, number } = chunk;
    statements.add(`SELECT c.chain, c.stream_key, c.place, NULL, NULL ${select(run, stream)} ORDER BY c.place DESC LIMIT 1`);
    if (number === 0) continue;
    statements.add(
      `SELECT c.chain, c.stream_key, NULL, c.writer_key, c.number ${select(run, stream).replace("PRIMARY", "by_writer")} AND c.writer_key=${keyLiteral(writer)} ORDER BY c.number DESC LIMIT 1`,
    );
  }
  for (const statement of statements) plan.look(statement, (rows) => noteTails(batch, rows));
}

function noteTails({ streams }: Batch, rows: readonly Row[]): void {
  for (const [chain, streamKey, place, writerKey, number] of rows) {
    const tail = tailOf(streams, `${numberOf(chain)}:${hexOf(streamKey)}`);
    if (place !== null) tail.nextPlace = Math.max(tail.nextPlace, numberOf(place) + 1);
    else tail.lastNumbers.set(hexOf(writerKey), Math.max(tail.lastNumbers.get(hexOf(writerKey)) ?? 0, numberOf(number)));
  }
}

export function tailOf(streams: Map<string, StreamTail>, key: string): StreamTail {
  let tail = streams.get(key);
  if (tail === undefined) streams.set(key, (tail = { nextPlace: 0, lastNumbers: new Map() }));
  return tail;
}

export const planWorkers = (plan: StatementPlan, tables: Tables, { workers }: Batch): void =>
  plan.look(`SELECT id, worker_key, worker_long, lease_until FROM ${tables.worker}`, (rows) => {
    for (const [key, workerKey, workerLong, leaseUntil] of rows)
      workers.set(numberOf(key), { workerId: idOf(workerKey, workerLong), leaseUntil: numberOf(leaseUntil) });
  });
