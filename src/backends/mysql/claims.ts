/** How workers come by runs and tasks, and what they hold. */
import type { ClaimedRun, ClaimedTask, RunKey, Store, TaskKey, WorkerKey } from "../../backend/index.js";
import type { Lanes, Work } from "./lanes.js";
import type { Names } from "./names.js";
import { factColumns, factOf, type RunFact } from "./run-fact.js";
import { claimOf, laneOf, ordinaryLanes, parkedLanes, rowColumns, rowOf, suspectLanes, type RunRow } from "./run-row.js";
import type { Tables } from "./schema.js";
import type { Row } from "./session.js";
import { idOf, nowSql, nullableNumberOf, numberOf, payloadOf, pieces } from "./sql.js";

type ClaimRunsOptions = Parameters<Store["claimRuns"]>[0];
type ClaimTasksOptions = Parameters<Store["claimTasks"]>[0];

export interface Hall {
  readonly lanes: Lanes;
  readonly tables: Tables;
  readonly names: Names;
  /** The database's clock, told by a query that was asked for at `askedMs`. */
  noteTime(timeMs: number, askedMs: number): void;
  readonly monotonicMs: () => number;
}

/** A part of an index of due rows, all with the same first columns, in the order of their due times. */
interface Lot {
  readonly lane: number;
  readonly route: number;
  /** Its longest due row, or the next that will be. */
  readonly first: number;
}

interface Offer {
  readonly now: number;
  readonly isAlive: boolean;
  readonly lots: readonly Lot[];
}

/** Which lots have anything with a time, and when: one statement and one look at the edge of each lot, whatever their sizes. */
async function look(hall: Hall, worker: WorkerKey, select: Select, above: number | null): Promise<Offer> {
  const askedMs = hall.monotonicMs();
  const edges = select(above === null ? "IS NOT NULL" : `> ${above}`);
  const clock = `SELECT -1,${nowSql},(SELECT lease_until FROM ${hall.tables.worker} WHERE id=${worker})`;
  const [answer] = await hall.lanes.transact((work) => work.run([[clock, ...edges].join(" UNION ALL ")]));
  const offer = { now: 0, isAlive: false, lots: [] as Lot[] };
  for (const [lane, route, first] of answer?.rows ?? []) {
    if (numberOf(lane) >= 0) offer.lots.push({ lane: numberOf(lane), route: numberOf(route), first: numberOf(first) });
    else {
      offer.now = numberOf(route);
      offer.isAlive = first !== null && offer.now < numberOf(first);
    }
  }
  hall.noteTime(offer.now, askedMs);
  return offer;
}

/** Queries for the lane, the route and the first time of each lot; `edge` narrows the times. */
type Select = (edge: string) => readonly string[];

const nextOf = ({ now, lots }: Offer): number | null => {
  const later = lots.flatMap(({ first }) => (first > now ? [first] : []));
  return later.length === 0 ? null : Math.min(...later);
};

async function nextDueAt(hall: Hall, worker: WorkerKey, select: Select, offer: Offer): Promise<number | null> {
  // If nothing is due, the edges are what is next; else one has to look beyond what is due.
  return nextOf(offer.lots.every(({ first }) => first > offer.now) ? offer : await look(hall, worker, select, offer.now));
}

export async function claimRuns(hall: Hall, options: ClaimRunsOptions): ReturnType<Store["claimRuns"]> {
  const { tables } = hall;
  const { worker, limit, suspects } = options;
  const ids = await hall.names.idsOf(options.routes);
  if (ids.length === 0) return { runs: [], nextDueAt: null };
  const select: Select = (edge) =>
    pieces(ids).map(
      (piece) =>
        `SELECT lane, route, MIN(due_at) FROM ${tables.run} FORCE INDEX (due) WHERE lane IN (0,1,2,3) AND route IN (${piece.join(",")}) AND due_at ${edge} GROUP BY lane, route`,
    );
  const offer = await look(hall, worker, select, null);
  const due = offer.isAlive ? offer.lots.filter(({ first }) => first <= offer.now) : [];
  const ordinary = limit > 0 ? due.filter(({ lane }) => ordinaryLanes.includes(lane)) : [];
  const suspect = suspects > 0 ? due.filter(({ lane }) => suspectLanes.includes(lane)) : [];
  const taking =
    ordinary.length + suspect.length === 0
      ? []
      : hall.lanes.transact(async (lane) => {
          const work = beginning(lane);
          const rows = [
            ...(await lockDue(work, tables, ordinary, offer.now, limit)),
            ...(await lockDue(work, tables, suspect, offer.now, suspects)),
          ];
          return takeRuns(hall.tables, work, worker, rows);
        });
  const [taken, nextDue] = await Promise.all([taking, nextDueAt(hall, worker, select, offer)]);
  return { runs: await claimsOf(hall.names, taken), nextDueAt: nextDue };
}

