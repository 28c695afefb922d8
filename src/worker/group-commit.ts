/**
 * Collects the writes of many runs into shared commits. While one commit is in flight the next batch collects by itself, so latency at low load stays
 * one round trip and throughput grows with load. Each operation has its own outcome.
 *
 * Runs that wait for the same commit go on together, commit together, and so stay in step: process and database take turns, each idle while the other works.
 * Where a store takes several batches at once, a large batch is therefore divided, and one half is committed while the other half's runs have their turns.
 *
 * What can go wrong with a whole batch:
 * - nothing was written and it may pass: the same batch again, with back-off;
 * - nothing was written and it will not pass: the batch is halved until the culprit stands alone, and only that one is refused;
 * - nobody knows: every member is told, and finds out for itself by re-claiming. Sending the batch again would be a blind retry.
 */
import type { Store } from "../backend/backend.js";
import { StoreFailure } from "../backend/failures.js";
import type { Effects, Operation, Outcome } from "../backend/operations.js";
import type { Runtime } from "../platform/runtime.js";

export interface GroupCommitOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  /** Told of each failure that is being retried. */
  readonly onTrouble: (failure: StoreFailure, attempt: number) => void;
  /** Told of what was committed. */
  readonly onCommitted?: ((operations: readonly Operation[]) => void) | undefined;
}

interface Member {
  readonly operation: Operation;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/** About how many rows go into one commit: one with more would hold up the event loop for longer than some 5 ms, twice that and more where processes share a core. */
const rowsMax = 1000;
const retryFirstMs = 5;
const retryMaxMs = 1000;

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #waiting: Member[] = [];
  /** Those in flight. */
  readonly #batches = new Set<{ readonly beganMs: number; readonly size: number }>();
  /** Is a batch going to be begun when the event loop has come round? */
  #isPlanned = false;
  /** How many batches are being tried again. */
  #troubled = 0;
  #closed = false;
  readonly #onIdle: (() => void)[] = [];

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /** Commits the operation with whatever else is waiting. Rejects with a `StoreFailure`, never for a refusal. */
  submit<O extends Operation>(operation: O): Promise<Outcome<O>> {
    return new Promise<Outcome<O>>((resolve, reject) => this.enqueue(operation, resolve, reject));
  }

  /** The same with callbacks; `reject` is also told what `resolve` throws. For what is done with every step, where promises would be a tenth of the engine's cost. */
  enqueue<O extends Operation>(operation: O, resolve: (outcome: Outcome<O>) => void, reject: (error: unknown) => void): void {
    this.#waiting.push({ operation, resolve: resolve as (outcome: Outcome) => void, reject });
    this.#plan();
  }

  /** Resolves when nothing is waiting or in flight. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Stops retrying: what is waiting is refused. */
  close(): void {
    this.#closed = true;
  }

  /** Since when (monotonic) the oldest batch is in flight; Infinity if none is. */
  get inFlightSinceMs(): number {
    let oldestMs = Infinity;
    for (const { beganMs } of this.#batches) oldestMs = Math.min(oldestMs, beganMs);
    return oldestMs;
  }

  get #isIdle(): boolean {
    return !this.#isPlanned && this.#batches.size === 0;
  }

  #plan(): void {
    if (this.#isPlanned || !this.#hasRoom) return;
    this.#isPlanned = true;
    // Not in a microtask: results that arrive in one phase of the event loop, one callback after the other, share a commit this way. So does what members
    // submit when they are told of their outcomes.
    this.#options.runtime.yieldToLoop(() => {
      this.#isPlanned = false;
      while (this.#waiting.length > 0 && this.#hasRoom) void this.#begin(this.#take());
      if (this.#isIdle) for (const resolve of this.#onIdle.splice(0)) resolve();
    });
  }

  get #hasRoom(): boolean {
    if (this.#batches.size === 0) return true;
    const { max, operationsMin } = this.#options.store.concurrentApplies;
    return this.#batches.size < max && this.#waiting.length >= operationsMin && this.#troubled === 0;
  }

