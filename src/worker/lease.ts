import type { Pulse, Store } from "../backend/backend.js";
import type { WorkerKey } from "../backend/records.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";

export interface LeaseOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly leaseMs: number;
  /** How often the store is asked what there is to do, in ms; more often if the lease is too short for that. */
  readonly pulseMs: number;
  /** What this worker does: whether any of it is due is asked in the same breath. */
  readonly runRoutes: readonly string[];
  readonly taskRoutes: readonly string[];
  readonly onPulse: (pulse: Pulse) => void;
  /** The lease ran out, or the store says so: stop everything. A new one is being taken; `onRenewed` tells when. */
  readonly onLost: () => void;
  readonly onRenewed: (worker: WorkerKey) => void;
  readonly onTrouble: (message: string, error: unknown) => void;
}

/** The part of a lease in which the worker no longer trusts it. */
const marginPart = 0.2;
/** The part after which it is renewed: at one of the next beats, so that there are several before the trust ends. */
const renewPart = 0.35;
/** A beat takes no more than this part of a lease. */
const beatPart = 1 / 6;
/** So much more often it is asked while others hold something that would have to be taken over, or this worker something that may have been cancelled. */
const watchFactor = 3;
/** By so much a beat may come earlier or later, so that workers do not ask in step. */
const jitterPart = 0.03;

/**
 * The right of this process to drive runs, and its pulse: a beat about once a second, more often while others have work that would have to be taken over,
 * asks the store what there is to do, and renews the lease when a third of it has passed. By whichever of wall and monotonic clock says that more has passed, the worker stops by itself before it runs out; an expired worker
 * never renews, it registers under a new id.
 */
export class Lease {
  readonly #options: LeaseOptions;
  #worker: WorkerKey | undefined;
  #workerId = "";
  #grantedMs = { wall: 0, monotonic: 0 };
  #isWatchful = true;
  /** Was anything heard of since the last beat began? */
  #isExpecting = false;
  #isBeating = false;
  /** By the monotonic clock. */
  #nextBeatMs = 0;
  #timer: TimerHandle | undefined;
  #stopped = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  get worker(): WorkerKey | undefined {
    return this.#worker;
  }

  /** The id of the present or the last registration. */
  get workerId(): string {
    return this.#workerId;
  }

  async start(): Promise<WorkerKey> {
    const worker = await this.#register();
    this.#schedule();
    return worker;
  }

  /** Does the lease still hold, by this process's clocks? Ask before anything that must not happen after it. */
  holds(): boolean {
    return this.#worker !== undefined && this.#passedMs() < this.#options.leaseMs * (1 - marginPart);
  }

  /** Others may have begun to work: the next beat, if it was planned while nobody had anything, comes as soon as those of a worker that watches others. */
  expectWork(): void {
    this.#isExpecting = true;
    if (this.#isWatchful || this.#isBeating || this.#worker === undefined) return;
    this.#isWatchful = true;
    this.#timer?.cancel();
    this.#schedule(this.#nextBeatMs - this.#options.runtime.monotonicMs());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Since the lease was asked for, by whichever clock says that more has passed. */
  #passedMs(): number {
    const { runtime } = this.#options;
    return Math.max(runtime.now() - this.#grantedMs.wall, runtime.monotonicMs() - this.#grantedMs.monotonic);
  }

  async #register(): Promise<WorkerKey> {
    const { store, runtime, leaseMs } = this.#options;
    const asked = { wall: runtime.now(), monotonic: runtime.monotonicMs() };
    const workerId = runtime.uuid();
    const { worker } = await store.registerWorker({ workerId, leaseMs });
    // Counted from before the request: the store's own count began later.
    this.#grantedMs = asked;
    this.#worker = worker;
    this.#workerId = workerId;
    return worker;
  }

  #schedule(latestMs = Infinity): void {
    const { runtime, leaseMs, pulseMs } = this.#options;
    if (this.#stopped) return;
    const beatMs =
      Math.min(this.#isWatchful ? pulseMs / watchFactor : pulseMs, leaseMs * beatPart) * (1 + jitterPart * (2 * runtime.random() - 1));
    // Also when the trust ends: a worker whose renewals fail stops then, not at the beat after.
    const trustedMs = leaseMs * (1 - marginPart) - this.#passedMs();
    this.#beatIn(Math.max(0, Math.min(beatMs, trustedMs, latestMs)));
  }

  /** A worker is there until it is closed, so its pulse keeps the process alive: an idle one has nothing else that does. */
  #beatIn(ms: number): void {
    this.#nextBeatMs = this.#options.runtime.monotonicMs() + ms;
    this.#timer = this.#options.runtime.setTimer(() => void this.#beat(), ms, { keepAlive: true });
  }

  async #beat(): Promise<void> {
    const { leaseMs, onTrouble } = this.#options;
    this.#isBeating = true;
    this.#isExpecting = false;
    try {
      if (this.#worker === undefined) {
        const worker = await this.#register();
        if (!this.#stopped) this.#options.onRenewed(worker);
      } else if (!this.holds()) {
        this.#lose();
      } else {
        await this.#ask(this.#worker);
      }
    } catch (error) {
      onTrouble("The lease could not be renewed; trying again.", error);
      if (!this.holds() && this.#worker !== undefined) this.#lose();
    }
    this.#isBeating = false;
    if (this.#stopped) return;
    if (this.#worker === undefined) this.#beatIn(Math.min(leaseMs / 10, 200));
    else this.#schedule();
  }

  async #ask(worker: WorkerKey): Promise<void> {
    const { store, runtime, leaseMs, runRoutes, taskRoutes, onPulse } = this.#options;
    const renews = this.#passedMs() >= leaseMs * renewPart;
    const asked = { wall: runtime.now(), monotonic: runtime.monotonicMs() };
    const pulse = await store.pulse({ worker, leaseMs: renews ? leaseMs : null, runRoutes, taskRoutes });
    if (!pulse.isAlive) return this.#lose();
    if (renews) this.#grantedMs = asked;
    this.#isWatchful = pulse.othersOwn || pulse.ownsAny || this.#isExpecting;
    if (!this.#stopped && this.holds()) onPulse(pulse);
  }

  #lose(): void {
    this.#worker = undefined;
    this.#options.onLost();
  }
}
