/**
 * The I/O loop around the replay core: claims what is due, loads it, gives it turns, commits them and does what they asked for. What decides is elsewhere
 * (core, next-event); this room only acts. A worker holds no truth: all of it is in the store, and any other worker can go on from there.
 */
import type { Logger } from "../api/context-types.js";
import type { Pulse, Store } from "../backend/backend.js";
import type { ClaimFor, Outcome, StartOperation } from "../backend/operations.js";
import type { ClaimedRun, HistoryRecord, InboxRecord, NewRun, ParkReason, RunKey, WorkerKey } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { RunFacts } from "../core/machine-options.js";
import type { LogLine } from "../core/turn-result.js";
import { PerdureError } from "../errors.js";
import type { Runtime } from "../platform/runtime.js";
import { BodyServices, type Substitute } from "./body-services.js";
import type { Definitions } from "./definitions.js";
import type { DriverHost } from "./driver-host.js";
import { Errands } from "./errands.js";
import type { GroupCommit } from "./group-commit.js";
import type { Guard } from "./guard.js";
import type { Interceptors } from "./interceptors.js";
import { Housekeeper } from "./housekeeper.js";
import { Lease } from "./lease.js";
import type { Arrival, Mail } from "./next-event.js";
import { Outgoing } from "./outgoing.js";
import { persist, persistFor } from "./persist.js";
import { Poller } from "./poller.js";
import { Post, type EagerStart, type LocalWorker } from "./post.js";
import { RunCache } from "./run-cache.js";
import type { DriverEnd } from "./driver-options.js";
import { RunDriver } from "./run-driver.js";
import { endingRunOf } from "./run-end.js";
import { RunIntake } from "./run-intake.js";
import { factsOf, makeMachine, openMail } from "./run-loader.js";
import type { Body } from "./step-runner.js";
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
  /** The longest time between two questions to the store, in ms: what nobody was told of is found by them. */
  readonly pulseMs: number;
}

export interface WorkerOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly definitions: Definitions;
  readonly settings: WorkerSettings;
  readonly logger: Logger;
  readonly guard: Guard;
  readonly interceptors: Interceptors;
  /** A run of this worker has ended: those who wait for it need not ask the store. */
  readonly onEnded: (facts: RunFacts, terminal: HistoryRecord) => void;
  /** Puts other code in the place of a body, for tests. */
  readonly substitute?: Substitute | undefined;
}

/** An idle run waiting this long for time alone is not kept in memory: a sleeping run costs a row. */
const warmSleepMaxMs = 10_000;
const launchPatienceMs = 10_000;
const rightPauseMs = 5;

