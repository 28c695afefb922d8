import type { Backend, Store } from "../../backend/backend.js";
import { StoreFailure } from "../../backend/failures.js";
import { everything, hintOf } from "../../backend/news.js";
import type { Operation, Outcome } from "../../backend/operations.js";
import type { Faults } from "./faults.js";
import type { Actor, Timeline } from "./timeline.js";
import type { VirtualProcess } from "./virtual-process.js";

/** What all processes of a schedule share. */
export interface Network {
  readonly timeline: Timeline;
  /** Whom requests on their way belong to: no process. */
  readonly actor: Actor;
  readonly faults: Faults;
  /** The store itself. */
  readonly store: Store;
  /** Wraps what a process sees of the store. */
  readonly outside: (store: Store, process: VirtualProcess) => Store;
  /** How far a process may be wrong about the store's clock, in ms. */
  readonly clockErrorMs: number;
  readonly appliesMax: number;
  /** Who wants hints. */
  readonly listeners: Set<{ readonly process: VirtualProcess; readonly callback: () => void }>;
  /** Sees every call that reached the store, before any other can. `method` names it; `args` is what the process sent, `result` what the store answered. */
  observe(call: { readonly process: VirtualProcess; readonly method: StoreMethod; readonly args: unknown; readonly result: unknown }): void;
  /** A process is to die now. */
  crash(process: VirtualProcess): void;
  /** The store threw something that is no `StoreFailure`. */
  broken(process: VirtualProcess, method: StoreMethod, error: unknown): void;
}

export type StoreMethod = Exclude<keyof Store, "kind" | "concurrentApplies" | "now" | "onHint" | "close">;

const unavailable = (outcome: "none" | "unknown"): StoreFailure =>
  new StoreFailure(
    "backend_unavailable",
    outcome === "none" ? "simulated: the store could not be reached" : "simulated: the reply was lost",
    {
      outcome,
      transient: true,
    },
  );

/** The store as one virtual process sees it: every call crosses the network and shares its faults. */
export function createSimBackend(network: Network, process: VirtualProcess): Backend {
  return { kind: "sim", open: () => Promise.resolve(network.outside(createSimStore(network, process), process)) };
}

function createSimStore(network: Network, process: VirtualProcess): Store {
  const { timeline, faults, store } = network;
  const call = createCaller(network, process);
  const clock = { offsetMs: store.now() - process.runtime.monotonicMs() };
  const error = process.runtime.random() * 2 - 1;
  const synchronise = (): void => {
    clock.offsetMs = store.now() + error * network.clockErrorMs - process.runtime.monotonicMs();
  };
  const read = <T>(method: StoreMethod, args: unknown, perform: () => Promise<T>): Promise<T> =>
    call({ method, args, write: false, perform, arrived: synchronise });
  const write = <T>(method: StoreMethod, args: unknown, perform: () => Promise<T>): Promise<T> =>
    call({ method, args, write: true, perform, arrived: synchronise });
  const own = new Set<{ readonly process: VirtualProcess; readonly callback: () => void }>();

  return {
    kind: "sim",
    concurrentApplies: { max: network.appliesMax, operationsMin: 1 },
    now: () => Math.floor(process.runtime.monotonicMs() + clock.offsetMs),
    apply: <const Operations extends readonly Operation[]>(operations: Operations) =>
      write("apply", operations, () => applyUnlocked(store, faults, operations)) as Promise<{
        [I in keyof Operations]: Outcome<Operations[I]>;
      }>,
    applyWithin: (transaction, operations) => store.applyWithin(transaction, operations),
    registerWorker: (options) => write("registerWorker", options, () => store.registerWorker(options)),
    pulse: (options) => write("pulse", options, () => store.pulse(options)),
    retireWorker: (worker) => write("retireWorker", worker, () => store.retireWorker(worker)),
    recover: (self) => write("recover", self, () => store.recover(self)),
    expireTasks: () => write("expireTasks", undefined, () => store.expireTasks()),
    claimRuns: (options) => write("claimRuns", options, () => store.claimRuns(options)),
    reclaimRun: (options) => write("reclaimRun", options, () => store.reclaimRun(options)),
    claimTasks: (options) => write("claimTasks", options, () => store.claimTasks(options)),
    inspectOwned: (worker) => read("inspectOwned", worker, () => store.inspectOwned(worker)),
    release: (options) => write("release", options, () => store.release(options)),
    retryParked: (routes) => write("retryParked", routes, () => store.retryParked(routes)),
    loadHistory: (options) => read("loadHistory", options, () => store.loadHistory(options)),
    loadInboxes: (runs) => read("loadInboxes", runs, () => store.loadInboxes(runs)),
    findRuns: (targets) => read("findRuns", targets, () => store.findRuns(targets)),
    readEntries: (options) => read("readEntries", options, () => store.readEntries(options)),
    readChunks: (options) => read("readChunks", options, () => store.readChunks(options)),
    readStreamTail: (options) => read("readStreamTail", options, () => store.readStreamTail(options)),
    listRuns: (options) => read("listRuns", options, () => store.listRuns(options)),
    onHint(callback) {
      const listener = { process, callback: () => callback(hintOf(everything)) };
      own.add(listener);
      network.listeners.add(listener);
      return { stop: () => void (own.delete(listener) && network.listeners.delete(listener)) };
    },
    close() {
      for (const listener of own) network.listeners.delete(listener);
      return new Promise((resolve) => void timeline.schedule(process.actor, "close", 0, resolve));
    },
  };
}

