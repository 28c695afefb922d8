/** What a batch of operations needs to know: read, and locked, in one or two round trips before anything is decided. */
import type { Effects, NewChunk, Operation, RunKey, RunTarget, StartOperation, TaskKey, WorkerKey } from "../../backend/index.js";
import type { Work } from "./lanes.js";
import {
  lockAttempts,
  planDedupe,
  planRuns,
  planStarts,
  planStreams,
  planTasks,
  planTurns,
  planWorkers,
  readSkipped,
  type RunNeeds,
} from "./locks.js";
import type { Names } from "./names.js";
import type { RunFact } from "./run-fact.js";
import { isOpenRow, type RunRow } from "./run-row.js";
import type { Tables } from "./schema.js";
import { idKey, nowSql, numberOf } from "./sql.js";
import { statementPlan } from "./statement-plan.js";
import { keyOfTarget, resolveTargets } from "./targets.js";

export interface TaskRow {
  readonly key: TaskKey;
  readonly run: RunKey;
  readonly command: number;
  readonly attempt: number;
  owner: WorkerKey | null;
  readonly epoch: number;
  readonly heartbeatMs: number | null;
  cancelRequested: boolean;
}

export interface Leftovers {
  readonly tasks: Set<TaskKey>;
  /** Accepted dedupe keys, as keys. */
  readonly keys: Set<string>;
}

/** Where a stream goes on. */
export interface StreamTail {
  nextPlace: number;
  /** By the key of the writer. */
  readonly lastNumbers: Map<string, number>;
}

/** The state of the store as far as the batch is concerned. The decisions change it, and note in `Changes` what has to be written. */
export interface Batch {
  now: number;
  readonly names: Names;
  /** Locked by this transaction, or made by it. */
  readonly runs: Map<RunKey, RunRow>;
  readonly facts: Map<RunKey, RunFact>;
  readonly runByWorkflow: Map<string, RunKey>;
  readonly runByRunId: Map<string, RunKey>;
  /** The newest run of the chain, by the key of the id of any of its runs. */
  readonly chainTips: Map<string, RunKey>;
  readonly chains: Map<RunKey, RunKey>;
  /** The run that goes on in the place of one, where this batch makes it. */
  readonly followers: Map<RunKey, RunKey>;
  /** Rows that another transaction holds, as they were before it. */
  readonly lockedRuns: Map<RunKey, RunRow>;
  /** Runs that this transaction has made, by run key: nobody else has seen them. */
  readonly newRuns: Map<string, { readonly key: RunKey; readonly workflowKey: string; readonly createdAt: number }>;
  /** Has it decided on any whose keys are above those? */
  hasLaterRuns: boolean;
  readonly tasks: Map<TaskKey, TaskRow>;
  /** Accepted dedupe keys, as `chain:key`. */
  readonly dedupeKeys: Set<string>;
  /** Times of the last lines of runs that may be ended by force. */
  readonly lastAt: Map<RunKey, number>;
  /** What runs that may be ended by force leave to tidy up, if it is to be named row by row. */
  readonly leftovers: Map<RunKey, Leftovers>;
  /** As `chain:stream`. */
  readonly streams: Map<string, StreamTail>;
  /** Of those chains whose runs' records have to be given: unread positions (are they for a command?), and attributes by name. */
  readonly unread: Map<RunKey, Map<number, boolean>>;
  readonly attributes: Map<RunKey, Map<string, string>>;
  readonly workers: Map<WorkerKey, { readonly workerId: string; readonly leaseUntil: number }>;
}

export const emptyBatch = (names: Names): Batch => ({
  now: 0,
  names,
  runs: new Map(),
  facts: new Map(),
  runByWorkflow: new Map(),
  runByRunId: new Map(),
  chainTips: new Map(),
  chains: new Map(),
  followers: new Map(),
  lockedRuns: new Map(),
  newRuns: new Map(),
  hasLaterRuns: false,
  tasks: new Map(),
  dedupeKeys: new Set(),
  lastAt: new Map(),
  leftovers: new Map(),
  streams: new Map(),
  unread: new Map(),
  attributes: new Map(),
  workers: new Map(),
});

