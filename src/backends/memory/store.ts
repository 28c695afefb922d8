import { everything, news, StoreFailure, type News, type Store, type WorkerKey } from "../../backend/index.js";
import { newsOf } from "../../backend/makes-news.js";
import { PerdureError } from "../../errors.js";
import type { Runtime } from "../../platform/runtime.js";
import { applyAll } from "./apply.js";
import { claimRuns, inspectOwned, reclaimRun, retryParked } from "./claims.js";
import { createHints } from "./hints.js";
import { findRuns, listRuns, loadHistory, loadInboxes } from "./queries.js";
import { readChunks, readEntries, readStreamTail } from "./shelf.js";
import { expireTasks } from "./task-outcomes.js";
import type { MemoryState } from "./state.js";
import { claimTasks } from "./tasks.js";
import { pulse, recover, registerWorker, release, retireWorker } from "./workers.js";

/** One "connection" to a state. Each call does all of its work before it returns its promise, so calls never interleave. */
export function openMemoryStore(state: MemoryState, runtime: Runtime, now: () => number): Store {
  const hints = createHints(state, runtime);
  /** The workers that were registered through this store. */
  const ours = new Set<WorkerKey>();
  const isOurs = (worker: WorkerKey): boolean => ours.has(worker);
  let isClosed = false;

  /** A rejection rather than a throw, as from a store that is far away. `newsIn`: how may the result matter to other processes? */
  const call = async <Result>(work: () => Result, newsIn?: (result: Result) => News): Promise<Result> => {
    if (isClosed)
      throw new StoreFailure("closed", "The memory store was closed; open it again to use it.", { outcome: "none", transient: false });
    const result = work();
    const about = newsIn === undefined || !hints.isHeard() ? 0 : newsIn(result);
    if (about !== 0) hints.tellOthers(about);
    return result;
  };

  return {
    kind: "memory",
    concurrentApplies: { max: 1, operationsMin: 1 },
    now,
    apply: (operations) => {
      const outcomes = call(
        () => applyAll(state, operations, now()),
        (results) => results.reduce((about, outcome, index) => about | newsOf(operations[index], outcome, isOurs), 0),
      );
      // They stand in the order of their operations, which is all that the mapped type says.
      return outcomes as Promise<never>;
    },

    applyWithin: () =>
      Promise.reject(new PerdureError("invalid_argument", "The memory store is no database, so it has no transactions to take part in.")),

    registerWorker: (options) =>
      call(() => {
        const registered = registerWorker(state, options, now());
        ours.add(registered.worker);
        return registered;
      }),
    pulse: (options) => call(() => pulse(state, options, now())),
    retireWorker: (worker) =>
      call(
        () => retireWorker(state, worker, now()),
        () => everything,
      ),
    recover: (self) =>
      call(
        () => recover(state, self, now()),
        ({ runs, tasks }) => (runs + tasks > 0 ? everything : 0),
      ),

    expireTasks: () =>
      call(
        () => expireTasks(state, now()),
        (expired) => (expired > 0 ? everything : 0),
      ),

    claimRuns: (options) => call(() => claimRuns(state, options, now())),
    reclaimRun: (options) => call(() => reclaimRun(state, options)),
    claimTasks: (options) => call(() => claimTasks(state, options, now())),
    inspectOwned: (worker) => call(() => inspectOwned(state, worker)),
    release: (options) =>
      call(
        () => release(state, options, now()),
        () => everything,
      ),
    retryParked: (routes) =>
      call(
        () => retryParked(state, routes, now()),
        (retried) => (retried > 0 ? news.runs : 0),
      ),

    ...readsOf(state, call),

    onHint: hints.onHint,
    close: async () => {
      isClosed = true;
      hints.close();
    },
  };
}

type Reads = "loadHistory" | "loadInboxes" | "findRuns" | "readEntries" | "readChunks" | "readStreamTail" | "listRuns";

const readsOf = (state: MemoryState, call: <Result>(work: () => Result) => Promise<Result>): Pick<Store, Reads> => ({
  loadHistory: (options) => call(() => loadHistory(state, options)),
  loadInboxes: (runs) => call(() => loadInboxes(state, runs)),
  findRuns: (targets) => call(() => findRuns(state, targets)),
  readEntries: (options) => call(() => readEntries(state, options)),
  readChunks: (options) => call(() => readChunks(state, options)),
  readStreamTail: (options) => call(() => readStreamTail(state, options)),
  listRuns: (options) => call(() => listRuns(state, options)),
});