/** A transaction that begins in the packet of its first statements. */
function beginning(work: Work): Work {
  let before: readonly string[] = ["START TRANSACTION"];
  return {
    ...work,
    run: async (statements) => {
      const begin = before;
      before = [];
      return (await work.run([...begin, ...statements])).slice(begin.length);
    },
  };
}

/**
 * Locks the rows that are due for the longest time, passing over those that another worker is just taking. In the order of the index, so that no more is
 * locked than is taken; where several lots have due rows, which have been due for longest is found out first.
 */
async function lockDue(work: Work, tables: Tables, lots: readonly Lot[], now: number, limit: number): Promise<readonly RunRow[]> {
  if (lots.length === 0) return [];
  const where = ({ lane, route }: Lot): string => `r.lane=${lane} AND r.route=${route} AND r.due_at<=${now}`;
  let shares = lots.map((lot) => ({ lot, limit }));
  if (lots.length > 1) {
    const looks = lots.map(
      (lot, index) =>
        `SELECT ${index}, r.due_at FROM ${tables.run} r FORCE INDEX (due) WHERE ${where(lot)} ORDER BY r.due_at LIMIT ${limit}`,
    );
    const found = (await work.run(looks)).flatMap(({ rows }) =>
      rows.map(([index, dueAt]) => ({ index: numberOf(index), dueAt: numberOf(dueAt) })),
    );
    const longest = found.toSorted((a, b) => a.dueAt - b.dueAt).slice(0, limit);
    shares = lots.flatMap((lot, index) => {
      const count = longest.filter((one) => one.index === index).length;
      return count === 0 ? [] : [{ lot, limit: count }];
    });
  }
  const locks = shares.map(
    (share) =>
      `SELECT ${rowColumns} FROM ${tables.run} r FORCE INDEX (due) WHERE ${where(share.lot)} ORDER BY r.due_at LIMIT ${share.limit} FOR UPDATE SKIP LOCKED`,
  );
  return (await work.run(locks)).flatMap(({ rows }) => rows.map(rowOf)).slice(0, limit);
}

interface TakenRun {
  readonly row: RunRow;
  readonly fact: RunFact;
}

/** Makes the worker the owner of rows that are locked, at the next epoch, and commits. */
async function takeRuns(tables: Tables, work: Work, worker: WorkerKey, rows: readonly RunRow[]): Promise<readonly TakenRun[]> {
  const keys = pieces(rows.map(({ key }) => key));
  const answers = await work.commit([
    ...keys.map(
      (piece) =>
        `UPDATE ${tables.run} FORCE INDEX (PRIMARY) SET owner=${worker}, epoch=epoch+1, due_at=NULL, is_suspect=(crash_count>=2) WHERE id IN (${piece.join(",")})`,
    ),
    ...keys.map((piece) => `SELECT f.id, ${factColumns} FROM ${tables.fact} f FORCE INDEX (PRIMARY) WHERE f.id IN (${piece.join(",")})`),
    "COMMIT",
  ]);
  const facts = new Map(answers.flatMap((answer) => answer.rows.map(([key, ...columns]) => [numberOf(key), factOf(columns)] as const)));
  return rows.flatMap((row) => {
    const fact = facts.get(row.key);
    return fact === undefined ? [] : [{ row: { ...row, epoch: row.epoch + 1 }, fact }];
  });
}

/** After the transaction that took them: to learn a name may take a session of its own. */
async function claimsOf(names: Names, taken: readonly TakenRun[]): Promise<readonly ClaimedRun[]> {
  await names.learn(taken.flatMap(({ row, fact }) => [row.route, fact.name]));
  return taken.map(({ row, fact }) => claimOf(row, fact, names));
}