/** What the operations of a batch mean. */
export interface Wanted {
  readonly starts: StartOperation[];
  readonly targets: RunTarget[];
  readonly turns: Set<RunKey>;
  /** Runs that must not be passed over while somebody holds their row. */
  readonly waitFor: Set<RunKey>;
  /** Tasks whose run is needed, and those that are needed alone. */
  readonly tasks: Set<TaskKey>;
  readonly touchedTasks: Set<TaskKey>;
  readonly attempts: { readonly runId: string; readonly command: number }[];
  readonly sends: { readonly target: RunTarget; readonly dedupeKey: string }[];
  readonly chunks: { readonly of: { readonly run: RunKey } | { readonly task: TaskKey }; readonly chunks: readonly NewChunk[] }[];
  claimFors: boolean;
  terminates: boolean;
}

/**
 * Reads and locks what the operations mean. Starts come first (they may wait for each other), then the runs that things are sent to (which may wait, in key
 * order), then the runs of turns, which never wait. So no two batches wait for each other in a circle, and a row that an application keeps holds up no turn.
 */
export async function loadBatch(
  work: Work,
  tables: Tables,
  names: Names,
  { operations, begin }: { readonly operations: readonly Operation[]; readonly begin: readonly string[] },
): Promise<Batch> {
  const wanted = wantedBy(operations);
  const batch = emptyBatch(names);
  const taskRuns = await resolveTargets(work, tables, batch, wanted);
  for (const run of taskRuns.values()) wanted.waitFor.add(run);
  for (const { runId } of wanted.attempts) addTo(wanted.waitFor, batch.runByRunId.get(idKey(runId)));
  for (const target of wanted.targets) addTo(wanted.waitFor, keyOfTarget(batch, target));
  await lockAll(work, tables, batch, { wanted, taskRuns, begin });
  await followMoves(work, tables, batch, wanted, false);
  const skipped = [...wanted.turns].filter((key) => !batch.runs.has(key));
  if (skipped.length > 0) await readSkipped(work, tables, batch, skipped);
  const existing = wanted.starts.filter((start) => !isNewStart(batch, start));
  if (existing.length > 0) await loadExisting(work, tables, batch, wanted, existing);
  await names.learn([...[...batch.runs.values()].map(({ route }) => route), ...[...batch.facts.values()].map(({ name }) => name)], work);
  return batch;
}

const addTo = (keys: Set<RunKey>, key: RunKey | undefined): void => void (key !== undefined && keys.add(key));

export function isNewStart({ newRuns }: Pick<Batch, "newRuns">, { run }: StartOperation): boolean {
  return newRuns.get(idKey(run.runId))?.workflowKey === idKey(run.workflowId);
}

function wantedBy(operations: readonly Operation[]): Wanted {
  const wanted: Wanted = {
    starts: [],
    targets: [],
    turns: new Set(),
    waitFor: new Set(),
    tasks: new Set(),
    touchedTasks: new Set(),
    attempts: [],
    sends: [],
    chunks: [],
    claimFors: false,
    terminates: false,
  };
  for (const operation of operations) want(wanted, operation);
  return wanted;
}

function want(wanted: Wanted, operation: Operation): void {
  switch (operation.type) {
    case "start":
      wanted.starts.push(operation);
      if (operation.terminates !== null) wanted.terminates = true;
      return;
    case "turn":
      wanted.turns.add(operation.key);
      wantChunks(wanted, { run: operation.key }, operation.effects);
      return;
    case "send":
      wanted.targets.push(operation.target);
      wanted.sends.push(operation);
      if (operation.claimFor !== null) wanted.claimFors = true;
      return;
    case "finish_task":
      if ("key" in operation.task) wanted.tasks.add(operation.task.key);
      else wanted.attempts.push(operation.task);
      if (operation.claimFor !== null) wanted.claimFors = true;
      return;
    case "touch_task":
      wanted.touchedTasks.add(operation.key);
      return;
    case "append":
      if ("run" in operation.on) wanted.waitFor.add(operation.on.run);
      else wanted.tasks.add(operation.on.task);
      wantChunks(wanted, operation.on, operation);
      return;
    case "terminate":
      wanted.targets.push(operation.target);
      wanted.terminates = true;
      return;
    case "resume":
      wanted.targets.push(operation.target);
      return;
    default:
      operation satisfies never;
  }
}

