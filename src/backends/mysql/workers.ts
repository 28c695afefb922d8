/** Worker processes: their leases, and what is freed when one goes. */
import type { Store, WorkerKey } from "../../backend/index.js";
import type { Hall } from "./claims.js";
import type { Work } from "./lanes.js";
import type { Liveness, LockState } from "./liveness.js";
import type { Row } from "./session.js";
import { suspectCrashCount, type Tables } from "./schema.js";
import { idColumns, nowSql, number, numberOf, pieces, text } from "./sql.js";

export async function registerWorker(
  { lanes, tables }: Hall,
  { workerId, leaseMs }: Parameters<Store["registerWorker"]>[0],
  { lockName, here }: { readonly lockName: string; readonly here: string | null },
): Promise<WorkerKey> {
  const [answer] = await lanes.transact((work) =>
    work.commit([
      `INSERT INTO ${tables.worker} (worker_key, worker_long, lock_name, locked_on, lease_until)
VALUES (${idColumns(workerId)},${text(lockName)},IF(IS_USED_LOCK(${text(lockName)}) IS NULL,NULL,${text(here)}),${nowSql}+${number(leaseMs)})`,
    ]),
  );
  return answer?.insertId ?? 0;
}

export async function retireWorker({ lanes, tables }: Hall, worker: WorkerKey): Promise<void> {
  await lanes.transact(async (work) => {
    await work.run(["START TRANSACTION", `DELETE FROM ${tables.worker} WHERE id=${worker}`]);
    await freeAllOf(work, tables, worker, false);
    await work.commit(["COMMIT"]);
  });
}

interface WorkerRow extends LockState {
  readonly isExpired: boolean;
}

/** The workers there are, and the owners that are named by what they hold. */
interface Seen {
  readonly workers: readonly WorkerRow[];
  readonly owners: readonly WorkerKey[];
}

/** The rows of `casualtyStatement`, among others. */
export function casualtiesOf(hall: Hall, rows: readonly Row[], askedMs: number): Seen {
  const [workers, owners]: [WorkerRow[], WorkerKey[]] = [[], []];
  for (const [kind, key, time, isExpired, lock] of rows) {
    if (numberOf(kind) === 1) owners.push(numberOf(key));
    if (numberOf(kind) !== 0) continue;
    hall.noteTime(numberOf(time), askedMs);
    workers.push({ key: numberOf(key), isExpired: numberOf(isExpired) !== 0, isHeld: lock === "held", isHere: lock === "free here" });
  }
  return { workers, owners: [...new Set(owners)] };
}

/** Workers that are dead, and owners that no living worker stands for. Only reads, so that looking costs no transaction. */
async function findCasualties(hall: Hall, live: Liveness, self: WorkerKey | null): Promise<Casualties> {
  let seen: Seen = { workers: [], owners: [] };
  const dead = await live.findDead(async (here) => {
    const askedMs = hall.monotonicMs();
    const [answer] = await live.ask([casualtyStatement(hall.tables, here)]);
    seen = casualtiesOf(hall, answer?.rows ?? [], askedMs);
    return seen.workers;
  });
  const gone = seen.workers.filter(({ key, isExpired }) => key !== self && (isExpired || dead.has(key))).map(({ key }) => key);
  // By owner, not by death: a worker that was declared dead before it took something must not keep it.
  const living = new Set(seen.workers.map(({ key }) => key).filter((key) => !gone.includes(key)));
  return { workers: gone, owners: seen.owners.filter((owner) => owner !== self && !living.has(owner)) };
}

interface Casualties {
  readonly workers: readonly WorkerKey[];
  readonly owners: readonly WorkerKey[];
}

/** The workers, and the owners in each index, found by one look each: never a scan over all that they own. */
export const casualtyStatement = (tables: Tables, here: string | null): string =>
  `SELECT 0, id, ${nowSql}, lease_until<=${nowSql}, IF(IS_USED_LOCK(lock_name) IS NULL, IF(locked_on=${text(here)},'free here','free'), 'held') FROM ${tables.worker}
UNION ALL SELECT 1, owner, NULL, NULL, NULL FROM ${tables.run} FORCE INDEX (owned) WHERE owner IS NOT NULL GROUP BY owner
UNION ALL SELECT 1, owner, NULL, NULL, NULL FROM ${tables.task} FORCE INDEX (owned) WHERE owner IS NOT NULL GROUP BY owner`;

