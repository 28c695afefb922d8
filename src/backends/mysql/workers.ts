/** Worker processes: their leases, and what is freed when one goes. */
import type { Store, WorkerKey } from "../../backend/index.js";
import type { Hall } from "./claims.js";
import type { Work } from "./lanes.js";
import type { Liveness, LockState } from "./liveness.js";
import { suspectCrashCount, type Tables } from "./schema.js";
import { idColumns, nowSql, number, numberOf, pieces, text } from "./sql.js";

export async function registerWorker(
  { lanes, tables }: Hall,
  { workerId, leaseMs }: Parameters<Store["registerWorker"]>[0],
  lockName: string,
): Promise<WorkerKey> {
  const [answer] = await lanes.transact((work) =>
    work.commit([
      `INSERT INTO ${tables.worker} (worker_key, worker_long, lock_name, lease_until) VALUES (${idColumns(workerId)},${text(lockName)},${nowSql}+${number(leaseMs)})`,
    ]),
  );
  return answer?.insertId ?? 0;
}

/** `beat` always changes, so that the count of rows is the same whether the driver asks for found rows or for changed ones. */
export const renewStatement = (tables: Tables, worker: WorkerKey, leaseMs: number): string =>
  `UPDATE ${tables.worker} SET lease_until=${nowSql}+${number(leaseMs)}, beat=(beat+1) MOD 1000000 WHERE id=${worker} AND lease_until>${nowSql}`;

export async function retireWorker({ lanes, tables }: Hall, worker: WorkerKey): Promise<void> {
  await lanes.transact(async (work) => {
    await work.run(["START TRANSACTION", `DELETE FROM ${tables.worker} WHERE id=${worker}`]);
    await freeAllOf(work, tables, worker, false);
    await work.commit(["COMMIT"]);
  });
}

interface WorkerRow {
  readonly key: WorkerKey;
  readonly isExpired: boolean;
}

interface Casualties {
  readonly workers: readonly WorkerKey[];
  readonly owners: readonly WorkerKey[];
}

/** Workers that are dead, and owners that no living worker stands for. Only reads, so that looking costs no transaction. */
async function findCasualties(hall: Hall, live: Liveness, self: WorkerKey | null): Promise<Casualties> {
  let workers: WorkerRow[] = [];
  let owners: WorkerKey[] = [];
  const read = async (): Promise<readonly LockState[]> => {
    const askedMs = hall.monotonicMs();
    const [answer] = await live.ask([casualtyStatement(hall.tables)]);
    const states: LockState[] = [];
    workers = [];
    owners = [];
    for (const [key, time, isExpired, holder] of answer?.rows ?? []) {
      if (time === null) {
        owners.push(numberOf(key));
        continue;
      }
      hall.noteTime(numberOf(time), askedMs);
      workers.push({ key: numberOf(key), isExpired: numberOf(isExpired) !== 0 });
      states.push({ worker: numberOf(key), isHeld: holder !== null });
    }
    return states;
  };
  const dead = await live.findDead(read);
  const gone = workers.filter(({ key, isExpired }) => key !== self && (isExpired || dead.has(key))).map(({ key }) => key);
  // By owner, not by death: a worker that was declared dead before it took something must not keep it.
  const living = new Set(workers.map(({ key }) => key).filter((key) => !gone.includes(key)));
  return { workers: gone, owners: [...new Set(owners)].filter((owner) => owner !== self && !living.has(owner)) };
}

/** The workers, and the owners in each index, found by one look each: never a scan over all that they own. */
const casualtyStatement = (tables: Tables): string =>
  `SELECT id, ${nowSql}, lease_until<=${nowSql}, IS_USED_LOCK(lock_name) FROM ${tables.worker}
UNION ALL SELECT owner, NULL, NULL, NULL FROM ${tables.run} FORCE INDEX (owned) WHERE owner IS NOT NULL GROUP BY owner
UNION ALL SELECT owner, NULL, NULL, NULL FROM ${tables.task} FORCE INDEX (owned) WHERE owner IS NOT NULL GROUP BY owner`;

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
