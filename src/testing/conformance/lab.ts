/** What the checks work with: an empty store, helpers that fail loudly, and a way to let time pass that no slow machine can upset. */
import assert from "node:assert/strict";
import type {
  Backend,
  ClaimedRun,
  ClaimedTask,
  Effects,
  NewRun,
  NextState,
  Operation,
  Outcome,
  StartOperation,
  Store,
  WorkerKey,
} from "../../backend/index.js";
import { systemRuntime, type Runtime } from "../../platform/runtime.js";
import { expectStatus, snapshotOf, type Snapshot } from "./assertions.js";
import { patienceMs, patientStore, pauseMs } from "./patient-store.js";
import { renew } from "./renew.js";
import { driving, hourMs, sampleRun, startOf, turnOf, type Held } from "./samples.js";

/** An empty store to be tried. */
export interface ConformanceTarget {
  readonly backend: Backend;
  /** What its stores are opened with. Default: the system's clock and timers. */
  readonly runtime?: Runtime;
  /** Moves the store's clock, for stores whose clock can be set; the checks that need time to pass then take none. Without it they wait. */
  readonly advance?: (ms: number) => Promise<void>;
  /** Called after the check, when all of its stores are closed. */
  readonly dispose: () => Promise<void>;
}

export type Check = (lab: Lab) => Promise<void>;
/** The checks of one theme by what they state. */
export type Checks = Readonly<Record<string, Check>>;

/** A run that a worker drives, with the names to find it by. */
export interface HeldRun extends Held {
  readonly workflowId: string;
  readonly runId: string;
}

export interface Lab {
  readonly store: Store;
  /** Another store on the same data, as of another process. */
  open(): Promise<Store>;
  /** An id that no other call returns. */
  id(prefix?: string): string;
  /** Applies one operation, again while its row is locked. */
  do<const O extends Operation>(operation: O, store?: Store): Promise<Outcome<O>>;
  /** Registers a worker whose lease outlasts the check, unless told otherwise. */
  worker(options?: { readonly leaseMs?: number; readonly store?: Store }): Promise<WorkerKey>;
  /** Starts a run that nobody drives yet. */
  start(run?: Partial<NewRun>, operation?: Partial<StartOperation>): Promise<HeldRun>;
  /** Starts a run that `worker` drives from the first turn on. */
  drive(worker: WorkerKey, run?: Partial<NewRun>, effects?: Partial<Effects> & { readonly next?: NextState }): Promise<HeldRun>;
  claimAll(
    worker: WorkerKey,
    options?: { readonly routes?: readonly string[]; readonly limit?: number; readonly suspects?: number },
  ): Promise<readonly ClaimedRun[]>;
  /** Claims the only run that is due. */
  claimOnly(worker: WorkerKey, options?: { readonly routes?: readonly string[]; readonly suspects?: number }): Promise<ClaimedRun>;
  claimOnlyTask(worker: WorkerKey, routes?: readonly string[]): Promise<ClaimedTask>;
  look(run: { readonly runId: string }): Promise<Snapshot>;
  /** Lets the lease of a worker run out. */
  endLease(worker: WorkerKey): Promise<void>;
  /** Registers a worker, lets it claim what `claim` says, then ends its lease and recovers. */
  crashWith(claim: (worker: WorkerKey) => Promise<unknown>): Promise<WorkerKey>;
  /** Lets time pass until the store's clock shows `time`. */
  until(time: number): Promise<void>;
  /** Probes until it gives something, letting time pass in between; fails after some seconds. */
  eventually<Found>(what: string, probe: () => Promise<Found | null | undefined | false>): Promise<Found>;
  /** Fails if `work` touches any of these runs. */
  assertUntouched(runs: readonly { readonly runId: string }[], work: () => Promise<unknown>): Promise<void>;
  close(): Promise<void>;
}

