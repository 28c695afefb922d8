/** How workers come by runs and tasks, and what they hold. */
import type { ClaimedRun, ClaimedTask, RunKey, Store } from "../../backend/index.js";
import type { Tables, Work } from "./tables.js";

type ClaimRunsOptions = Parameters<Store["claimRuns"]>[0];
type ClaimTasksOptions = Parameters<Store["claimTasks"]>[0];

/** Is there anything to claim? A read, so that a worker without work writes nothing. */
export function hasDueRuns({ runQueue, names }: Tables, options: ClaimRunsOptions, now: number): boolean {
  const { limit, suspects } = options;
  return names
    .findAll(options.routes)
    .some(
      (route) => (limit > 0 && runQueue.due(route, now, 1).length > 0) || (suspects > 0 && runQueue.dueSuspects(route, now, 1).length > 0),
    );
}

export function claimRuns(work: Work, { worker, routes, limit, suspects }: ClaimRunsOptions): readonly ClaimedRun[] {
  if (!work.isAlive(worker)) return [];
  const ids = work.names.findAll(routes);
  const keys = [
    ...longestDue(ids, limit, (route, count) => work.runQueue.due(route, work.now, count)),
    ...longestDue(ids, suspects, (route, count) => work.runQueue.dueSuspects(route, work.now, count)),
  ];
  return keys.flatMap((key) => {
    work.runs.take(key, worker);
    return work.records.claimed(key) ?? [];
  });
}

export const nextRunDueAt = ({ runQueue, names }: Tables, routes: readonly string[], now: number): number | null =>
  earliest(names.findAll(routes).map((route) => runQueue.nextDueAt(route, now)));

export function hasDueTasks({ taskQueue, names }: Tables, options: ClaimTasksOptions, now: number): boolean {
  return options.limit > 0 && names.findAll(options.routes).some((route) => taskQueue.due(route, now, 1).length > 0);
}

export function claimTasks(work: Work, { worker, routes, limit }: ClaimTasksOptions): readonly ClaimedTask[] {
  if (!work.isAlive(worker)) return [];
  return longestDue(work.names.findAll(routes), limit, (route, count) => work.taskQueue.due(route, work.now, count)).flatMap((key) => {
    work.taskQueue.take(key, worker, work.now);
    return work.taskQueue.claimed(key) ?? [];
  });
}

export const nextTaskDueAt = ({ taskQueue, names }: Tables, routes: readonly string[], now: number): number | null =>
  earliest(names.findAll(routes).map((route) => taskQueue.nextDueAt(route, now)));

export function reclaimRun(work: Work, { worker, key, epoch }: Parameters<Store["reclaimRun"]>[0]): ClaimedRun | null {
  const row = work.runs.byKey(key);
  // An owner has open runs only.
  if (row === undefined || row.owner !== worker || row.epoch !== epoch) return null;
  work.runs.take(key, worker);
  return work.records.claimed(key) ?? null;
}

/** Makes the parked runs on these routes due, and returns how many that were not. A poisoned one waits for a person. */
export function retryParked(work: Work, routes: readonly string[]): number {
  let retried = 0;
  for (const route of work.names.findAll(routes)) {
    for (const row of work.runQueue.parked(route)) {
      const isDue = row.dueAt !== null && row.dueAt <= work.now;
      if (isDue || isPoisoned(row.parkReason)) continue;
      work.runs.setDueAt(row.key, work.now);
      retried += 1;
    }
  }
  return retried;
}

export const isPoisoned = (parkReason: string | null): boolean =>
  parkReason !== null && (JSON.parse(parkReason) as { readonly code: string }).code === "poisoned";

/** The `limit` keys on all routes that are due for the longest time. */
function longestDue(
  routes: readonly number[],
  limit: number,
  read: (route: number, limit: number) => readonly { readonly key: RunKey; readonly dueAt: number }[],
): readonly number[] {
  if (limit <= 0) return [];
  const rows = routes.flatMap((route) => read(route, limit));
  if (routes.length > 1) rows.sort((a, b) => a.dueAt - b.dueAt || a.key - b.key);
  return rows.slice(0, limit).map(({ key }) => key);
}

function earliest(times: readonly (number | null)[]): number | null {
  let first: number | null = null;
  for (const time of times) if (time !== null && (first === null || time < first)) first = time;
  return first;
}
