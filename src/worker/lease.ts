import type { Store } from "../backend/backend.js";
import type { WorkerKey } from "../backend/records.js";
import type { Runtime, TimerHandle } from "../platform/runtime.js";

export interface LeaseOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly leaseMs: number;
  /** The lease ran out, or the store says so: stop everything. A new one is being taken; `onRenewed` tells when. */
  readonly onLost: () => void;
  readonly onRenewed: (worker: WorkerKey) => void;
  readonly onTrouble: (message: string, error: unknown) => void;
}

/** The part of a lease in which the worker no longer trusts it. */
const marginPart = 0.2;

/**
 * The right of this process to drive runs. It is renewed three times in its length. By whichever of wall and monotonic clock says that more has passed,
 * the worker stops by itself before it runs out; an expired worker never renews, it registers under a new id.
 */
export class Lease {
  readonly #options: LeaseOptions;
  #worker: WorkerKey | undefined;
  #workerId = "";
  #grantedMs = { wall: 0, monotonic: 0 };
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

  #schedule(): void {
    const { runtime, leaseMs } = this.#options;
    if (this.#stopped) return;
    // Also when the trust ends: a worker whose renewals fail stops then, not at the beat after.
    const trustedMs = leaseMs * (1 - marginPart) - this.#passedMs();
    this.#timer = runtime.setTimer(() => void this.#beat(), Math.max(0, Math.min(leaseMs / 4, trustedMs)));
  }

  async #beat(): Promise<void> {
    const { store, runtime, leaseMs, onTrouble } = this.#options;
    try {
      if (this.#worker === undefined) {
        const worker = await this.#register();
        if (!this.#stopped) this.#options.onRenewed(worker);
      } else if (!this.holds()) {
        this.#lose();
      } else {
        const asked = { wall: runtime.now(), monotonic: runtime.monotonicMs() };
        if (await store.renewLease({ worker: this.#worker, leaseMs })) this.#grantedMs = asked;
        else this.#lose();
      }
    } catch (error) {
      onTrouble("The lease could not be renewed; trying again.", error);
      if (!this.holds() && this.#worker !== undefined) this.#lose();
    }
    if (this.#stopped) return;
    if (this.#worker === undefined) this.#timer = runtime.setTimer(() => void this.#beat(), Math.min(leaseMs / 10, 200));
    else this.#schedule();
  }

  #lose(): void {
    this.#worker = undefined;
    this.#options.onLost();
  }
}