export class Worker implements DriverHost, LocalWorker {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  /** What is started and sent by this process. */
  readonly post: Post;
  readonly services: BodyServices;
  draining = false;
  readonly #options: WorkerOptions;
  readonly #routes: readonly string[];
  readonly #turns: TurnLoop;
  readonly #lease: Lease;
  readonly #runs: Poller;
  readonly #tasks: Poller;
  readonly #taskRunner: TaskRunner;
  readonly #warm: RunCache;
  readonly #drivers = new Map<RunKey, RunDriver>();
  readonly #byRunId = new Map<string, RunDriver>();
  readonly #starting = new Set<RunDriver>();
  readonly #intake: RunIntake;
  readonly #housekeeper: Housekeeper;
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
    this.#routes = definitions.runRoutes;
    this.post = new Post({ commits, worker: this, persist: (call) => this.#persistOrThrow(call) });
    const outgoing = new Outgoing({ post: this.post, codec, now: () => store.now() });
    this.services = new BodyServices({
      ...options,
      post: this.post,
      outgoing,
      rightOf: (runId) => this.#rightOf(runId),
      persist: (call) => this.#persistOrThrow(call),
      onTrouble: (message, error) => this.onTrouble(message, error),
    });
    const errands = new Errands({ store, codec, commits, outgoing, worker: () => this.worker });
    this.#turns = new TurnLoop(runtime, options.guard);
    this.#warm = new RunCache(settings.warmRuns);
    this.#lease = new Lease({
      store,
      runtime,
      leaseMs: settings.leaseMs,
      pulseMs: settings.pulseMs,
      runRoutes: definitions.runRoutes,
      taskRoutes: definitions.taskRoutes,
      onPulse: (pulse) => this.#onPulse(pulse),
      onLost: () => this.#loseAll(),
      onRenewed: () => this.#wakeAll(),
      onTrouble: (message, error) => this.onTrouble(message, error),
    });
    this.#runs = new Poller({ runtime, intervalMs: Infinity, poll: () => this.#quietly(() => this.#pollRuns()) });
    this.#tasks = new Poller({ runtime, intervalMs: Infinity, poll: () => this.#quietly(() => this.#pollTasks()) });
    this.#taskRunner = new TaskRunner({
      host: this,
      definitions,
      concurrency: settings.activityConcurrency,
      errands,
      streamsOf: (task) =>
        this.services.streamsUnder(task.workflowId, task.command, async () =>
          this.#taskRunner.running.has(task.key) ? { key: task.runKey, on: { task: task.key, epoch: task.epoch } } : undefined,
        ),
      claimFor: () => this.claimFor(),
      onClaimed: (run, worker, arrived) => this.takeUp(run, worker, arrived),
      onMail: (key, position) => this.notice(key, position),
      onSlotFree: () => {
        this.#tasks.wake();
        this.#checkQuiet();
      },
    });
    this.#intake = new RunIntake({
      host: this,
      definitions,
      guard: options.guard,
      warm: this.#warm,
      onLoaded: (driver, run) => {
        // One of an earlier claim, if there is any, has nothing more to do.
        const older = this.#drivers.get(run.key);
        if (older !== driver) older?.drop(new PerdureError("lease_lost", "This worker took the run anew."));
        this.#drivers.set(run.key, driver);
        this.#byRunId.set(run.runId, driver);
      },
      onSettled: () => this.#checkQuiet(),
    });
    this.#housekeeper = this.#createHousekeeper();
  }

  #createHousekeeper(): Housekeeper {
    const { store, runtime } = this;
    const { logger } = this.#options;
    return new Housekeeper({
      store,
      runtime,
      logger,
      worker: () => this.#lease.worker,
      knowsRun: (key) => this.#drivers.has(key) || this.#intake.isLoading(key),
      claimingSinceMs: () => Math.min(this.#runs.pollingSinceMs, this.#tasks.pollingSinceMs, this.commits.inFlightSinceMs),
      drivenRuns: () => this.#drivers.keys(),
      onLost: (key) => this.drop(key),
      runningTasks: () => this.#taskRunner.running.keys(),
      onMail: (key, inboxCount) => this.notice(key, inboxCount),
      onCancelled: (key) => this.#taskRunner.ask(key),
      onWithdrawn: (key) => this.#taskRunner.abort(key, new PerdureError("cancelled", "The activity was cancelled.")),
      onWork: () => this.#wakeAll(),
      onTrouble: (message, error) => this.onTrouble(message, error),
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
    await this.#reach(() => this.#lease.start());
    // At once: a process that is started again after its death takes up what it left, and should not have to wait for its next look.
    await this.#housekeeper.recover();
    await this.#reach(() => this.store.retryParked(this.#routes));
    this.#hint = this.store.onHint(({ runs, tasks, mail }) => {
      this.#lease.expectWork();
      if (runs) this.#runs.wake();
      if (tasks) this.#tasks.wake();
      if (mail && this.#drivers.size + this.#taskRunner.running.size > 0) this.#housekeeper.hint();
    });
    if (this.#routes.length > 0) this.#runs.start();
    this.#tasks.start();
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
    this.#housekeeper.stop();
    const reason = new PerdureError("shutdown", "The worker is shutting down; this goes on elsewhere, or after the restart.");
    for (const driver of [...this.#drivers.values(), ...this.#starting]) driver.drop(reason);
    this.#intake.abortAll(reason);
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

  /** Looks at once for everything that it else looks for now and then: on a clock that stands still, nothing else would. */
  async look(): Promise<void> {
    await this.#housekeeper.look();
    this.#wakeAll();
  }

  /** Is there room, and a right, to drive this run here from its start on? Not one that is driven: a child whose start is repeated by its parent. */
  accepts({ route, runId }: NewRun): boolean {
    return !this.draining && this.#lease.holds() && this.#routes.includes(route) && this.#free > 0 && !this.drives(runId);
  }

  claimFor(): ClaimFor | null {
    return this.#routes.length > 0 && !this.draining && this.#lease.holds() && this.#free > 0
      ? { worker: this.worker, routes: this.#routes }
      : null;
  }

  holds(worker: WorkerKey): boolean {
    return worker !== 0 && worker === this.worker && this.#lease.holds();
  }

  drives(runId: string): boolean {
    return this.#byRunId.has(runId);
  }

  /** Starts a run with its first turn. Rejects with the store's failure. */
  startEagerly(start: EagerStart): Promise<Outcome<StartOperation>> {
    const { run } = start;
    const definition = this.#options.definitions.workflow(run);
    if (definition === undefined) throw new PerdureError("internal", `Workflow "${run.name}" is not one of this worker's.`);
    const machine = makeMachine(this.#options, definition, factsOf(run), () => driver.wake());
    const driver: RunDriver = new RunDriver({ host: this, machine, run: endingRunOf(definition, run), parkCount: 0 });
    this.#starting.add(driver);
    this.#byRunId.set(run.runId, driver);
    const first: Mail = {
      record: { position: 0, kind: "start", name: "", command: null, attempt: null, payload: start.input, options: null },
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
    const { worker } = this;
    const claimed = await this.persistently(() => this.store.reclaimRun({ worker, key, epoch }));
    if (claimed !== null && claimed !== undefined) await this.#intake.take([claimed], worker);
  }

  /** Drives a run that was claimed in passing for the lease `worker`, by what has arrived: something sent, or the end of an activity. */
  takeUp(claimed: ClaimedRun, worker: WorkerKey, arrived?: InboxRecord): void {
    void this.#intake.take([claimed], worker, arrived);
  }

  /** Lets go of a run that is somebody else's, or nobody's any more: its bodies are told, and nothing is written. */
  drop(key: RunKey): void {
    this.#drivers.get(key)?.drop(new PerdureError("lease_lost", "The run was ended by force, or another worker goes on with it."));
  }

  /** Mail has come for a run of this worker. */
  notice(key: RunKey, inboxCount: number): void {
    if (!this.#intake.notice(key, inboxCount)) this.#drivers.get(key)?.notice(inboxCount);
  }

  // DriverHost. ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  schedule(driver: RunDriver): void {
    this.#turns.schedule(driver);
  }

  async readMail(driver: RunDriver, above: number): Promise<readonly Mail[] | undefined> {
    const boxes = await this.persistently(() => this.store.loadInboxes([{ key: driver.key, above }]));
    return boxes === undefined ? undefined : openMail(this.codec, driver.machine.facts.id, boxes[0] ?? []);
  }

  reload(driver: RunDriver, arrivals: readonly Arrival[], bodies: ReadonlyMap<number, Body>): Promise<void> {
    return this.#intake.reload(driver, arrivals, bodies, () => this.#forget(driver));
  }

  arrive(runId: string, body: Body, arrival: Arrival): void {
    if (!this.#intake.keepArrival(runId, body, arrival)) this.#byRunId.get(runId)?.arrive(body, arrival);
  }

  /** The right under which this process drives a run, once it is settled: while the run is being claimed anew nobody can say. */
  async #rightOf(runId: string): Promise<{ readonly key: RunKey; readonly epoch: number } | undefined> {
    while (this.#intake.isReloading(runId)) await new Promise<void>((resolve) => void this.runtime.setTimer(resolve, rightPauseMs));
    const driver = this.#byRunId.get(runId);
    return driver === undefined || driver.over ? undefined : { key: driver.key, epoch: driver.epoch };
  }

  async #persistOrThrow<T>(call: () => Promise<T>): Promise<T> {
    const result = await this.persistently(async () => ({ value: await call() }));
    if (result === undefined)
      throw new PerdureError("shutdown", "The worker is shutting down; this goes on elsewhere, or after the restart.");
    return result.value;
  }

  persistently<T>(call: () => Promise<T>): Promise<T | undefined> {
    return persist({
      runtime: this.runtime,
      call,
      stopped: () => this.#stopped,
      onTrouble: (error) => this.onTrouble("The store is out of reach; trying again.", error),
    });
  }

  /** For calls of the start: a store that is busy is waited for, one that stays away is an error of the launch. */
  #reach<T>(call: () => Promise<T>): Promise<T> {
    const onTrouble = (error: unknown): void => this.onTrouble("The store is out of reach; trying again.", error);
    return persistFor(launchPatienceMs, { runtime: this.runtime, call, onTrouble });
  }

  log(facts: RunFacts, line: LogLine): void {
    this.#options.logger[line.level](line.message, { workflow: facts.name, id: facts.id, ...line.data });
  }

  onEnded(driver: RunDriver, terminal: HistoryRecord): void {
    this.#options.guard.ended(driver.machine);
    this.#options.onEnded(driver.machine.facts, terminal);
  }

  onContinued(run: ClaimedRun): void {
    void this.#intake.take([run], this.worker);
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
    this.#checkQuiet();
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
    return this.#options.settings.runConcurrency - this.#drivers.size - this.#starting.size - this.#intake.size;
  }

  get #idle(): boolean {
    return this.#drivers.size + this.#starting.size + this.#intake.size + this.#taskRunner.running.size === 0;
  }

  async #pollRuns(): Promise<number | null> {
    const free = this.#free;
    if (free <= 0 || this.draining || !this.#lease.holds()) return null;
    const limit = Math.min(free, 200);
    const { worker } = this;
    const { runs, nextDueAt } = await this.store.claimRuns({
      worker,
      routes: this.#routes,
      limit,
      suspects: this.#intake.hasSuspect ? 0 : 1,
    });
    void this.#intake.take(runs, worker);
    if (runs.length >= limit) return 0;
    return nextDueAt === null ? null : Math.max(1, nextDueAt - this.store.now());
  }

  async #pollTasks(): Promise<number | null> {
    return this.#lease.holds() ? this.#taskRunner.poll(this.worker) : null;
  }

  #forget(driver: RunDriver): void {
    if (this.#drivers.get(driver.key) === driver) this.#drivers.delete(driver.key);
    const { runId } = driver.machine.facts;
    if (this.#byRunId.get(runId) === driver) this.#byRunId.delete(runId);
    this.#starting.delete(driver);
    this.#intake.release(driver.key);
  }

  // Housekeeping. ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Hints may be lost: what the store says is due is looked for, however that came about. */
  #onPulse(pulse: Pulse): void {
    if (pulse.nextRunDueAt !== null) this.#runs.wakeIn(pulse.nextRunDueAt - this.store.now());
    if (pulse.nextTaskDueAt !== null) this.#tasks.wakeIn(pulse.nextTaskDueAt - this.store.now());
    this.#housekeeper.onPulse(pulse);
  }

  #wakeAll(): void {
    this.#runs.wake();
    this.#tasks.wake();
  }

  #loseAll(): void {
    const reason = new PerdureError("lease_lost", "This worker could not renew its lease in time; its work goes on elsewhere.");
    this.#options.logger.warn("The worker's lease was lost; it drops its runs and registers anew.", { runs: this.#drivers.size });
    for (const driver of [...this.#drivers.values(), ...this.#starting]) driver.drop(reason);
    this.#intake.abortAll(reason);
    this.#taskRunner.abortAll(reason);
    this.#warm.clear();
  }

  async #quietly(work: () => Promise<number | null>): Promise<number | null> {
    try {
      return await work();
    } catch (error) {
      if (!this.#stopped) this.onTrouble("The store did not answer; trying again.", error);
      return 100 + this.runtime.random() * 400;
    }
  }

  #checkQuiet(): void {
    if (this.draining && this.#idle) this.#onQuiet?.();
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
