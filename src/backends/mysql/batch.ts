/** What a batch of operations needs to know: read, and locked, in one or two round trips before anything is decided. */
import type { ClaimFor, Operation, RunKey, StartOperation, TaskKey, WorkerKey } from "../../backend/index.js";
import type { Work } from "./lanes.js";
import type { Names } from "./names.js";
import { factColumns, factOf, isOpenRow, rowColumns, rowOf, type RunFact, type RunRow } from "./run-row.js";
import type { Tables } from "./schema.js";
import type { Row } from "./session.js";
import { hexOf, idColumns, idKey, idOf, keyLiteral, nowSql, nullableNumberOf, number, numberOf, pieces, text } from "./sql.js";

export interface TaskRow {
  readonly key: TaskKey;
  readonly run: RunKey;
  readonly command: number;
  readonly attempt: number;
  readonly owner: WorkerKey | null;
  readonly epoch: number;
}

/** The state of the store as far as the batch is concerned. The decisions change it, and note in `Changes` what has to be written. */
export interface Batch {
  readonly now: number;
  readonly names: Names;
  /** Locked by this transaction, or made by it. */
  readonly runs: Map<RunKey, RunRow>;
  readonly facts: Map<RunKey, RunFact>;
  readonly runByWorkflow: Map<string, RunKey>;
  readonly runByRunId: Map<string, RunKey>;
  /** Rows that another transaction holds, as they were before it. */
  readonly lockedRuns: Map<RunKey, RunRow>;
  /** Runs that this transaction has made, by run key: nobody else has seen them. */
  readonly newRuns: Map<string, { readonly key: RunKey; readonly workflowKey: string; readonly createdAt: number }>;
  readonly tasks: Map<TaskKey, TaskRow>;
  /** Accepted dedupe keys, as `chain:key`. */
  readonly dedupeKeys: Set<string>;
  /** Unread positions, of those runs whose record has to be given. */
  readonly unread: Map<RunKey, Set<number>>;
  readonly workers: Map<WorkerKey, { readonly workerId: string; readonly leaseUntil: number }>;
}

type Target = { readonly workflowId: string } | { readonly runId: string };

interface Wanted {
  readonly starts: readonly StartOperation[];
  /** Runs that must not be passed over while somebody holds their row. */
  readonly waitFor: Set<RunKey>;
  readonly turns: Set<RunKey>;
  readonly tasks: readonly TaskKey[];
  /** For each run that is sent to: the keys that may be known already. */
  readonly sends: readonly { readonly target: Target; readonly dedupeKey: string }[];
  readonly claimFors: boolean;
}

export async function loadBatch(work: Work, tables: Tables, names: Names, operations: readonly Operation[]): Promise<Batch> {
  const wanted = wantedBy(operations);
  const found = await resolveTargets(work, tables, operations, wanted);
  const batch = await lockAll(work, tables, names, wanted, found);
  await names.learn(
    [...batch.runs.values()].map(({ name }) => name),
    work,
  );
  const skipped = [...wanted.turns].filter((key) => !batch.runs.has(key));
  const existing = wanted.starts.filter((start) => !isNewStart(batch, start));
  if (skipped.length > 0) await readSkipped(work, tables, batch, skipped);
  if (existing.length > 0) await loadExisting(work, tables, batch, wanted, existing);
  return batch;
}

export function isNewStart({ newRuns }: Pick<Batch, "newRuns">, { run }: StartOperation): boolean {
  return newRuns.get(idKey(run.runId))?.workflowKey === idKey(run.workflowId);
}

function wantedBy(operations: readonly Operation[]): Wanted {
  const claimForOf = (operation: Operation): ClaimFor | null => ("claimFor" in operation ? operation.claimFor : null);
  return {
    starts: operations.filter((operation) => operation.type === "start"),
    waitFor: new Set(),
    turns: new Set(operations.flatMap((operation) => (operation.type === "turn" ? [operation.key] : []))),
    tasks: [...new Set(operations.flatMap((operation) => (operation.type === "finish_task" ? [operation.key] : [])))],
    sends: operations.flatMap((operation) => (operation.type === "send" ? [operation] : [])),
    claimFors: operations.some((operation) => claimForOf(operation) !== null),
  };
}

