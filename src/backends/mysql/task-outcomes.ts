/** What becomes of claimed tasks: they end, go on, or expire. */
import type {
  FinishTaskOperation,
  FinishTaskOutcome,
  InboxItem,
  Payload,
  RunKey,
  TaskKey,
  TaskTarget,
  TouchTaskOperation,
  TouchTaskOutcome,
} from "../../backend/index.js";
import { emptyBatch, type Batch } from "./batch.js";
import { noChanges, statementsOf, type Changes } from "./changes.js";
import type { Hall } from "./claims.js";
import type { Work } from "./lanes.js";
import { mapOf, planTurns } from "./locks.js";
import { deliver } from "./messages.js";
import { isOpenRow, type RunRow } from "./run-row.js";
import type { Row } from "./session.js";
import { idKey, nowSql, numberOf, payloadOf } from "./sql.js";
import { statementPlan } from "./statement-plan.js";

interface FoundTask {
  readonly run: RunKey;
  readonly command: number;
  readonly attempt: number;
  /** Null for one that this batch has queued. */
  readonly key: TaskKey | null;
}

/** A claimed task at its epoch; or whatever task there is for this attempt, claimed or not. */
function findTask(batch: Batch, changes: Changes, target: TaskTarget): FoundTask | undefined {
  if ("key" in target) {
    const task = batch.tasks.get(target.key);
    return task === undefined || task.owner === null || task.epoch !== target.epoch ? undefined : task;
  }
  const { command, attempt } = target;
  const run = batch.runByRunId.get(idKey(target.runId));
  if (run === undefined) return undefined;
  const queued = changes.tasks.get(run)?.get(command);
  const task =
    queued === undefined
      ? [...batch.tasks.values()].find((one) => one.run === run && one.command === command)
      : queued === null
        ? undefined
        : { run, command, attempt: queued.attempt, key: null };
  return task?.attempt === attempt ? task : undefined;
}

export function applyFinishTask(batch: Batch, changes: Changes, operation: FinishTaskOperation): FinishTaskOutcome {
  const task = findTask(batch, changes, operation.task);
  if (task === undefined) return { status: "gone" };
  const row = rowOfTask(batch, task);
  const { kind } = operation;
  removeTask(batch, changes, task);
  if (kind === "done") return { status: "finished", runKey: row.key, position: 0, claimed: null, owner: row.owner };
  // A task that an ended run left behind has nobody to tell.
  if (!isOpenRow(row)) return { status: "gone" };
  const item: InboxItem = { kind, name: "", command: task.command, attempt: task.attempt, payload: operation.payload, options: null };
  const { position, claimed } = deliver(batch, changes, row, item, operation.claimFor);
  return { status: "finished", runKey: row.key, position, claimed, owner: row.owner };
}

function rowOfTask({ runs }: Batch, { run }: FoundTask): RunRow {
  const row = runs.get(run);
  if (row === undefined) throw new Error(`The run ${run} of a task is missing.`);
  return row;
}

function removeTask(batch: Batch, changes: Changes, { key, run, command }: FoundTask): void {
  if (key === null) {
    mapOf(changes.tasks, run).set(command, null);
    return;
  }
  batch.tasks.delete(key);
  changes.finishedTasks.push(key);
}

export function applyTouchTask(batch: Batch, changes: Changes, { key, epoch, details, detach }: TouchTaskOperation): TouchTaskOutcome {
  const task = batch.tasks.get(key);
  if (task === undefined || task.owner === null || task.epoch !== epoch) return { status: "gone" };
  const before = changes.touchedTasks.get(key);
  const heardAt = task.heartbeatMs === null ? null : batch.now;
  changes.touchedTasks.set(key, { details: details ?? before?.details ?? null, heardAt, detach });
  if (detach) task.owner = null;
  return { status: "touched", cancelRequested: task.cancelRequested };
}

/** How many tasks expire in one transaction. */
const expireMax = 500;

/** Looks without a lock, so that looking costs no transaction where nothing is overdue; it nearly never is. */
export async function expireTasks(hall: Hall): Promise<number> {
  let total = 0;
  for (;;) {
    const look = `SELECT id, run FROM ${hall.tables.task} FORCE INDEX (expiring) WHERE expires_at<=${nowSql} ORDER BY expires_at LIMIT ${expireMax}`;
    const [answer] = await hall.lanes.transact((work) => work.run([look]));
    const found = (answer?.rows ?? []).map(([key, run]) => ({ key: numberOf(key), run: numberOf(run) }));
    if (found.length === 0) return total;
    const expired = await hall.lanes.transact((work) => expireSome(hall, work, found));
    total += expired;
    // What was passed over is somebody else's, or for the next time.
    if (found.length < expireMax || expired === 0) return total;
  }
}

interface ExpiredTask extends FoundTask {
  readonly key: TaskKey;
  readonly item: InboxItem;
}

async function expireSome(
  { tables, names }: Hall,
  work: Work,
  found: readonly { readonly key: TaskKey; readonly run: RunKey }[],
): Promise<number> {
  const batch = emptyBatch(names);
  const expired: ExpiredTask[] = [];
  const plan = statementPlan();
  plan.add("START TRANSACTION");
  // As for turns, and for the tasks below: nothing is waited for, so that two processes share the work, and a row that somebody keeps holds up no other.
  planTurns(plan, tables, batch, [...new Set(found.map(({ run }) => run))]);
  plan.add(
    `SELECT id, run, command, attempt, owner IS NULL AND detached=0, details_text, details_bytes FROM ${tables.task} FORCE INDEX (PRIMARY)
WHERE id IN (${found.map(({ key }) => key).join(",")}) AND expires_at<=${nowSql} ORDER BY id FOR UPDATE SKIP LOCKED`,
    (rows) => expired.push(...rows.map(expiredTaskOf)),
  );
  plan.add(`SELECT ${nowSql}`, ([row]) => (batch.now = numberOf(row?.[0])));
  await plan.run(work);
  const changes = noChanges();
  const mine = expired.filter(({ run }) => batch.runs.has(run));
  for (const task of mine) {
    const row = rowOfTask(batch, task);
    removeTask(batch, changes, task);
    if (isOpenRow(row)) deliver(batch, changes, row, task.item, null);
  }
  await work.commit([...statementsOf(changes, tables, names), "COMMIT"]);
  return mine.length;
}

function expiredTaskOf([key, run, command, attempt, isQueued, asText, asBytes]: Row): ExpiredTask {
  const payload: Payload | null = payloadOf(asText, asBytes);
  const item: InboxItem = {
    kind: "activity_expired",
    name: numberOf(isQueued) === 0 ? "heartbeat" : "queued",
    command: numberOf(command),
    attempt: numberOf(attempt),
    payload,
    options: null,
  };
  return { key: numberOf(key), run: numberOf(run), command: numberOf(command), attempt: numberOf(attempt), item };
}
