import { StoreFailure, type Operation, type Outcome, type Store } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import { applyAll } from "./apply.js";
import { claimRuns, inspectOwned, reclaimRun, retryParked } from "./claims.js";
import { createHints } from "./hints.js";
import { findRuns, listRuns, loadHistory, loadInboxes } from "./queries.js";
import type { MemoryState } from "./state.js";
import { claimTasks } from "./tasks.js";
import { recover, registerWorker, release, renewLease, retireWorker } from "./workers.js";

/** One "connection" to a state. Each call does all of its work before it returns its promise, so calls never interleave. */
export function openMemoryStore(state: MemoryState, runtime: Runtime, now: () => number): Store {
  const hints = createHints(state, runtime);
  let isClosed = false;

  /** A rejection rather than a throw, as from a store that is far away. `isNews`: may the result matter to other processes? */
  const call = async <Result>(work: () => Result, isNews?: (result: Result) => boolean): Promise<Result> => {
    if (isClosed)
      throw new StoreFailure("closed", "The memory store was closed; open it again to use it.", { outcome: "none", transient: false });
    const result = work();
    if (isNews !== undefined && hints.isHeard() && isNews(result)) hints.tellOthers();
    return result;
  };

  return {
    kind: "memory",
    now,
    apply: (operations) => {
      const outcomes = call(
        () => applyAll(state, operations, now()),
        (results) => results.some((outcome, index) => makesNews(operations[index], outcome)),
      );
      // They stand in the order of their operations, which is all that the mapped type says.
      return outcomes as Promise<never>;
    },

    registerWorker: (options) => call(() => registerWorker(state, options, now())),
    renewLease: (options) => call(() => renewLease(state, options, now())),
    retireWorker: (worker) =>
      call(
        () => retireWorker(state, worker, now()),
        () => true,
      ),
    recover: (self) =>
      call(
        () => recover(state, self, now()),
        ({ runs, tasks }) => runs + tasks > 0,
      ),

    claimRuns: (options) => call(() => claimRuns(state, options, now())),
    reclaimRun: (options) => call(() => reclaimRun(state, options)),
    claimTasks: (options) => call(() => claimTasks(state, options, now())),
    inspectOwned: (worker) => call(() => inspectOwned(state, worker)),
    release: (options) =>
      call(
        () => release(state, options, now()),
        () => true,
      ),
    retryParked: (names) =>
      call(
        () => retryParked(state, names, now()),
        (retried) => retried > 0,
      ),

    loadHistory: (options) => call(() => loadHistory(state, options)),
    loadInboxes: (runs) => call(() => loadInboxes(state, runs)),
    findRuns: (targets) => call(() => findRuns(state, targets)),
    listRuns: (options) => call(() => listRuns(state, options)),

    onHint: hints.onHint,
    close: async () => {
      isClosed = true;
      hints.close();
    },
  };
}

/** Has an operation made work that another process could do, or ended what one may wait for? */
function makesNews(operation: Operation | undefined, outcome: Outcome): boolean {
  switch (outcome.status) {
    case "started":
      return !outcome.owned || (operation?.type === "start" && (operation.eager?.effects.tasks.length ?? 0) > 0);
    case "committed":
      return !outcome.owned || (operation?.type === "turn" && operation.effects.tasks.length > 0);
    case "sent":
    case "finished":
      return outcome.claimed === null;
    case "resumed":
      return true;
    case "exists":
    case "fenced":
    case "unseen_inbox":
    case "locked":
    case "duplicate":
    case "not_running":
    case "not_found":
    case "gone":
    case "not_parked":
      return false;
    default:
      return outcome satisfies never;
  }
}
