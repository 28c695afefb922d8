/** Worker processes: what is freed when one goes. */
import type { Store, WorkerKey } from "../../backend/index.js";
import type { Tables, Work } from "./tables.js";

export function registerWorker(work: Work, { workerId, leaseMs }: Parameters<Store["registerWorker"]>[0]): { readonly worker: WorkerKey } {
  const worker = work.keys.next("worker");
  work.workers.insert(worker, workerId, work.now + leaseMs);
  return { worker };
}

export function retireWorker(work: Work, worker: WorkerKey): void {
  work.workers.remove(worker);
  freeAllOf(work, worker, { crashed: false });
}

export function release(work: Work, { worker, runs, tasks }: Parameters<Store["release"]>[0]): void {
  for (const key of runs) {
    const row = work.runs.byKey(key);
    if (row?.owner === worker) work.runs.save({ ...row, owner: null, epoch: row.epoch + 1, dueAt: work.now });
  }
  for (const key of tasks) work.taskQueue.free(key, worker, work.now);
}

/** What the operating system says of a worker: `unknown` leaves it to the lease. */
export type Probe = (workerId: string) => "alive" | "dead" | "unknown";

/** Workers that are dead, and owners that no living worker stands for. Only reads, so that looking costs no transaction. */
export interface Casualties {
  readonly workers: readonly WorkerKey[];
  readonly owners: readonly WorkerKey[];
}

export function findCasualties(tables: Tables, self: WorkerKey | null, now: number, probe: Probe): Casualties {
  const living = new Set<WorkerKey>();
  const workers: WorkerKey[] = [];
  for (const { key, workerId, leaseUntil } of tables.workers.all()) {
    if (key === self || (now < leaseUntil && probe(workerId) !== "dead")) living.add(key);
    else workers.push(key);
  }
  // By owner, not by death: a worker that was declared dead before it took something must not keep it.
  const owners = new Set([...ownersOf(tables.runQueue.ownerAbove), ...ownersOf(tables.taskQueue.ownerAbove)]);
  return { workers, owners: [...owners].filter((owner) => owner !== self && !living.has(owner)) };
}

export function isAlive({ workers }: Tables, worker: WorkerKey, now: number): boolean {
  const row = workers.byKey(worker);
  return row !== undefined && now < row.leaseUntil;
}

/** Keys are whole numbers: an owner above the one before it is this one, if it owns anything. */
export const ownsAny = ({ runQueue, taskQueue }: Tables, worker: WorkerKey): boolean =>
  runQueue.ownerAbove(worker - 1) === worker || taskQueue.ownerAbove(worker - 1) === worker;

export const othersOwn = ({ runQueue, taskQueue }: Tables, worker: WorkerKey): boolean =>
  [runQueue, taskQueue].some(({ ownerAbove }) => {
    const first = ownerAbove(-1);
    return (first === worker ? ownerAbove(worker) : first) !== undefined;
  });

/** The owners in an index, each found by one look: never a scan over all that they own. */
function* ownersOf(ownerAbove: (worker: WorkerKey) => WorkerKey | undefined): Iterable<WorkerKey> {
  for (let owner = ownerAbove(-1); owner !== undefined; owner = ownerAbove(owner)) yield owner;
}

export function recover(work: Work, self: WorkerKey | null, probe: Probe): Awaited<ReturnType<Store["recover"]>> {
  // Looked at again inside the transaction: another process may have been faster.
  const { workers, owners } = findCasualties(work, self, work.now, probe);
  for (const worker of workers) work.workers.remove(worker);
  const freed = { runs: 0, tasks: 0 };
  for (const owner of owners) {
    const { runs, tasks } = freeAllOf(work, owner, { crashed: true });
    freed.runs += runs;
    freed.tasks += tasks;
  }
  return { workers: workers.length, ...freed };
}

/** Takes everything from a worker, fencing it, and makes it due at once. A crash is put down to the suspects among its runs, or else to all it held. */
function freeAllOf(
  work: Work,
  worker: WorkerKey,
  { crashed }: { readonly crashed: boolean },
): { readonly runs: number; readonly tasks: number } {
  const rows = work.runQueue.ownedRows(worker);
  const hasSuspects = rows.some((row) => row.isSuspect !== 0);
  for (const row of rows) {
    const isCharged = crashed && (row.isSuspect !== 0 || !hasSuspects);
    work.runs.save({ ...row, owner: null, epoch: row.epoch + 1, dueAt: work.now, crashCount: row.crashCount + (isCharged ? 1 : 0) });
  }
  const tasks = work.taskQueue.freeAll(worker, work.now, crashed && !hasSuspects ? 1 : 0);
  return { runs: rows.length, tasks };
}
