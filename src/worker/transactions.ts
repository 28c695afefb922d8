/**
 * Transactional steps: the user's statements and the record of how the step ended are one transaction of the user's database.
 *
 *     BEGIN ─ user's statements ─ record of the result ─ COMMIT            a result
 *     BEGIN ─ user's statements ─ error ─ ROLLBACK ─┬─ another attempt     decided by the retry policy, as for a step
 *                                                   └─ record of the failure, if it is the last
 *
 * The record has a unique key, run and command, and whoever writes it first decides how the step ended: an attempt whose COMMIT got no answer, one of a
 * process that is not the run's owner any more, or one that nobody waits for after its timeout may still be under way. If it commits, everybody else finds
 * its record, rolls back and adopts; if it comes too late, it finds theirs and rolls back. So there is nothing to be concluded from an error, nor from
 * a read. In the backend's own database the record is an item of the run's inbox, in another one it is a row of a table of completions.
 */
import type { Store } from "../backend/backend.js";
import type { InboxItem, Payload } from "../backend/records.js";
import type { Completion, Completions, TransactionSource } from "../backend/transaction-source.js";
import type { Codec, PayloadContext } from "../codec/codec.js";
import type { TransactionCommand } from "../core/commands.js";
import type { RunFacts } from "../core/machine-options.js";
import { nextRetry } from "../core/retry.js";
import { isPerdureError, PerdureError } from "../errors.js";
import type { Runtime } from "../platform/runtime.js";
import type { EncodedOutcome } from "./encode-outcome.js";
import { payloadFields } from "./payload-fields.js";
import type { Post } from "./post.js";

export interface TransactionsOptions {
  readonly store: Store;
  readonly codec: Codec;
  readonly runtime: Runtime;
  readonly post: Post;
  readonly onTrouble: (message: string, error: unknown) => void;
}

/** One attempt of a transactional step. */
export interface TransactionCall {
  readonly facts: RunFacts;
  readonly command: TransactionCommand;
  readonly attempt: number;
  readonly signal: AbortSignal;
  /** Has the code been told, or does it no longer listen? Then there is no other attempt. */
  readonly isWithdrawn: () => boolean;
}

/** How the step ended; null if it is in the run's inbox. */
export type TransactionResult = EncodedOutcome | null;

/** Thrown to have the user's transaction rolled back: it is recorded already how the step ended. */
class Adopted extends Error {}

/** So often a transaction that only collided with others is run again before it counts as a failed attempt. */
const collisionsMax = 10;
const collisionMs = 5;
const firstPauseMs = 10;
const longestPauseMs = 2000;