  /** The members of the next batch: all that wait, unless there are so many that a part of them is better committed beside the others. */
  #take(): readonly Member[] {
    const waiting = this.#waiting;
    const { max, operationsMin } = this.#options.store.concurrentApplies;
    let members = waiting.length;
    for (const batch of this.#batches) members += batch.size;
    const share = Math.max(operationsMin, Math.ceil(members / max));
    const size = batchSize(waiting, share);
    if (size < waiting.length) return waiting.splice(0, size);
    this.#waiting = [];
    return waiting;
  }

  async #begin(batch: readonly Member[]): Promise<void> {
    const begun = { beganMs: this.#options.runtime.monotonicMs(), size: batch.length };
    this.#batches.add(begun);
    await this.#commit(batch);
    this.#batches.delete(begun);
    this.#plan();
  }

  async #commit(batch: readonly Member[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const operations = batch.map((member) => member.operation);
        const outcomes = await this.#options.store.apply(operations);
        this.#options.onCommitted?.(operations);
        for (const [index, member] of batch.entries()) tell(member, outcomes[index] as Outcome);
        return;
      } catch (error) {
        const failure =
          error instanceof StoreFailure
            ? error
            : new StoreFailure("internal", "The store failed in an unforeseen way.", {
                outcome: "unknown",
                transient: false,
                cause: error,
              });
        if (failure.outcome === "none" && failure.transient && !this.#closed) {
          this.#options.onTrouble(failure, attempt);
          // What comes later does not overtake it more than need be.
          this.#troubled += 1;
          await this.#pause(Math.min(retryMaxMs, retryFirstMs * 2 ** (attempt - 1)));
          this.#troubled -= 1;
        } else if (failure.outcome === "none" && !failure.transient && batch.length > 1) {
          return this.#halve(batch);
        } else {
          for (const member of batch) member.reject(failure);
          return;
        }
      }
    }
  }

  async #halve(batch: readonly Member[]): Promise<void> {
    const middle = batch.length >> 1;
    await this.#commit(batch.slice(0, middle));
    await this.#commit(batch.slice(middle));
  }

  #pause(delayMs: number): Promise<void> {
    const { runtime } = this.#options;
    return new Promise((resolve) => void runtime.setTimer(resolve, delayMs * (0.5 + runtime.random()), { keepAlive: true }));
  }
}

/** The commit has happened: what one member makes of it must not look like its failure to the others. */
function tell(member: Member, outcome: Outcome): void {
  try {
    member.resolve(outcome);
  } catch (error) {
    member.reject(error);
  }
}

/** How many of the members that wait go together, at most `max`; at least one, since an operation is never divided. */
function batchSize(waiting: readonly Member[], max: number): number {
  let rows = 0;
  let size = 0;
  for (const { operation } of waiting) {
    rows += rowsOf(operation);
    if (size === max || (rows > rowsMax && size > 0)) break;
    size += 1;
  }
  return size;
}

/** About how many rows of tables and indexes an operation touches. */
function rowsOf(operation: Operation): number {
  switch (operation.type) {
    case "start":
      return 4 + operation.messages.length + (operation.eager === null ? 0 : effectRows(operation.eager.effects));
    case "turn":
      return 1 + effectRows(operation.effects);
    case "send":
    case "finish_task":
      return 3;
    case "append":
      return 1 + 2 * operation.chunks.length;
    case "terminate":
      return 4;
    case "touch_task":
    case "resume":
      return 1;
    default:
      return operation satisfies never;
  }
}

const effectRows = ({ events, consumed, tasks, withdrawnTasks, cancelledTasks, entries, chunks, attributes }: Effects): number =>
  events.length +
  consumed.length +
  2 * (tasks.length + chunks.length + attributes.length) +
  withdrawnTasks.length +
  cancelledTasks.length +
  entries.length;