interface Found {
  readonly runByWorkflow: Map<string, RunKey>;
  readonly runByRunId: Map<string, RunKey>;
  readonly chains: Map<RunKey, RunKey>;
}

/** Which rows do they mean? A read of its own, so that the rows can then be locked in the order of their keys. */
async function resolveTargets(work: Work, tables: Tables, operations: readonly Operation[], wanted: Wanted): Promise<Found> {
  const found: Found = { runByWorkflow: new Map(), runByRunId: new Map(), chains: new Map() };
  const targets = operations.flatMap((operation) => (operation.type === "send" || operation.type === "resume" ? [operation.target] : []));
  if (targets.length === 0 && wanted.tasks.length === 0) return found;
  const statements = [
    ...resolveStatements(tables, targets),
    ...pieces(wanted.tasks).map((keys) => `SELECT run FROM ${tables.task} WHERE id IN (${keys.join(",")})`),
  ];
  const rows = (await work.run(statements)).flatMap((answer) => answer.rows);
  for (const row of rows) {
    wanted.waitFor.add(numberOf(row[0]));
    if (row.length > 1) noteFound(found, row);
  }
  return found;
}

const resolveStatements = (tables: Tables, targets: readonly Target[]): readonly string[] => {
  const select = (index: string): string =>
    `SELECT f.id, f.workflow_key, f.run_key, r.chain FROM ${tables.fact} f FORCE INDEX (${index}) JOIN ${tables.run} r ON r.id=f.id WHERE`;
  const workflows = [...new Set(targets.flatMap((target) => ("workflowId" in target ? [keyLiteral(target.workflowId)] : [])))];
  const runs = [...new Set(targets.flatMap((target) => ("runId" in target ? [keyLiteral(target.runId)] : [])))];
  return [
    ...pieces(workflows).map(
      (keys) => `${select("by_workflow")} f.workflow_key IN (${keys.join(",")}) ORDER BY f.workflow_key, f.generation`,
    ),
    ...pieces(runs).map((keys) => `${select("by_run")} f.run_key IN (${keys.join(",")})`),
  ];
};

function noteFound(found: Found, [key, workflowKey, runKey, chain]: Row): void {
  // The newest generation has the largest key.
  const newest = found.runByWorkflow.get(hexOf(workflowKey)) ?? 0;
  found.runByWorkflow.set(hexOf(workflowKey), Math.max(newest, numberOf(key)));
  found.runByRunId.set(hexOf(runKey), numberOf(key));
  found.chains.set(numberOf(key), numberOf(chain));
}

/**
 * Begins the transaction and locks: starts first (they may wait for each other), then the runs that things are sent to (which may wait, in key order), then
 * the runs of turns, which never wait. So no two batches wait for each other in a circle, and a row that an application keeps holds up no turn.
 */
async function lockAll(work: Work, tables: Tables, names: Names, wanted: Wanted, found: Found): Promise<Batch> {
  const batch: Batch = {
    now: 0,
    names,
    runs: new Map(),
    facts: new Map(),
    runByWorkflow: new Map(found.runByWorkflow),
    runByRunId: new Map(found.runByRunId),
    lockedRuns: new Map(),
    newRuns: new Map(),
    tasks: new Map(),
    dedupeKeys: new Set(),
    unread: new Map(),
    workers: new Map(),
  };
  const plan = statementPlan();
  plan.add("START TRANSACTION");
  if (wanted.starts.length > 0) planStarts(plan, tables, wanted.starts, batch);
  const inOrder = [...wanted.waitFor].toSorted((a, b) => a - b);
  planRunLocks(plan, tables, inOrder, "FOR UPDATE", batch.runs);
  const turns = [...wanted.turns].filter((key) => !wanted.waitFor.has(key)).toSorted((a, b) => a - b);
  planRunLocks(plan, tables, turns, "FOR UPDATE SKIP LOCKED", batch.runs);
  planTasks(plan, tables, wanted.tasks, batch);
  planDedupe(plan, tables, wanted, found, batch);
  if (wanted.claimFors) {
    planFacts(plan, tables, inOrder, batch);
    planWorkers(plan, tables, batch);
  }
  let now = 0;
  plan.add(`SELECT ${nowSql}`, ([row]) => (now = numberOf(row?.[0])));
  await plan.run(work);
  return { ...batch, now };
}