export async function openLab(create: () => Promise<ConformanceTarget>): Promise<Lab> {
  const target = await create();
  const runtime = target.runtime ?? systemRuntime();
  const stores: Store[] = [];
  const { advance } = target;
  const passTime = async (): Promise<void> => {
    if (advance !== undefined) await advance(pauseMs);
    else await new Promise<void>((resolve) => void runtime.setTimer(resolve, pauseMs, { keepAlive: true }));
  };
  const open = async (): Promise<Store> => {
    const store = patientStore(await target.backend.open(runtime), passTime);
    stores.push(store);
    return store;
  };
  const store = await open();

  const until: Lab["until"] = async (time) => {
    if (advance !== undefined) await advance(Math.max(0, time - store.now()));
    while (store.now() < time) await passTime();
  };
  const eventually: Lab["eventually"] = async (what, probe) => {
    for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += pauseMs) {
      const found = await probe();
      if (found !== null && found !== undefined && found !== false) return found;
      await passTime();
    }
    return assert.fail(`waited in vain for ${what}`);
  };
  const close = async (): Promise<void> => {
    for (const opened of stores) await opened.close();
    await target.dispose();
  };
  return makeLab({ store, open, until, eventually, close });
}

function makeLab(basis: Pick<Lab, "store" | "open" | "until" | "eventually" | "close">): Lab {
  const { store, until, eventually } = basis;
  let lastId = 0;
  const lab: Lab = {
    ...basis,
    id: (prefix = "id") => `${prefix}-${(lastId += 1)}`,
    do: <const O extends Operation>(operation: O, on = store) =>
      eventually<Outcome<O>>("a row that is locked", async () => {
        const [outcome] = (await on.apply([operation])) as readonly Outcome[];
        assert.ok(outcome, "apply must give an outcome for each operation");
        return outcome.status === "locked" ? null : (outcome as Outcome<O>);
      }),
    worker: async ({ leaseMs = hourMs, store: on = store } = {}) =>
      (await on.registerWorker({ workerId: lab.id("worker"), leaseMs })).worker,
    start: async (overrides, operation) => {
      const run = sampleRun({ workflowId: lab.id("workflow"), ...overrides });
      const outcome: Outcome<StartOperation> = await lab.do(startOf(run, operation));
      const { key, inboxCount } = expectStatus(outcome, "started");
      return { key, epoch: 0, lastSeq: 0, inboxCount, workflowId: run.workflowId, runId: run.runId };
    },
    drive: async (worker, overrides, effects) => {
      const held = { key: 0, epoch: 1, lastSeq: 0, inboxCount: 0 };
      const eager = { worker, effects: turnOf(held, effects?.next ?? driving, effects).effects };
      const run = await lab.start(overrides, { eager });
      return { ...run, epoch: 1, lastSeq: eager.effects.events.length };
    },
    claimAll: async (worker, { routes = ["order"], limit = 1000, suspects = 0 } = {}) =>
      (await store.claimRuns({ worker, routes, limit, suspects })).runs,
    claimOnly: async (worker, options) => only(await lab.claimAll(worker, options)),
    claimOnlyTask: async (worker, routes = ["charge"]) => only((await store.claimTasks({ worker, routes, limit: 1000 })).tasks),
    look: ({ runId }) => snapshotOf(store, { runId }),
    endLease: async (worker) => {
      assert.ok(await renew(store, worker, 1), "the lease lasts");
      await until(store.now() + 2);
    },
    crashWith: async (claim) => {
      const worker = await lab.worker();
      await claim(worker);
      await lab.endLease(worker);
      assert.equal((await store.recover(null)).workers, 1);
      return worker;
    },
    assertUntouched: async (runs, work) => {
      const before = await Promise.all(runs.map(lab.look));
      await work();
      assert.deepEqual(await Promise.all(runs.map(lab.look)), before);
    },
  };
  return lab;
}

export function only<T>(items: readonly T[]): T {
  const [item] = items;
  assert.ok(item !== undefined && items.length === 1, `expected exactly one, got ${items.length}: ${JSON.stringify(items)}`);
  return item;
}