/** Waits for whoever holds the row: a turn without an answer either has been committed by then, or is fenced from then on. */
export async function reclaimRun(hall: Hall, { worker, key, epoch }: Parameters<Store["reclaimRun"]>[0]): Promise<ClaimedRun | null> {
  const taken = await hall.lanes.transact(async (work) => {
    const lock = `SELECT ${rowColumns} FROM ${hall.tables.run} r WHERE r.id=${key} AND r.owner=${worker} AND r.epoch=${epoch} FOR UPDATE`;
    const rows = (await work.run(["START TRANSACTION", lock]))[1]?.rows.map(rowOf) ?? [];
    if (rows.length > 0) return takeRuns(hall.tables, work, worker, rows);
    await work.run(["ROLLBACK"]);
    return [];
  });
  return (await claimsOf(hall.names, taken))[0] ?? null;
}

export async function claimTasks(hall: Hall, options: ClaimTasksOptions): ReturnType<Store["claimTasks"]> {
  const { tables, names } = hall;
  const { worker, limit } = options;
  const ids = await names.idsOf(options.routes);
  if (ids.length === 0) return { tasks: [], nextDueAt: null };
  const select: Select = (edge) =>
    pieces(ids).map(
      (piece) =>
        `SELECT 0, route, MIN(claimable_at) FROM ${tables.task} FORCE INDEX (due) WHERE route IN (${piece.join(",")}) AND claimable_at ${edge} GROUP BY route`,
    );
  const offer = await look(hall, worker, select, null);
  const due = offer.isAlive && limit > 0 ? offer.lots.filter(({ first }) => first <= offer.now) : [];
  const taking =
    due.length === 0
      ? []
      : hall.lanes.transact(async (lane) => {
          const work = beginning(lane);
          const rows = await lockDueTasks(work, tables, due, offer.now, limit);
          await names.learn(
            rows.flatMap((row) => [numberOf(row[5]), numberOf(row[6])]),
            work,
          );
          await work.commit([...takeTaskStatements(tables, worker, rows), "COMMIT"]);
          return rows.map((row) => taskOf(row, names));
        });
  const [tasks, nextDue] = await Promise.all([taking, nextDueAt(hall, worker, select, offer)]);
  return { tasks, nextDueAt: nextDue };
}

const taskColumns =
  "t.id,t.run,f.workflow_key,f.workflow_long,t.command,t.name,t.route,t.attempt,t.input_text,t.input_bytes,t.options,t.due_at,t.epoch,t.crash_count,f.run_key,f.run_long,t.heartbeat_ms,t.details_text,t.details_bytes,t.cancel_requested";