interface StatementPlan {
  add(sql: string, read?: (rows: readonly Row[]) => void): void;
  run(work: Work): Promise<void>;
}

function statementPlan(): StatementPlan {
  const steps: { readonly sql: string; readonly read: ((rows: readonly Row[]) => void) | undefined }[] = [];
  return {
    add: (sql, read) => void steps.push({ sql, read }),
    async run(work) {
      const answers = await work.run(steps.map(({ sql }) => sql));
      for (const [index, { read }] of steps.entries()) read?.(answers[index]?.rows ?? []);
    },
  };
}

/** Inserts what is new (a run that exists keeps its row), then reads which of them are. */
function planStarts(plan: StatementPlan, tables: Tables, starts: readonly StartOperation[], batch: Batch): void {
  for (const piece of pieces(starts)) {
    const values = piece.map(({ run }) => {
      const ids = `${idColumns(run.workflowId)},1,${idColumns(run.runId)}`;
      return `(${ids},${text(run.version)},${run.engineVersion},${text(run.inputHash)},${nowSql},${number(run.deadlineAt)})`;
    });
    plan.add(`INSERT INTO ${tables.fact} (workflow_key,workflow_long,generation,run_key,run_long,version,engine_version,input_hash,created_at,deadline_at)
VALUES ${values.join(",")} ON DUPLICATE KEY UPDATE id = id`);
    plan.add(
      `SELECT f.id, f.workflow_key, f.run_key, f.created_at FROM ${tables.fact} f FORCE INDEX (by_run) LEFT JOIN ${tables.run} r ON r.id = f.id
WHERE f.run_key IN (${piece.map(({ run }) => keyLiteral(run.runId)).join(",")}) AND r.id IS NULL`,
      (rows) => {
        for (const [key, workflowKey, runKey, createdAt] of rows)
          batch.newRuns.set(hexOf(runKey), { key: numberOf(key), workflowKey: hexOf(workflowKey), createdAt: numberOf(createdAt) });
      },
    );
  }
}

function planRunLocks(plan: StatementPlan, tables: Tables, keys: readonly RunKey[], lock: string, into: Map<RunKey, RunRow>): void {
  for (const piece of pieces(keys)) {
    plan.add(
      `SELECT ${rowColumns} FROM ${tables.run} r FORCE INDEX (PRIMARY) WHERE r.id IN (${piece.join(",")}) ORDER BY r.id ${lock}`,
      (rows) => {
        for (const row of rows) into.set(numberOf(row[0]), rowOf(row));
      },
    );
  }
}

function planTasks(plan: StatementPlan, tables: Tables, keys: readonly TaskKey[], { tasks }: Batch): void {
  for (const piece of pieces(keys.toSorted((a, b) => a - b))) {
    plan.add(
      `SELECT id, run, command, attempt, owner, epoch FROM ${tables.task} FORCE INDEX (PRIMARY) WHERE id IN (${piece.join(",")}) ORDER BY id FOR UPDATE`,
      (rows) => {
        for (const [key, run, command, attempt, owner, epoch] of rows) {
          tasks.set(numberOf(key), {
            key: numberOf(key),
            run: numberOf(run),
            command: numberOf(command),
            attempt: numberOf(attempt),
            owner: nullableNumberOf(owner),
            epoch: numberOf(epoch),
          });
        }
      },
    );
  }
}

