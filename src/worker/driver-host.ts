import type { Store } from "../backend/backend.js";
import type { ClaimedRun, HistoryRecord, ParkReason, WorkerKey } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { RunFacts } from "../core/machine-options.js";
import type { LogLine } from "../core/turn-result.js";
import type { Runtime } from "../platform/runtime.js";
import type { BodyServices } from "./body-services.js";
import type { GroupCommit } from "./group-commit.js";
import type { Arrival, Mail } from "./next-event.js";
import type { DriverEnd } from "./driver-options.js";
import type { RunDriver } from "./run-driver.js";
import type { Body } from "./step-runner.js";

/** What a driver needs of the worker that it is part of. */
export interface DriverHost {
  readonly runtime: Runtime;
  readonly store: Store;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly worker: WorkerKey;
  /** Does this process still have the right to what it took under this lease? What was under way when a lease was lost belongs to others now. */
  holds(worker: WorkerKey): boolean;
  /** True once the worker is closing: no new bodies. */
  readonly draining: boolean;
  /** Calls the driver's `beginTurn` from a clean drain. */
  schedule(driver: RunDriver): void;
  /** Reads what came into the run's inbox above a position. Undefined if the worker closes first. */
  readMail(driver: RunDriver, above: number): Promise<readonly Mail[] | undefined>;
  /** Puts a fresh driver in the place of this one, from the stored history, and hands over what its bodies gave and those in flight. */
  reload(driver: RunDriver, arrivals: readonly Arrival[], bodies: ReadonlyMap<number, Body>): Promise<void>;
  readonly services: BodyServices;
  /** Hands a body's outcome to whoever drives the run now. */
  arrive(runId: string, body: Body, arrival: Arrival): void;
  /** Calls again with back-off while the store is out of reach. Undefined if the worker closes first. */
  persistently<T>(call: () => Promise<T>): Promise<T | undefined>;
  log(facts: RunFacts, line: LogLine): void;
  /** The chain goes on with a run that belongs to this worker. */
  onContinued(run: ClaimedRun): void;
  onEnded(driver: RunDriver, terminal: HistoryRecord): void;
  onParked(facts: RunFacts, reason: ParkReason): void;
  /** `idleUntil`: for `idle`, when the run wants to be driven next. */
  onFinished(driver: RunDriver, end: DriverEnd, idleUntil: number | null | undefined): void;
  onTasksQueued(): void;
  onRunsDue(): void;
  onTrouble(message: string, error: unknown): void;
}