export async function recover(
  hall: Hall,
  live: Liveness,
  self: WorkerKey | null,
): Promise<Awaited<ReturnType<Store["recover"]>> & { readonly gone: readonly WorkerKey[] }> {
  const { workers, owners } = await findCasualties(hall, live, self);
  const freed = { workers: 0, runs: 0, tasks: 0 };
  const gone: WorkerKey[] = [];
  // One after the other: a death that cannot be dealt with now holds up no other.
  for (const worker of new Set([...workers, ...owners].toSorted((a, b) => a - b))) {
    const done = await hall.lanes.transact((work) => bury(work, hall.tables, worker, workers.includes(worker)));
    if (done.worker) gone.push(worker);
    freed.workers += done.worker ? 1 : 0;
    freed.runs += done.runs;
    freed.tasks += done.tasks;
  }
  return { ...freed, gone };
}

/** The row of the worker is what recoverers take turns by; an owner without one is told by the rows that it owns. */
async function bury(
  work: Work,
  tables: Tables,
  worker: WorkerKey,
  hasRow: boolean,
): Promise<{ readonly worker: boolean; readonly runs: number; readonly tasks: number }> {
  const [, removed] = await work.run(["START TRANSACTION", `DELETE FROM ${tables.worker} WHERE id=${worker}`]);
  const isMine = (removed?.affected ?? 0) > 0;
  // Somebody else was faster, and has freed all of it by now.
  if (hasRow && !isMine) {
    await work.run(["ROLLBACK"]);
    return { worker: false, runs: 0, tasks: 0 };
  }
  const freed = await freeAllOf(work, tables, worker, true);
  await work.commit(["COMMIT"]);
  return { worker: isMine, ...freed };
}

/** Takes everything from a worker, fencing it, and makes it due at once. A crash is put down to the suspects among its runs, or else to all it held. */
async function freeAllOf(
  work: Work,
  tables: Tables,
  worker: WorkerKey,
  crashed: boolean,
): Promise<{ readonly runs: number; readonly tasks: number }> {
  const [owned, tasks] = await work.run([
    `SELECT id, is_suspect FROM ${tables.run} FORCE INDEX (owned) WHERE owner=${worker} ORDER BY id FOR UPDATE`,
    `SELECT id FROM ${tables.task} FORCE INDEX (owned) WHERE owner=${worker} ORDER BY id FOR UPDATE`,
  ]);
  const runs = (owned?.rows ?? []).map(([key, isSuspect]) => ({ key: numberOf(key), isSuspect: numberOf(isSuspect) !== 0 }));
  const hasSuspects = runs.some(({ isSuspect }) => isSuspect);
  const charge = (charged: boolean): string => (charged ? "1" : "0");
  const freeRuns = (some: typeof runs, charged: boolean): readonly string[] =>
    pieces(some.map(({ key }) => key)).map(
      (piece) =>
        `UPDATE ${tables.run} FORCE INDEX (PRIMARY) SET lane=(status=1)*2+(crash_count+${charge(charged)}>=${suspectCrashCount}), crash_count=crash_count+${charge(charged)},
owner=NULL, epoch=epoch+1, due_at=${nowSql} WHERE id IN (${piece.join(",")})`,
    );
  const taskKeys = (tasks?.rows ?? []).map(([key]) => numberOf(key));
  await work.run([
    ...freeRuns(
      runs.filter(({ isSuspect }) => isSuspect),
      crashed,
    ),
    ...freeRuns(
      runs.filter(({ isSuspect }) => !isSuspect),
      crashed && !hasSuspects,
    ),
    ...pieces(taskKeys).map(
      (piece) =>
        `UPDATE ${tables.task} FORCE INDEX (PRIMARY) SET crash_count=crash_count+${charge(crashed && !hasSuspects)}, owner=NULL, epoch=epoch+1,
due_at=${nowSql}, claimable_at=${nowSql}, expires_at=NULL WHERE id IN (${piece.join(",")})`,
    ),
  ]);
  return { runs: runs.length, tasks: taskKeys.length };
}