function wantChunks(wanted: Wanted, of: Wanted["chunks"][number]["of"], { chunks }: Pick<Effects, "chunks">): void {
  if (chunks.length > 0) wanted.chunks.push({ of, chunks });
}

interface Loading {
  readonly wanted: Wanted;
  readonly taskRuns: ReadonlyMap<TaskKey, RunKey>;
  readonly begin: readonly string[];
}

const needsOf = ({ readFresh }: Work, { claimFors, terminates }: Wanted): RunNeeds => ({
  facts: claimFors || terminates,
  lastAt: terminates,
  // Elsewhere to remove a range is less to send; in a transaction that repeats reads it would lock what lies beside the range.
  leftovers: terminates && readFresh !== null,
  records: false,
});

/** Begins the transaction, locks what was found and reads what the locks guard. */
async function lockAll(work: Work, tables: Tables, batch: Batch, { wanted, taskRuns, begin }: Loading): Promise<void> {
  const plan = statementPlan();
  for (const statement of begin) plan.add(statement);
  if (wanted.starts.length > 0) planStarts(plan, tables, batch, wanted.starts);
  planRuns(plan, tables, batch, [...wanted.waitFor], needsOf(work, wanted));
  planTurns(
    plan,
    tables,
    batch,
    [...wanted.turns].filter((key) => !wanted.waitFor.has(key)),
  );
  planTasks(plan, tables, batch, [...new Set([...wanted.tasks, ...wanted.touchedTasks])]);
  planDedupe(plan, tables, batch, wanted.sends);
  const chunks = wanted.chunks.flatMap(({ of, chunks: some }) => {
    const run = "run" in of ? of.run : taskRuns.get(of.task);
    return run === undefined ? [] : some.map((chunk) => ({ run, chunk }));
  });
  planStreams(plan, tables, batch, chunks);
  if (wanted.claimFors) planWorkers(plan, tables, batch);
  plan.add(`SELECT ${nowSql}`, ([row]) => (batch.now = numberOf(row?.[0])));
  await plan.run(work);
  await lockAttempts(work, tables, batch, wanted.attempts);
}

/**
 * Between the look and the lock a chain may have gone on, or a workflow id have begun anew: whoever does that holds the row of the run before. So a row that
 * is locked and open is the one that is meant, and after one that has ended one has to look again.
 */
async function followMoves(work: Work, tables: Tables, batch: Batch, wanted: Wanted, records: boolean): Promise<void> {
  for (;;) {
    const ended = wanted.targets.filter((target) => !("runId" in target) && hasEnded(batch, keyOfTarget(batch, target)));
    if (ended.length === 0) return;
    await resolveTargets(work, tables, batch, { targets: ended, tasks: new Set(), attempts: [] });
    const moved = new Set<RunKey>();
    for (const target of ended) addTo(moved, keyOfTarget(batch, target));
    const keys = [...moved].filter((key) => !batch.runs.has(key));
    if (keys.length === 0) return;
    const plan = statementPlan();
    planRuns(plan, tables, batch, keys, { ...needsOf(work, wanted), records });
    planDedupe(plan, tables, batch, wanted.sends);
    await plan.run(work);
  }
}

const hasEnded = ({ runs }: Batch, key: RunKey | undefined): boolean => {
  const row = key === undefined ? undefined : runs.get(key);
  return row !== undefined && !isOpenRow(row);
};

/** Starts whose run exists: rare, so they may cost. Their rows are locked as well, because later operations of the batch may mean them. */
async function loadExisting(work: Work, tables: Tables, batch: Batch, wanted: Wanted, starts: readonly StartOperation[]): Promise<void> {
  const targets = starts.flatMap(({ run }) => [{ workflowId: run.workflowId }, { runId: run.runId }]);
  await resolveTargets(work, tables, batch, { targets, tasks: new Set(), attempts: [] });
  const keys = new Set<RunKey>();
  for (const target of targets) addTo(keys, keyOfTarget(batch, target));
  const plan = statementPlan();
  planRuns(plan, tables, batch, [...keys], { ...needsOf(work, wanted), records: true });
  planWorkers(plan, tables, batch);
  planDedupe(plan, tables, batch, wanted.sends);
  await plan.run(work);
  await followMoves(work, tables, batch, { ...wanted, targets: [...wanted.targets, ...targets] }, true);
}
