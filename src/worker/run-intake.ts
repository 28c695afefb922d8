/**
 * From a claimed run to one that is driven: reads its inbox and, unless it is still warm, its history, and brings the code to where the history ends.
 * What cannot be loaded is parked with its reason; nothing that was claimed is left lying.
 */
import type { ClaimedRun, InboxRecord, ParkReason, RunKey, WorkerKey } from "../backend/records.js";
import { noEffects } from "../backend/no-effects.js";
import { crashesMax } from "../core/defaults.js";
import { PerdureError } from "../errors.js";
import type { Definitions } from "./definitions.js";
import type { DriverHost } from "./driver-host.js";
import type { Guard } from "./guard.js";
import type { Arrival, Mail } from "./next-event.js";
import { errorReason, poisonedReason, retryParkedAt } from "./parking.js";
import type { RunCache } from "./run-cache.js";
import { RunDriver } from "./run-driver.js";
import { endingRunOf, type FinalState } from "./run-end.js";
import { factsOf, loadRun, openMail, type LoadedRun } from "./run-loader.js";
import type { Body } from "./step-runner.js";

export interface RunIntakeOptions {
  readonly host: DriverHost;
  readonly definitions: Definitions;
  readonly guard: Guard;
  readonly warm: RunCache;
  /** The driver is ready: enter it, then `adopt` is called. */
  readonly onLoaded: (driver: RunDriver, run: ClaimedRun) => void;
  /** A slot may be free again. */
  readonly onSettled: () => void;
}

/** What the bodies of a run that is being rewound have given meanwhile, and those still in flight. */
interface Inheritance {
  readonly arrivals: Arrival[];
  readonly bodies: Map<number, Body>;
}

/** A claimed run, and its driver if that is still warm. */
interface Taken {
  readonly run: ClaimedRun;
  readonly driver: RunDriver | undefined;
}

export class RunIntake {
  readonly #options: RunIntakeOptions;
  /** The runs that are being loaded, with how much their inboxes were said to hold meanwhile. */
  readonly #loading = new Map<RunKey, number>();
  readonly #reloading = new Map<string, Inheritance>();
  /** The run that is driven alone because its processes keep dying: one crash must convict one run. */
  #suspect: RunKey | undefined;

  constructor(options: RunIntakeOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#loading.size;
  }

  get hasSuspect(): boolean {
    return this.#suspect !== undefined;
  }

  isLoading(key: RunKey): boolean {
    return this.#loading.has(key);
  }

  isReloading(runId: string): boolean {
    return this.#reloading.has(runId);
  }

