/** How workers come by runs and tasks, and what they hold. */
import type { ClaimedRun, ClaimedTask, RunKey, Store } from "../../backend/index.js";
import type { Tables, Work } from "./tables.js";

type ClaimRunsOptions = Parameters<Store["claimRuns"]>[0];
type ClaimTasksOptions = Parameters<Store["claimTasks"]>[0];

/** Is there anything to claim? A read, so that a worker without work writes nothing. */
export function hasDueRuns({ queue, names }: Tables, options: ClaimRunsOptions, now: number): boolean {
  const { limit, suspects } = options;
  return names
    .findAll(options.names)
    .some((name) => (limit > 0 && queue.due(name, now, 1).length > 0) || (suspects > 0 && queue.dueSuspects(name, now, 1).length > 0));
}

export function claimRuns(work: Work, { worker, names, limit, suspects }: ClaimRunsOptions): readonly ClaimedRun[] {
  if (!work.isAlive(worker)) return [];
  const ids = work.names.findAll(names);
  const keys = [
    ...longestDue(ids, limit, (name, count) => work.queue.due(name, work.now, count)),
    ...longestDue(ids, suspects, (name, count) => work.queue.dueSuspects(name, work.now, count)),
  ];
  return keys.flatMap((key) => {
    work.runs.take(key, worker);
    return work.records.claimed(key) ?? [];
  });
}

export const nextRunDueAt = ({ queue, names }: Tables, claimNames: readonly string[], now: number): number | null =>
  earliest(names.findAll(claimNames).map((name) => queue.nextDueAt(name, now)));

export function hasDueTasks({ tasks, names }: Tables, options: ClaimTasksOptions, now: number): boolean {
  return options.limit > 0 && names.findAll(options.names).some((name) => tasks.due(name, now, 1).length > 0);
}

export function claimTasks(work: Work, { worker, names, limit }: ClaimTasksOptions): readonly ClaimedTask[] {
  if (!work.isAlive(worker)) return [];
  return longestDue(work.names.findAll(names), limit, (name, count) => work.tasks.due(name, work.now, count)).flatMap((key) => {
    work.tasks.take(key, worker);
    return work.tasks.claimed(key) ?? [];
  });
}

export const nextTaskDueAt = ({ tasks, names }: Tables, claimNames: readonly string[], now: number): number | null =>
  earliest(names.findAll(claimNames).map((name) => tasks.nextDueAt(name, now)));

export function reclaimRun(work: Work, { worker, key, epoch }: Parameters<Store["reclaimRun"]>[0]): ClaimedRun | null {
  const row = work.runs.byKey(key);
  // An owner has open runs only.
  if (row === undefined || row.owner !== worker || row.epoch !== epoch) return null;
  work.runs.take(key, worker);
  return work.records.claimed(key) ?? null;
}

/** Makes the parked runs of these names due, and returns how many that were not. A poisoned one waits for a person. */
export function retryParked(work: Work, names: readonly string[]): number {
  let retried = 0;
  for (const name of work.names.findAll(names)) {
    for (const row of work.queue.parked(name)) {
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

/** The `limit` keys of all names that are due for the longest time. */
function longestDue(
  names: readonly number[],
  limit: number,
  read: (name: number, limit: number) => readonly { readonly key: RunKey; readonly dueAt: number }[],
): readonly number[] {
  if (limit <= 0) return [];
  const rows = names.flatMap((name) => read(name, limit));
  if (names.length > 1) rows.sort((a, b) => a.dueAt - b.dueAt || a.key - b.key);
  return rows.slice(0, limit).map(({ key }) => key);
}

function earliest(times: readonly (number | null)[]): number | null {
  let first: number | null = null;
  for (const time of times) if (time !== null && (first === null || time < first)) first = time;
  return first;
}