/** After the locks: who holds a run's row is the only one who can accept a key for it. */
function planDedupe(plan: StatementPlan, tables: Tables, wanted: Wanted, found: Found, { dedupeKeys }: Batch): void {
  const pairs = wanted.sends.flatMap(({ target, dedupeKey }) => {
    const key = "runId" in target ? found.runByRunId.get(idKey(target.runId)) : found.runByWorkflow.get(idKey(target.workflowId));
    const chain = key === undefined ? undefined : found.chains.get(key);
    return chain === undefined ? [] : [`(chain=${chain} AND dedupe_key=${keyLiteral(dedupeKey)})`];
  });
  for (const piece of pieces(pairs)) {
    plan.add(`SELECT chain, dedupe_key FROM ${tables.dedupe} FORCE INDEX (PRIMARY) WHERE ${piece.join(" OR ")}`, (rows) => {
      for (const [chain, key] of rows) dedupeKeys.add(`${numberOf(chain)}:${hexOf(key)}`);
    });
  }
}

function planFacts(plan: StatementPlan, tables: Tables, keys: readonly RunKey[], { facts }: Batch): void {
  for (const piece of pieces(keys)) {
    plan.add(`SELECT f.id, ${factColumns} FROM ${tables.fact} f FORCE INDEX (PRIMARY) WHERE f.id IN (${piece.join(",")})`, (rows) => {
      for (const [key, ...columns] of rows) facts.set(numberOf(key), factOf(columns));
    });
  }
}

const planWorkers = (plan: StatementPlan, tables: Tables, { workers }: Batch): void =>
  plan.add(`SELECT id, worker_key, worker_long, lease_until FROM ${tables.worker}`, (rows) => {
    for (const [key, workerKey, workerLong, leaseUntil] of rows)
      workers.set(numberOf(key), { workerId: idOf(workerKey, workerLong), leaseUntil: numberOf(leaseUntil) });
  });

/** A row that was passed over is locked, or does not exist. Read without a lock, as it was before whoever holds it. */
async function readSkipped(work: Work, tables: Tables, { lockedRuns }: Batch, keys: readonly RunKey[]): Promise<void> {
  const plan = statementPlan();
  planRunLocks(plan, tables, keys, "", lockedRuns);
  await plan.run(work);
  for (const [key, row] of lockedRuns) if (!isOpenRow(row)) lockedRuns.delete(key);
}

/** Starts whose run exists: rare, so they may cost. Their rows are locked as well, because later operations of the batch may mean them. */
async function loadExisting(work: Work, tables: Tables, batch: Batch, wanted: Wanted, starts: readonly StartOperation[]): Promise<void> {
  const targets = starts.flatMap(({ run }) => [{ workflowId: run.workflowId }, { runId: run.runId }]);
  const rows = (await work.run(resolveStatements(tables, targets))).flatMap((answer) => answer.rows);
  const found: Found = { runByWorkflow: batch.runByWorkflow, runByRunId: batch.runByRunId, chains: new Map() };
  const keys = new Set<RunKey>();
  for (const row of rows) {
    noteFound(found, row);
    keys.add(numberOf(row[0]));
  }
  const inOrder = [...keys].toSorted((a, b) => a - b);
  const plan = statementPlan();
  planRunLocks(
    plan,
    tables,
    inOrder.filter((key) => !batch.runs.has(key)),
    "FOR UPDATE",
    batch.runs,
  );
  planFacts(plan, tables, inOrder, batch);
  planWorkers(plan, tables, batch);
  planDedupe(plan, tables, wanted, found, batch);
  for (const key of inOrder) batch.unread.set(key, new Set());
  for (const piece of pieces(inOrder)) {
    plan.add(
      `SELECT r.id, i.position FROM ${tables.run} r JOIN ${tables.inbox} i ON i.chain = r.chain WHERE r.id IN (${piece.join(",")})`,
      (found_) => {
        for (const [key, position] of found_) batch.unread.get(numberOf(key))?.add(numberOf(position));
      },
    );
  }
  await plan.run(work);
  for (const key of inOrder) batch.lockedRuns.delete(key);
  await batch.names.learn(
    [...batch.runs.values()].map(({ name }) => name),
    work,
  );
}