/** Withholds some members of the batch, as if others held their rows. */
async function applyUnlocked(store: Store, faults: Faults, operations: readonly Operation[]): Promise<readonly Outcome[]> {
  const withheld = operations.map((operation) => operation.type === "turn" && faults.locked());
  const outcomes = await store.apply(operations.filter((_, index) => withheld[index] !== true));
  let next = 0;
  return withheld.map((locked) => (locked ? { status: "locked" } : (outcomes[next++] as Outcome)));
}

interface Call<T> {
  readonly method: StoreMethod;
  readonly args: unknown;
  readonly write: boolean;
  readonly perform: () => Promise<T>;
  readonly arrived: () => void;
}

function createCaller(network: Network, process: VirtualProcess) {
  const { timeline, faults } = network;

  /** At the store. `then` and callbacks rather than awaits: under AsyncLocalStorage every promise costs, and this runs for each call. */
  const reach = <T>({ method, args, perform }: Call<T>, answer: (result: T) => void, refuse: (error: unknown) => void): void => {
    void perform().then(
      (result) => {
        network.observe({ process, method, args, result });
        if (isNews(method, result)) publishHints(network, process);
        answer(result);
      },
      (error: unknown) => {
        if (!(error instanceof StoreFailure)) network.broken(process, method, error);
        refuse(error);
      },
    );
  };

  return <T>(wanted: Call<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const { method, write } = wanted;
      const { fault, crash, requestMs, replyMs, lateMs } = faults.fate(write);
      const reply = (settle: () => void): void => void timeline.schedule(process.actor, `${method} reply`, replyMs, settle);
      const fail = (outcome: "none" | "unknown"): void => reply(() => reject(unavailable(write ? outcome : "none")));
      const settled = (settle: () => void): void => {
        if (crash === "afterApply") network.crash(process);
        else reply(settle);
      };
      const answer = (result: T): void => {
        if (fault === "lostReply") return settled(() => reject(unavailable(write ? "unknown" : "none")));
        settled(() => {
          wanted.arrived();
          resolve(result);
        });
      };
      const request = timeline.schedule(network.actor, `${process.name} ${method}`, requestMs, () => {
        process.inFlight.delete(request);
        if (crash === "beforeApply") return network.crash(process);
        if (fault === "failBefore") return fail("none");
        if (fault !== "lateApply") return reach(wanted, answer, (error) => settled(() => reject(error)));
        timeline.schedule(network.actor, `${process.name} ${method} late`, lateMs, () => reach(wanted, ignore, ignore));
        return fail("unknown");
      });
      process.inFlight.add(request);
    });
}

const ignore = (): void => undefined;

/** Tells every other process that there may be something to do: late, twice or not at all. */
function publishHints(network: Network, from: VirtualProcess): void {
  for (const { process, callback } of network.listeners) {
    if (process === from) continue;
    for (const delayMs of network.faults.hint()) network.timeline.schedule(process.actor, "hint", delayMs, callback);
  }
}

/** May this have made work for others, or ended what one of them waits for? */
function isNews(method: StoreMethod, result: unknown): boolean {
  switch (method) {
    case "apply":
      return (result as readonly Outcome[]).some(({ status }) => news.has(status));
    case "recover": {
      const { runs, tasks } = result as { readonly runs: number; readonly tasks: number };
      return runs + tasks > 0;
    }
    case "retireWorker":
    case "release":
      return true;
    default:
      return (method === "retryParked" || method === "expireTasks") && result !== 0;
  }
}

const news: ReadonlySet<Outcome["status"]> = new Set(["started", "committed", "sent", "finished", "resumed", "appended", "terminated"]);
