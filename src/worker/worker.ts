/**
 * The I/O loop around the replay core: claims what is due, loads it, gives it turns, commits them and does what they asked for. What decides is elsewhere
 * (core, next-event); this room only acts. A worker holds no truth: all of it is in the store, and any other worker can go on from there.
 */
import type { AnyActivity } from "../api/definition-types.js";
import type { Logger } from "../api/context-types.js";
import type { Store } from "../backend/backend.js";
import type { ClaimFor, Outcome, StartOperation } from "../backend/operations.js";
import type { ClaimedRun, HistoryRecord, InboxItem, NewRun, ParkReason, Payload, RunKey, TaskKey, WorkerKey } from "../backend/records.js";
import type { Codec, PayloadContext } from "../codec/codec.js";
import { crashesMax } from "../core/defaults.js";
import type { LogLine, RunFacts } from "../core/run-machine.js";
import { isPerdureError, PerdureError } from "../errors.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";
import type { Definitions } from "./definitions.js";
import type { DriverHost } from "./driver-host.js";
import type { GroupCommit } from "./group-commit.js";
import type { Guard } from "./guard.js";
import { Lease } from "./lease.js";
import type { Arrival, Mail } from "./next-event.js";
import { persist } from "./persist.js";
import { Poller } from "./poller.js";
import { RunCache } from "./run-cache.js";
import { RunDriver, type DriverEnd } from "./run-driver.js";
import { factsOf, loadRun, makeMachine, openMail, type LoadedRun } from "./run-loader.js";
import type { Body, BodyOutcome } from "./step-runner.js";
import { TaskRunner } from "./task-runner.js";
import { TurnLoop } from "./turn-loop.js";

export interface WorkerSettings {
  /** How many runs are driven at once; runs that wait for time, messages or activities do not count. */
  readonly runConcurrency: number;
  /** How many activities run at once. */
  readonly activityConcurrency: number;
  /** How many idle runs are kept in memory, to save a replay. */
  readonly warmRuns: number;
  readonly leaseMs: number;
  /** The longest time between two looks for work, in ms. */
  readonly pollMs: number;
  /** How often dead workers are looked for, in ms. */
  readonly recoverMs: number;
}

export interface WorkerOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly definitions: Definitions;
  readonly settings: WorkerSettings;
  readonly logger: Logger;
  readonly parseInput: (definition: AnyActivity, input: unknown) => unknown;
  readonly guard: Guard;
  /** A run of this worker has ended: those who wait for it need not ask the store. */
  readonly onEnded: (facts: RunFacts, terminal: HistoryRecord) => void;
}

/** A start that this worker makes itself, its first turn included. */
export interface EagerStart {
  readonly run: NewRun;
  /** The encoded input, as text and as it is stored. */
  readonly inputText: string;
  readonly input: Payload;
  readonly messages: readonly { readonly item: InboxItem; readonly text: string }[];
  readonly operation: (eager: StartOperation["eager"]) => StartOperation;
}

/** An idle run waiting this long for time alone is not kept in memory: a sleeping run costs a row. */
const warmSleepMaxMs = 10_000;
const inspectMs = 1000;

export class Worker implements DriverHost {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  draining = false;
  readonly #options: WorkerOptions;
  readonly #names: readonly string[];
  readonly #turns: TurnLoop;
  readonly #lease: Lease;
  readonly #runs: Poller;
  readonly #tasks: Poller;
  readonly #taskRunner: TaskRunner;
  readonly #warm: RunCache;
  readonly #drivers = new Map<RunKey, RunDriver>();
  readonly #byRunId = new Map<string, RunDriver>();
  /** Runs that are being rewound: what their bodies give meanwhile waits here. */
  readonly #reloading = new Map<string, { readonly arrivals: Arrival[]; readonly bodies: Map<number, Body> }>();
  readonly #starting = new Set<RunDriver>();
  readonly #loading = new Set<RunKey>();
  #strays: { readonly runs: ReadonlySet<RunKey>; readonly tasks: ReadonlySet<TaskKey> } = { runs: new Set(), tasks: new Set() };
  #suspect: RunKey | undefined;
  #timers: (TimerHandle | undefined)[] = [];
  #hint: { stop(): void } | undefined;
  #onQuiet: (() => void) | undefined;
  #stopped = false;

