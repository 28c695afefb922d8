/** How transactions of the application's own come to the engine: who begins and commits them, and how a store gets at their connection. */
import type { Payload } from "./records.js";

/** Begins transactions of a database, for `ctx.transaction` and transactional starts. Made by `transactions` of a backend's entry point. */
export interface TransactionSource<in out Tx> {
  readonly kind: "transaction_source";
  /** Names a transaction that is open, for `start(…, { transaction })`. */
  use(transaction: Tx): BoundTransaction;
  /** Begins a transaction, and commits it when `work` has resolved; rolls it back, and rejects, if `work` rejects. */
  run<T>(work: (transaction: Tx) => Promise<T>, options?: TransactionRunOptions): Promise<T>;
  /** Where results are kept if this is not the backend's own database. */
  readonly completions: Completions<Tx> | undefined;
  /** Did this fail only because of another transaction at the same time (a deadlock, a serialization failure)? Then the same may succeed now. */
  isContention(error: unknown): boolean;
}

export interface TransactionRunOptions {
  /** Once it aborts, nobody waits for the transaction any more: its connection is closed, where there is one for each transaction. */
  readonly signal?: AbortSignal | undefined;
}

/** A transaction of the application's own that something is to be part of: made by {@link TransactionSource.use}. */
export interface BoundTransaction {
  readonly kind: "transaction";
  /** The connection, as the backend's `applyWithin` takes it. */
  readonly connection: unknown;
  /** Calls back once it is committed, if the source is told of that. */
  onCommitted(callback: () => void): void;
}

/** How a transactional step has ended, kept in the database that its statements went to. */
export interface Completion {
  readonly runId: string;
  /** The number of the step among the run's commands. */
  readonly command: number;
  readonly status: "completed" | "failed";
  readonly payload: Payload;
}

/** A table of completions: whoever writes a step's row first decides how it ended. */
export interface Completions<in out Tx> {
  find(runId: string, command: number): Promise<Completion | null>;
  /** Writes within the transaction; false if there is one already. Waits for a transaction that is about to write it. */
  record(transaction: Tx, completion: Completion): Promise<boolean>;
}