async function lockDueTasks(work: Work, tables: Tables, lots: readonly Lot[], now: number, limit: number): Promise<readonly Row[]> {
  const lock = ({ route }: Lot): string =>
    `SELECT t.id, t.claimable_at FROM ${tables.task} t FORCE INDEX (due) WHERE t.route=${route} AND t.claimable_at<=${now} ORDER BY t.claimable_at LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
  // What is locked and not taken is free again in a moment: a poll of another worker that falls into it gets the rest next time.
  const locked = (await work.run(lots.map(lock))).flatMap(({ rows }) =>
    rows.map(([key, dueAt]) => ({ key: numberOf(key), dueAt: numberOf(dueAt) })),
  );
  const keys = locked
    .toSorted((a, b) => a.dueAt - b.dueAt || a.key - b.key)
    .slice(0, limit)
    .map(({ key }) => key);
  const read = pieces(keys).map(
    (piece) =>
      `SELECT ${taskColumns} FROM ${tables.task} t FORCE INDEX (PRIMARY) JOIN ${tables.fact} f ON f.id=t.run WHERE t.id IN (${piece.join(",")})`,
  );
  if (read.length === 0) return [];
  // Sorted here: the server would sort the inputs with them, in a file.
  return (await work.run(read)).flatMap(({ rows }) => rows).toSorted(([a], [b]) => numberOf(a) - numberOf(b));
}

const takeTaskStatements = (tables: Tables, worker: WorkerKey, rows: readonly Row[]): readonly string[] =>
  pieces(rows.map(([key]) => numberOf(key))).map(
    (piece) =>
      `UPDATE ${tables.task} FORCE INDEX (PRIMARY) SET owner=${worker}, epoch=epoch+1, claimable_at=NULL, expires_at=${nowSql}+heartbeat_ms WHERE id IN (${piece.join(",")})`,
  );

function taskOf(row: Row, names: Names): ClaimedTask {
  const [
    key,
    run,
    workflowKey,
    workflowLong,
    command,
    name,
    route,
    attempt,
    asText,
    asBytes,
    options,
    dueAt,
    epoch,
    crashCount,
    runKey,
    runLong,
  ] = row;
  return {
    key: numberOf(key),
    runKey: numberOf(run),
    workflowId: idOf(workflowKey, workflowLong),
    runId: idOf(runKey, runLong),
    command: numberOf(command),
    name: names.nameOf(numberOf(name)),
    route: names.nameOf(numberOf(route)),
    attempt: numberOf(attempt),
    input: payloadOf(asText, asBytes) ?? "",
    options: String(options),
    dueAt: numberOf(dueAt),
    heartbeatMs: nullableNumberOf(row[16]),
    details: payloadOf(row[17], row[18]),
    epoch: numberOf(epoch) + 1,
    crashCount: numberOf(crashCount),
    cancelRequested: numberOf(row[19]) !== 0,
  };
}

export async function inspectOwned({ lanes, tables }: Hall, worker: WorkerKey): ReturnType<Store["inspectOwned"]> {
  const sql = `SELECT id, inbox_count, inbox_seen, NULL FROM ${tables.run} FORCE INDEX (owned) WHERE owner=${worker}
UNION ALL SELECT id, NULL, NULL, cancel_requested FROM ${tables.task} FORCE INDEX (owned) WHERE owner=${worker}`;
  const [answer] = await lanes.transact((work) => work.run([sql]));
  const runs: { key: RunKey; inboxCount: number; inboxSeen: number }[] = [];
  const tasks: { key: TaskKey; cancelRequested: boolean }[] = [];
  for (const [key, count, seen, cancelRequested] of answer?.rows ?? []) {
    if (count === null) tasks.push({ key: numberOf(key), cancelRequested: numberOf(cancelRequested) !== 0 });
    else runs.push({ key: numberOf(key), inboxCount: numberOf(count), inboxSeen: numberOf(seen) });
  }
  return { runs, tasks };
}

export async function release({ lanes, tables }: Hall, { worker, runs, tasks }: Parameters<Store["release"]>[0]): Promise<void> {
  const inOrder = (keys: readonly RunKey[]): readonly (readonly RunKey[])[] => pieces(keys.toSorted((a, b) => a - b));
  const statements = [
    ...inOrder(runs).map(
      (piece) =>
        `UPDATE ${tables.run} FORCE INDEX (PRIMARY) SET owner=NULL, epoch=epoch+1, due_at=${nowSql} WHERE id IN (${piece.join(",")}) AND owner=${worker}`,
    ),
    ...inOrder(tasks).map(
      (piece) =>
        `UPDATE ${tables.task} FORCE INDEX (PRIMARY) SET owner=NULL, epoch=epoch+1, due_at=${nowSql}, claimable_at=${nowSql}, expires_at=NULL WHERE id IN (${piece.join(",")}) AND owner=${worker}`,
    ),
  ];
  if (statements.length > 0) await lanes.transact((work) => work.commit(["START TRANSACTION", ...statements, "COMMIT"]));
}

/** Makes the parked runs on these routes due, and returns how many that were not. A poisoned one waits for a person. */
export async function retryParked(hall: Hall, routes: readonly string[]): Promise<number> {
  const { lanes, tables } = hall;
  const ids = await hall.names.idsOf(routes);
  if (ids.length === 0) return 0;
  return lanes.transact(async (work) => {
    const select = pieces(ids).map(
      (piece) =>
        `SELECT ${rowColumns} FROM ${tables.run} r FORCE INDEX (due) WHERE r.lane IN (${parkedLanes.join(",")}) AND r.route IN (${piece.join(",")}) AND r.owner IS NULL AND (r.due_at IS NULL OR r.due_at>${nowSql}) FOR UPDATE SKIP LOCKED`,
    );
    const answers = await work.run(["START TRANSACTION", ...select]);
    const rows = answers.flatMap((answer) => answer.rows.map(rowOf)).filter((row) => laneOf(row) >= 2 && !isPoisoned(row.parkReason));
    const updates = pieces(rows.map(({ key }) => key)).map(
      (piece) => `UPDATE ${tables.run} FORCE INDEX (PRIMARY) SET due_at=${nowSql} WHERE id IN (${piece.join(",")})`,
    );
    await work.commit([...updates, "COMMIT"]);
    return rows.length;
  });
}

const isPoisoned = (parkReason: string | null): boolean =>
  parkReason !== null && (JSON.parse(parkReason) as { readonly code: string }).code === "poisoned";