  constructor(options: WorkerOptions) {
    const { store, runtime, codec, commits, definitions, settings } = options;
    this.#options = options;
    this.store = store;
    this.runtime = runtime;
    this.codec = codec;
    this.commits = commits;
    this.#names = [...definitions.workflows.keys()];
    this.#turns = new TurnLoop(runtime, options.guard);
    this.#warm = new RunCache(settings.warmRuns);
    this.#lease = new Lease({
      store,
      runtime,
      leaseMs: settings.leaseMs,
      onLost: () => this.#loseAll(),
      onRenewed: () => this.#wakeAll(),
      onTrouble: (message, error) => this.onTrouble(message, error),
    });
    this.#runs = new Poller({ runtime, intervalMs: settings.pollMs, poll: () => this.#quietly(() => this.#pollRuns()) });
    this.#tasks = new Poller({ runtime, intervalMs: settings.pollMs, poll: () => this.#quietly(() => this.#pollTasks()) });
    this.#taskRunner = new TaskRunner({
      host: this,
      definitions,
      concurrency: settings.activityConcurrency,
      parseInput: options.parseInput,
      claimFor: () => this.claimFor(),
      onClaimed: (run) => this.takeUp(run),
      onMail: (key, position) => this.notice(key, position),
      onSlotFree: () => this.#tasks.wake(),
    });
  }

  /** The key of this process's lease; 0 while it has none: no row is owned by it. */
  get worker(): WorkerKey {
    return this.#lease.worker ?? 0;
  }

  /** The id under which this process is entered in the store. */
  get workerId(): string {
    return this.#lease.workerId;
  }

  async start(): Promise<void> {
    await this.#lease.start();
    await this.store.retryParked(this.#names);
    this.#hint = this.store.onHint(() => this.#wakeAll());
    if (this.#names.length > 0) this.#runs.start();
    if (this.#options.definitions.activities.size > 0) this.#tasks.start();
    this.#every(0, this.#options.settings.recoverMs, () => this.#recover());
    this.#every(1, inspectMs, () => this.#inspect());
  }

  /** Stops taking work, lets bodies end for `graceMs`, then gives everything back at once. */
  async stop(graceMs: number): Promise<void> {
    if (this.#stopped) return;
    this.draining = true;
    this.#runs.stop();
    this.#tasks.stop();
    this.#hint?.stop();
    for (const driver of this.#drivers.values()) driver.wake();
    await this.#quiet(graceMs);
    this.#stopped = true;
    this.#lease.stop();
    for (const timer of this.#timers) timer?.cancel();
    const reason = new PerdureError("shutdown", "The worker is shutting down; this goes on elsewhere, or after the restart.");
    for (const driver of [...this.#drivers.values(), ...this.#starting]) driver.drop(reason);
    this.#taskRunner.abortAll(reason);
    this.#warm.clear();
    this.#options.guard.close();
    // What is in flight still counts; what the store does not take now is left to the next owner.
    this.commits.close();
    await this.commits.idle();
    const { worker } = this.#lease;
    if (worker === undefined) return;
    await this.store
      .retireWorker(worker)
      .catch((error: unknown) => this.onTrouble("The worker could not take its leave; others take over when its lease ends.", error));
  }

  /** Is there room, and a right, to drive one more run of this name here? */
  accepts(name: string): boolean {
    return !this.draining && this.#lease.holds() && this.#options.definitions.workflows.has(name) && this.#free > 0;
  }

  claimFor(): ClaimFor | null {
    return this.#names.length > 0 && !this.draining && this.#lease.holds() && this.#free > 0
      ? { worker: this.worker, names: this.#names }
      : null;
  }

  drives(runId: string): boolean {
    return this.#byRunId.has(runId);
  }

  /** Starts a run with its first turn. Rejects with the store's failure. */
  startEagerly(start: EagerStart): Promise<Outcome<StartOperation>> {
    const { run } = start;
    const definition = this.#options.definitions.workflows.get(run.name);
    if (definition === undefined) throw new PerdureError("internal", `Workflow "${run.name}" is not one of this worker's.`);
    const machine = makeMachine(this.#options, definition, factsOf(run), () => driver.wake());
    const driver: RunDriver = new RunDriver({ host: this, machine, deadlineAt: run.deadlineAt, parkCount: 0 });
    this.#starting.add(driver);
    this.#byRunId.set(run.runId, driver);
    const first: Mail = {
      record: { position: 0, kind: "start", name: "", command: null, attempt: null, payload: start.input },
      text: start.inputText,
    };
    const mail = start.messages.map(({ item, text }, index): Mail => ({ record: { ...item, position: index + 1 }, text }));
    return new Promise((resolve, reject) => {
      driver.bear({
        operation: start.operation,
        mail: [first, ...mail],
        onBorn: (outcome) => {
          this.#starting.delete(driver);
          if (!driver.over) this.#drivers.set(driver.key, driver);
          resolve(outcome);
        },
        onUnborn: reject,
      });
    });
  }

  /** Drives a run that is this worker's by a start whose answer was lost. */
  async reclaim(key: RunKey, epoch: number): Promise<void> {
    const claimed = await this.persistently(() => this.store.reclaimRun({ worker: this.worker, key, epoch }));
    if (claimed !== null && claimed !== undefined) await this.#take([claimed]);
  }

  /** Drives a run that was claimed in passing, by a send or the end of an activity. */
  takeUp(claimed: ClaimedRun): void {
    void this.#take([claimed]);
  }

  /** Mail has come for a run of this worker. */
  notice(key: RunKey, inboxCount: number): void {
    this.#drivers.get(key)?.notice(inboxCount);
  }

  // DriverHost. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  schedule(driver: RunDriver): void {
    this.#turns.schedule(driver);
  }

  async readMail(driver: RunDriver, above: number): Promise<readonly Mail[] | undefined> {
    const boxes = await this.persistently(() => this.store.loadInboxes([{ key: driver.key, above }]));
    return boxes === undefined ? undefined : openMail(this.codec, driver.machine.facts.id, boxes[0] ?? []);
  }

  async reload(driver: RunDriver, arrivals: readonly Arrival[], bodies: ReadonlyMap<number, Body>): Promise<void> {
    const { runId } = driver.machine.facts;
    this.#reloading.set(runId, { arrivals: [...arrivals], bodies: new Map(bodies) });
    const claimed = await this.persistently(() => this.store.reclaimRun({ worker: this.worker, key: driver.key, epoch: driver.epoch }));
    this.#forget(driver);
    if (claimed !== null && claimed !== undefined) await this.#take([claimed]);
    this.#reloading.delete(runId);
  }

  arrive(runId: string, body: Body, arrival: Arrival): void {
    const reloading = this.#reloading.get(runId);
    if (reloading !== undefined) {
      if (reloading.bodies.get(arrival.command) === body && reloading.bodies.delete(arrival.command)) reloading.arrivals.push(arrival);
    } else this.#byRunId.get(runId)?.arrive(body, arrival);
  }

  encodeOutcome(
    outcome: BodyOutcome,
    what: string,
    context: PayloadContext,
    done: (encoded: {
      readonly text: string;
      readonly payload: Payload;
      readonly failure: { readonly error: unknown } | undefined;
    }) => void,
  ): void {
    let text: string;
    let failure: { readonly error: unknown } | undefined;
    try {
      if (!outcome.ok) throw outcome.error;
      text = this.codec.encode(outcome.value, what);
    } catch (error) {
      failure = { error };
      text = this.codec.encodeError(error);
    }
    if (this.codec.sync) return done({ text, payload: text, failure });
    this.codec.seal(text, context).then(
      (payload) => done({ text, payload, failure }),
      (error: unknown) => this.onTrouble(`${what} could not be sealed by the codec chain; its body will run again.`, error),
    );
  }

  persistently<T>(call: () => Promise<T>): Promise<T | undefined> {
    return persist({
      runtime: this.runtime,
      call,
      stopped: () => this.#stopped,
      onTrouble: (error) => this.onTrouble("The store is out of reach; trying again.", error),
    });
  }

  log(facts: RunFacts, line: LogLine): void {
    this.#options.logger[line.level](line.message, { workflow: facts.name, id: facts.id, ...line.data });
  }

  onEnded(driver: RunDriver, terminal: HistoryRecord): void {
    this.#options.guard.ended(driver.machine);
    this.#options.onEnded(driver.machine.facts, terminal);
  }

  onParked(facts: RunFacts, reason: ParkReason): void {
    this.#options.logger.error(`Run ${facts.id} of workflow ${facts.name} is parked: ${reason.message}`, {
      code: reason.code,
      report: reason.report,
    });
  }

  onFinished(driver: RunDriver, end: DriverEnd, idleUntil: number | null | undefined): void {
    this.#forget(driver);
    if (end === "idle" && idleUntil !== undefined) {
      const inMs = idleUntil === null ? Infinity : idleUntil - this.store.now();
      if (idleUntil !== null) this.#runs.wakeIn(inMs);
      // Waiting for time alone, and long: let it go. Others may be woken any moment.
      if (inMs < warmSleepMaxMs || driver.machine.receivers.size > 0 || driver.machine.pending.size > driver.machine.timed.size)
        this.#warm.put(driver);
    }
    if (this.#free === 1 || this.draining) this.#runs.wake();
    if (this.draining && this.#idle) this.#onQuiet?.();
  }

  onTasksQueued(): void {
    this.#tasks.wake();
  }

  onRunsDue(): void {
    this.#runs.wake();
  }

  onTrouble(message: string, error: unknown): void {
    this.#options.logger.warn(message, { error });
  }

  // Claims. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  get #free(): number {
    return this.#options.settings.runConcurrency - this.#drivers.size - this.#starting.size - this.#loading.size;
  }

  get #idle(): boolean {
    return this.#drivers.size + this.#starting.size + this.#loading.size + this.#taskRunner.running.size === 0;
  }

  async #pollRuns(): Promise<number | null> {
    const free = this.#free;
    if (free <= 0 || this.draining || !this.#lease.holds()) return null;
    const limit = Math.min(free, 200);
    const { runs, nextDueAt } = await this.store.claimRuns({
      worker: this.worker,
      names: this.#names,
      limit,
      suspects: this.#suspect === undefined ? 1 : 0,
    });
    void this.#take(runs);
    if (runs.length >= limit) return 0;
    return nextDueAt === null ? null : Math.max(1, nextDueAt - this.store.now());
  }

  async #pollTasks(): Promise<number | null> {
    return this.#lease.holds() ? this.#taskRunner.poll(this.worker) : null;
  }

  /** Loads claimed runs and drives them. */
  async #take(claimed: readonly ClaimedRun[]): Promise<void> {
    if (claimed.length === 0) return;
    const taken = claimed.map((run) => ({ run, warm: this.#warm.take(run) }));
    for (const { run } of taken) {
      this.#loading.add(run.key);
      if (run.crashCount >= 2) this.#suspect = run.key;
    }
    try {
      const boxes = await this.persistently(() =>
        this.store.loadInboxes(taken.map(({ run, warm }) => ({ key: run.key, above: warm?.inboxSeen ?? 0 }))),
      );
      if (boxes !== undefined) await Promise.all(taken.map(({ run, warm }, index) => this.#adopt(run, warm, boxes[index] ?? [])));
    } catch (error) {
      this.onTrouble("Claimed runs could not be read; they will be tried again.", error);
    } finally {
      for (const { run } of taken) this.#loading.delete(run.key);
      if (this.draining && this.#idle) this.#onQuiet?.();
    }
  }

  async #adopt(run: ClaimedRun, warm: RunDriver | undefined, records: Awaited<ReturnType<Store["loadInboxes"]>>[number]): Promise<void> {
    try {
      if (run.crashCount >= crashesMax) return await this.#convict(run);
      const mail = await openMail(this.codec, run.workflowId, records);
      if (warm !== undefined) return this.#drive(warm, run, warm.lastAt, mail);
      const definition = this.#options.definitions.workflows.get(run.name);
      if (definition === undefined) return await this.#giveBack(run);
      let driver: RunDriver | undefined;
      const loaded = await this.persistently(() => loadRun({ ...this.#options }, run, definition, () => driver?.wake()));
      if (loaded === undefined) return;
      driver = new RunDriver({ host: this, machine: loaded.machine, deadlineAt: run.deadlineAt, parkCount: run.parkCount });
      this.#judge(loaded);
      this.#drive(driver, run, loaded.lastAt, mail);
    } catch (error) {
      await this.#parkUnloaded(run, error);
    } finally {
      this.#loading.delete(run.key);
    }
  }

  /** A run that ended on replay, though its history goes on or has no end, no longer fits its code either. */
  #judge(loaded: LoadedRun): void {
    const { state } = loaded.state;
    if (state === "waiting" || state === "diverged") return;
    loaded.machine.freeze({
      message: "The workflow's code ended where its history goes on.",
      report: `The code ended (${state}) at event ${loaded.machine.seq}, but the history says that it waited for something there.`,
    });
  }

  #drive(driver: RunDriver, run: ClaimedRun, lastAt: number, mail: readonly Mail[]): void {
    const inherited = this.#reloading.get(run.runId);
    if (inherited !== undefined) {
      this.#reloading.delete(run.runId);
      driver.inherit(inherited.arrivals, inherited.bodies);
    }
    this.#drivers.set(run.key, driver);
    this.#byRunId.set(run.runId, driver);
    driver.adopt(run, lastAt, mail);
  }

  #convict(run: ClaimedRun): Promise<void> {
    return this.#parkClaimed(run, {
      code: "poisoned",
      message: `The run's process died ${run.crashCount} times in a row while it was driven, so it is not driven any more. Find out why (memory, process.exit, an endless loop), then resume it.`,
    });
  }

  async #parkUnloaded(run: ClaimedRun, error: unknown): Promise<void> {
    const code = isPerdureError(error, "undecodable") ? "undecodable" : "internal";
    await this.#parkClaimed(run, { code, message: error instanceof Error ? error.message : String(error) });
  }

  async #parkClaimed(run: ClaimedRun, reason: ParkReason): Promise<void> {
    if (this.#suspect === run.key) this.#suspect = undefined;
    this.onParked(factsOf(run), reason);
    const dueAt = reason.code === "poisoned" ? null : this.store.now() + 60_000;
    const effects = {
      events: [],
      consumed: [],
      tasks: [],
      withdrawnTasks: [],
      inboxSeen: run.inboxCount,
      next: { state: "parked", reason, dueAt },
    } as const;
    await this.persistently(() => this.commits.submit({ type: "turn", key: run.key, epoch: run.epoch, lastSeq: run.lastSeq, effects }));
  }

  async #giveBack(run: ClaimedRun): Promise<void> {
    await this.persistently(() => this.store.release({ worker: this.worker, runs: [run.key], tasks: [] }));
  }

  #forget(driver: RunDriver): void {
    if (this.#drivers.get(driver.key) === driver) this.#drivers.delete(driver.key);
    const { runId } = driver.machine.facts;
    if (this.#byRunId.get(runId) === driver) this.#byRunId.delete(runId);
    this.#starting.delete(driver);
    if (this.#suspect === driver.key) this.#suspect = undefined;
  }

  // Housekeeping. ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #wakeAll(): void {
    this.#runs.wake();
    this.#tasks.wake();
  }

  #loseAll(): void {
    const reason = new PerdureError("lease_lost", "This worker could not renew its lease in time; its work goes on elsewhere.");
    this.#options.logger.warn("The worker's lease was lost; it drops its runs and registers anew.", { runs: this.#drivers.size });
    for (const driver of [...this.#drivers.values(), ...this.#starting]) driver.drop(reason);
    this.#taskRunner.abortAll(reason);
    this.#warm.clear();
  }

  async #recover(): Promise<void> {
    const { workers, runs, tasks } = await this.store.recover(this.#lease.worker ?? null);
    if (workers === 0) return;
    this.#options.logger.info("Took over from dead workers.", { workers, runs, tasks });
    this.#wakeAll();
  }

  /** Finds mail whose hint was lost, tasks that were withdrawn, and what was claimed by a call whose answer was lost. */
  async #inspect(): Promise<void> {
    const worker = this.#lease.worker;
    if (worker === undefined) return;
    const { runs, tasks } = await this.store.inspectOwned(worker);
    for (const { key, inboxCount } of runs) this.notice(key, inboxCount);
    const strayRuns = runs
      .map(({ key }) => key)
      .filter((key) => !this.#drivers.has(key) && !this.#loading.has(key) && this.#starting.size === 0);
    const strayTasks = tasks.filter((key) => !this.#taskRunner.running.has(key));
    const held = new Set(tasks);
    for (const key of this.#taskRunner.running.keys()) {
      if (!held.has(key)) this.#taskRunner.abort(key, new PerdureError("cancelled", "The activity was cancelled."));
    }
    // Seen twice in a row: a claim whose answer is merely on its way is not a stray.
    const lost = {
      runs: strayRuns.filter((key) => this.#strays.runs.has(key)),
      tasks: strayTasks.filter((key) => this.#strays.tasks.has(key)),
    };
    this.#strays = { runs: new Set(strayRuns), tasks: new Set(strayTasks) };
    if (lost.runs.length + lost.tasks.length > 0) await this.store.release({ worker, ...lost });
  }

  #every(slot: number, intervalMs: number, work: () => Promise<void>): void {
    const next = (): void => {
      if (this.#stopped) return;
      this.#timers[slot] = this.runtime.setTimer(
        () => void this.#quietly(async () => (await work(), null)).then(next),
        intervalMs * (0.9 + this.runtime.random() * 0.2),
      );
    };
    next();
  }

  async #quietly(work: () => Promise<number | null>): Promise<number | null> {
    try {
      return await work();
    } catch (error) {
      if (!this.#stopped) this.onTrouble("The store did not answer; trying again.", error);
      return 100 + this.runtime.random() * 400;
    }
  }

  #quiet(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.runtime.setTimer(resolve, graceMs, { keepAlive: true });
      this.#onQuiet = () => {
        timer.cancel();
        resolve();
      };
      if (this.#idle) this.#onQuiet();
    });
  }
}
