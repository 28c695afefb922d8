import { StoreFailure, type Store } from "../../backend/index.js";

export const patienceMs = 15_000;
export const pauseMs = 10;

/** The store as a patient caller sees it: a transient failure that wrote nothing is tried again, as the engine would. */
export function patientStore(store: Store, passTime: () => Promise<void>): Store {
  const retrying =
    <Arguments extends readonly unknown[], Result>(call: (...args: Arguments) => Promise<Result>) =>
    async (...args: Arguments): Promise<Result> => {
      for (let waitedMs = 0; ; waitedMs += pauseMs) {
        try {
          return await call(...args);
        } catch (failure) {
          const mayRetry = failure instanceof StoreFailure && failure.transient && failure.outcome === "none" && waitedMs < patienceMs;
          if (!mayRetry) throw failure;
          await passTime();
        }
      }
    };
  return {
    kind: store.kind,
    concurrentApplies: store.concurrentApplies,
    now: () => store.now(),
    apply: retrying((operations) => store.apply(operations)),
    // Not tried again: after a failure the application's transaction is over.
    applyWithin: (transaction, operations) => store.applyWithin(transaction, operations),
    registerWorker: retrying((options) => store.registerWorker(options)),
    pulse: retrying((options) => store.pulse(options)),
    retireWorker: retrying((worker) => store.retireWorker(worker)),
    recover: retrying((self) => store.recover(self)),
    expireTasks: retrying(() => store.expireTasks()),
    claimRuns: retrying((options) => store.claimRuns(options)),
    reclaimRun: retrying((options) => store.reclaimRun(options)),
    claimTasks: retrying((options) => store.claimTasks(options)),
    inspectOwned: retrying((worker) => store.inspectOwned(worker)),
    release: retrying((options) => store.release(options)),
    retryParked: retrying((routes) => store.retryParked(routes)),
    loadHistory: retrying((options) => store.loadHistory(options)),
    loadInboxes: retrying((runs) => store.loadInboxes(runs)),
    findRuns: retrying((targets) => store.findRuns(targets)),
    readEntries: retrying((options) => store.readEntries(options)),
    readChunks: retrying((options) => store.readChunks(options)),
    readStreamTail: retrying((options) => store.readStreamTail(options)),
    listRuns: retrying((options) => store.listRuns(options)),
    onHint: (callback) => store.onHint(callback),
    close: () => store.close(),
  };
}