  /** A run is no longer driven here. */
  release(key: RunKey): void {
    if (this.#suspect === key) this.#suspect = undefined;
  }

  /** Mail has come for a run. False: it is not being loaded. */
  notice(key: RunKey, inboxCount: number): boolean {
    const noticed = this.#loading.get(key);
    if (noticed !== undefined) this.#loading.set(key, Math.max(noticed, inboxCount));
    return noticed !== undefined;
  }

  /**
   * Drives runs that were claimed under the lease `worker`, unless it is lost before they are loaded: then whoever finds them without a living owner goes on.
   * `arrived`: the item that this process has put into the inbox of the only one.
   */
  async take(claimed: readonly ClaimedRun[], worker: WorkerKey, arrived?: InboxRecord): Promise<void> {
    if (claimed.length === 0) return;
    const { host, warm, onSettled } = this.#options;
    const taken = claimed.map((run): Taken => ({ run, driver: warm.take(run) }));
    for (const { run } of taken) {
      this.#loading.set(run.key, 0);
      if (run.crashCount >= 2) this.#suspect = run.key;
    }
    try {
      const boxes = await this.#inboxesOf(taken, arrived);
      if (boxes !== undefined) await Promise.all(taken.map(({ run, driver }) => this.#load(run, worker, driver, boxes.get(run.key) ?? [])));
    } catch (error) {
      for (const { run } of taken) this.release(run.key);
      host.onTrouble("Claimed runs could not be read; they will be tried again.", error);
    } finally {
      for (const { run } of taken) this.#loading.delete(run.key);
      onSettled();
    }
  }

  /** Brings a run back to its last committed line, with what its bodies gave and those that are in flight. */
  async reload(driver: RunDriver, arrivals: readonly Arrival[], bodies: ReadonlyMap<number, Body>, forget: () => void): Promise<void> {
    const { host } = this.#options;
    const { runId } = driver.machine.facts;
    const inheritance: Inheritance = { arrivals: [...arrivals], bodies: new Map(bodies) };
    this.#reloading.set(runId, inheritance);
    const { worker } = host;
    const claimed = await host
      .persistently(() => host.store.reclaimRun({ worker, key: driver.key, epoch: driver.epoch }))
      .catch((error: unknown) => host.onTrouble(`Run ${driver.machine.facts.id} could not be read again; it will be tried anew.`, error));
    forget();
    if (claimed !== null && claimed !== undefined) await this.take([claimed], worker);
    // Taken out by the driver that was loaded. Still there: somebody else has the run now.
    if (!this.#reloading.delete(runId)) return;
    const reason = new PerdureError("lease_lost", "This worker no longer drives the run; another one goes on with it.");
    for (const body of inheritance.bodies.values()) body.abort(reason);
  }

  /** The lease is lost, or the worker stops: bodies of runs that are being rewound are no exception. */
  abortAll(reason: Error): void {
    for (const { bodies } of this.#reloading.values()) for (const body of bodies.values()) body.abort(reason);
    this.#reloading.clear();
  }

  /** Keeps what a body gave while its run is being rewound. False: it is not. */
  keepArrival(runId: string, body: Body, arrival: Arrival): boolean {
    const reloading = this.#reloading.get(runId);
    if (reloading === undefined) return false;
    if (reloading.bodies.get(arrival.command) === body && reloading.bodies.delete(arrival.command)) reloading.arrivals.push(arrival);
    return true;
  }

  /** What lies in the inboxes and was not read by a driver. Asked for only where it is not known: a question more delays a run's next turn by a round trip. */
  async #inboxesOf(
    taken: readonly Taken[],
    arrived: InboxRecord | undefined,
  ): Promise<ReadonlyMap<RunKey, readonly InboxRecord[]> | undefined> {
    const { host } = this.#options;
    const known = new Map<RunKey, readonly InboxRecord[]>();
    const asked: { readonly key: RunKey; readonly above: number }[] = [];
    for (const { run, driver } of taken) {
      const above = driver?.inboxSeen ?? 0;
      if (run.mail !== undefined) known.set(run.key, run.mail);
      else if (arrived?.position === above + 1 && run.inboxCount === arrived.position) known.set(run.key, [arrived]);
      else asked.push({ key: run.key, above });
    }
    if (asked.length === 0) return known;
    const boxes = await host.persistently(() => host.store.loadInboxes(asked));
    if (boxes === undefined) return undefined;
    for (const [index, { key }] of asked.entries()) known.set(key, boxes[index] ?? []);
    return known;
  }

  async #load(run: ClaimedRun, worker: WorkerKey, warm: RunDriver | undefined, records: readonly InboxRecord[]): Promise<void> {
    const { host, definitions, guard } = this.#options;
    try {
      if (run.crashCount >= crashesMax) return await this.#park(run, poisonedReason(run.crashCount));
      const mail = await openMail(host.codec, run.workflowId, records);
      if (warm !== undefined) return this.#drive(warm, run, worker, warm.lastAt, mail);
      const definition = definitions.workflow(run);
      if (definition === undefined) return await this.#giveBack(run);
      const loading: { driver?: RunDriver } = {};
      const { store, runtime, codec } = host;
      const { interceptors } = host.services;
      const loaded = await host.persistently(() =>
        loadRun({ store, runtime, codec, guard, interceptors }, run, definition, () => loading.driver?.wake()),
      );
      if (loaded === undefined) return;
      const ending = endingRunOf(definition, run);
      if (ending.mayContinue) ending.inputText = loaded.inputText;
      const final = judge(loaded, ending.mayContinue);
      loading.driver = new RunDriver({ host, machine: loaded.machine, run: ending, parkCount: run.parkCount });
      this.#drive(loading.driver, run, worker, loaded.lastAt, mail, final);
    } catch (error) {
      await this.#park(run, errorReason(error));
    } finally {
      this.#loading.delete(run.key);
    }
  }

  #drive(driver: RunDriver, run: ClaimedRun, worker: WorkerKey, lastAt: number, mail: readonly Mail[], final?: FinalState): void {
    if (!this.#options.host.holds(worker)) return this.release(run.key);
    const inherited = this.#reloading.get(run.runId);
    if (inherited !== undefined) {
      this.#reloading.delete(run.runId);
      driver.inherit(inherited.arrivals, inherited.bodies);
    }
    this.#options.onLoaded(driver, run);
    driver.adopt(run, lastAt, mail, final);
    driver.notice(this.#loading.get(run.key) ?? 0);
  }

  async #park(run: ClaimedRun, reason: ParkReason): Promise<void> {
    const { host } = this.#options;
    this.release(run.key);
    host.onParked(factsOf(run), reason);
    const next = { state: "parked", reason, dueAt: retryParkedAt(reason, run.parkCount, host.store.now()) } as const;
    const effects = { ...noEffects, inboxSeen: run.inboxCount, next };
    await host.persistently(() => host.commits.submit({ type: "turn", key: run.key, epoch: run.epoch, lastSeq: run.lastSeq, effects }));
  }

  async #giveBack(run: ClaimedRun): Promise<void> {
    const { host } = this.#options;
    this.release(run.key);
    await host.persistently(() => host.store.release({ worker: host.worker, runs: [run.key], tasks: [] }));
  }
}

/**
 * A run whose code ended on replay, though its history goes on or has no end, no longer fits its code either. Except where another run was to follow
 * the very first turns of one that was not stored yet: then the end is answered, to be recorded now.
 */
function judge({ state, machine }: LoadedRun, mayContinue: boolean): FinalState | undefined {
  if (state.state === "waiting" || state.state === "diverged") return undefined;
  if (state.state === "continued" || (state.state === "failed" && mayContinue)) return state;
  machine.freeze({
    message: "The workflow's code ended where its history goes on.",
    report: `The code ended (${state.state}) at event ${machine.seq}, but the history says that it waited for something there.`,
  });
  return undefined;
}