export class Transactions {
  readonly #options: TransactionsOptions;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  /** Resolves once it is recorded how the step ended. Rejects if there is to be another attempt, or if another process goes on with the run. */
  async perform(call: TransactionCall): Promise<TransactionResult> {
    const { completions } = call.command.source as TransactionSource<unknown>;
    const record = completions === undefined ? this.#inInbox(call) : this.#inTable(call, completions);
    try {
      return (await record.find?.()) ?? (await this.#attempt(call, record));
    } catch (error) {
      if (error instanceof Adopted) return record.adopt();
      if (!isLast(call, error)) throw error;
      const text = this.#options.codec.encodeError(error);
      return record.fail(text, await this.#seal(call, text), error);
    }
  }

  async #attempt(call: TransactionCall, record: Recorder): Promise<TransactionResult> {
    const { command, signal } = call;
    const source = command.source as TransactionSource<unknown>;
    for (let collisions = 0; ; collisions++) {
      let isCommitting = false;
      const work = async (transaction: unknown): Promise<TransactionResult> => {
        isCommitting = false;
        // To its end, also when nobody waits for it: statements that it sent after a rollback would be outside of any transaction.
        const value: unknown = await command.run(transaction);
        signal.throwIfAborted();
        const text = this.#options.codec.encode(value, `the result of transaction "${command.name}"`);
        const payload = await this.#seal(call, text);
        signal.throwIfAborted();
        // The last statement: what it locks is locked until the commit.
        const result = await record.complete(transaction, text, payload);
        signal.throwIfAborted();
        isCommitting = true;
        return result;
      };
      try {
        return await untilAborted(signal, () => source.run(work, { signal }));
      } catch (error) {
        if (error instanceof Adopted || signal.aborted) throw error;
        if (source.isContention(error) && collisions < collisionsMax) await this.#pause(collisionMs * (collisions + 1));
        else if (isCommitting) await this.#resolve(call, record, error);
        else throw error;
      }
    }
  }

  /**
   * A COMMIT failed, or got no answer. A transaction that writes the same record waits for the one that may be under way, and then either finds its record or
   * not: so this one asks by writing, and rolls back. The user's statements are not run for that: they may have been made to work once.
   */
  async #resolve({ command, signal }: TransactionCall, record: Recorder, failure: unknown): Promise<never> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, 2 * pauseMs)) {
      const source = command.source as TransactionSource<unknown>;
      const ask = async (transaction: unknown): Promise<never> => {
        await record.complete(transaction, "", "");
        throw new NotCommitted();
      };
      try {
        await untilAborted(signal, () => source.run(ask, { signal }));
      } catch (error) {
        if (error instanceof NotCommitted) throw failure;
        if (error instanceof Adopted || signal.aborted) throw error;
        // The run has ended, or this can never succeed.
        if (isPerdureError(error, "lease_lost") || isPerdureError(error, "invalid_argument")) throw error;
      }
      await this.#pause(pauseMs);
    }
  }

  #inInbox({ facts, command, attempt }: TransactionCall): Recorder {
    const { store, post } = this.#options;
    const source = command.source as TransactionSource<unknown>;
    const dedupeKey = `transaction/${facts.runId}/${command.number}`;
    const target = { runId: facts.runId };
    const itemOf = (kind: "activity_completed" | "activity_failed", payload: Payload): InboxItem => ({
      kind,
      name: "",
      command: command.number,
      attempt,
      payload,
      options: null,
    });
    return {
      find: undefined,
      complete: async (transaction, _text, payload) => {
        const item = itemOf("activity_completed", payload);
        const { connection } = source.use(transaction);
        const [{ status }] = await store.applyWithin(connection, [{ type: "send", target, item, dedupeKey, claimFor: null }]);
        if (status === "duplicate") throw new Adopted();
        if (status !== "sent") throw runIsOver();
        return null;
      },
      fail: async (_text, payload) => {
        const { status } = await post.send(target, itemOf("activity_failed", payload), dedupeKey);
        if (status !== "sent" && status !== "duplicate") throw runIsOver();
        return null;
      },
      adopt: async () => null,
    };
  }

  #inTable(call: TransactionCall, completions: Completions<unknown>): Recorder {
    const { runId } = call.facts;
    const { number: command } = call.command;
    const source = call.command.source as TransactionSource<unknown>;
    const find = async (): Promise<EncodedOutcome | null> => {
      const found = await completions.find(runId, command);
      return found === null ? null : this.#open(call, found);
    };
    const adopt = async (): Promise<EncodedOutcome> => {
      const found = await this.#persist(call, find);
      if (found === null) throw new PerdureError("internal", "A row of the table of completions was deleted while its run needed it.");
      return found;
    };
    return {
      find,
      adopt,
      complete: async (transaction, text, payload) => {
        if (!(await completions.record(transaction, { runId, command, status: "completed", payload }))) throw new Adopted();
        return { text, payload, failure: undefined, unsealed: undefined };
      },
      fail: async (text, payload, error) => {
        const completion: Completion = { runId, command, status: "failed", payload };
        const isOurs = await this.#persist(call, () => source.run((transaction) => completions.record(transaction, completion)));
        return isOurs ? { text, payload, failure: { error }, unsealed: undefined } : adopt();
      },
    };
  }

  async #open(call: TransactionCall, { status, payload }: Completion): Promise<EncodedOutcome> {
    const { codec } = this.#options;
    const text = codec.sync && typeof payload === "string" ? payload : await codec.open(payload, contextOf(call));
    const failure = status === "failed" ? { error: codec.decodeError(text) } : undefined;
    return { text, payload, failure, unsealed: undefined };
  }

  /** Another database may be out of reach: until it is back there is no knowing how the step ended. */
  async #persist<T>({ facts, command, signal, isWithdrawn }: TransactionCall, action: () => Promise<T>): Promise<T> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, 2 * pauseMs)) {
      try {
        return await action();
      } catch (error) {
        if (isPerdureError(error) && error.code !== "backend_unavailable") throw error;
        if (signal.aborted && isForeign(signal, isWithdrawn)) throw error;
        this.#options.onTrouble(`Run ${facts.id} cannot find out how its transaction "${command.name}" ended; trying again.`, error);
      }
      await this.#pause(pauseMs);
    }
  }

  async #seal(call: TransactionCall, text: string): Promise<Payload> {
    const { codec } = this.#options;
    return codec.sync ? text : codec.seal(text, contextOf(call));
  }

  #pause(delayMs: number): Promise<void> {
    const { runtime } = this.#options;
    return new Promise((resolve) => void runtime.setTimer(resolve, delayMs * (0.5 + runtime.random()), { keepAlive: true }));
  }
}

/** Where it is recorded how a step ended. */
interface Recorder {
  /** An outcome that was recorded before; where the inbox holds it, the run has been told. */
  readonly find: (() => Promise<EncodedOutcome | null>) | undefined;
  /** Records a result within the transaction. @throws Adopted if there is a record already */
  complete(transaction: unknown, text: string, payload: Payload): Promise<TransactionResult>;
  /** Records that there is no other attempt, unless there is a record already. */
  fail(text: string, payload: Payload, error: unknown): Promise<TransactionResult>;
  adopt(): Promise<TransactionResult>;
}

class NotCommitted extends Error {}

const contextOf = ({ facts, command }: TransactionCall): PayloadContext => ({
  workflowId: facts.id,
  field: payloadFields.operation(command.number),
});

const runIsOver = (): PerdureError =>
  new PerdureError("lease_lost", "The run has ended, or goes on elsewhere; the transaction was rolled back.");

/** Was the attempt ended because this process has lost the run, or closes? Then others decide what becomes of the step. */
const isForeign = (signal: AbortSignal, isWithdrawn: () => boolean): boolean => !isWithdrawn() && !isPerdureError(signal.reason, "timeout");

function isLast({ command, attempt, signal, isWithdrawn }: TransactionCall, error: unknown): boolean {
  if (isWithdrawn()) return true;
  if (isPerdureError(error, "lease_lost") || (signal.aborted && isForeign(signal, isWithdrawn))) return false;
  return nextRetry(command.retry, attempt, error, 0) === "stop";
}

/** Rejects with the signal's reason as soon as it aborts, whatever the action goes on to do. */
function untilAborted<T>(signal: AbortSignal, action: () => Promise<T>): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort);
    action()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}
