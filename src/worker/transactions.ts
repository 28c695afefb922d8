/** Transactional steps: the user's statements and the record of their result are one transaction of the user's database. */
import type { Store } from "../backend/backend.js";
import type { InboxItem, Payload } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { TransactionCommand } from "../core/commands.js";
import type { RunFacts } from "../core/machine-options.js";
import { PerdureError } from "../errors.js";
import { payloadFields } from "./payload-fields.js";

export interface TransactionsOptions {
  readonly store: Store;
  readonly codec: Codec;
}

/** Thrown to have the user's transaction rolled back: another attempt has got through. */
class Adopted extends Error {}

export class Transactions {
  readonly #options: TransactionsOptions;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  /**
   * Resolves once the result is in the run's inbox, put there by this attempt or by one before it. The unique key of run and command, not epoch and sequence number, makes
   * it once: a loser rolls back, and what the winner recorded is what the run gets.
   */
  async perform(facts: RunFacts, { number, name, source, run }: TransactionCommand, attempt: number): Promise<void> {
    const { store, codec } = this.#options;
    try {
      await source.run(async (transaction: unknown) => {
        const value: unknown = await run(transaction);
        const text = codec.encode(value, `the result of transaction "${name}"`);
        const payload: Payload = codec.sync
          ? text
          : await codec.seal(text, { workflowId: facts.id, field: payloadFields.operation(number) });
        const item: InboxItem = { kind: "activity_completed", name: "", command: number, attempt, payload, options: null };
        // The last statement: it locks the row of the run until the commit.
        const [outcome] = await store.applyWithin(source.use(transaction).connection, [
          { type: "send", target: { runId: facts.runId }, item, dedupeKey: `transaction/${facts.runId}/${number}`, claimFor: null },
        ]);
        if (outcome.status === "duplicate") throw new Adopted();
        if (outcome.status !== "sent")
          throw new PerdureError("lease_lost", "The run has ended, or goes on elsewhere; the transaction was rolled back.");
      });
    } catch (error) {
      if (!(error instanceof Adopted)) throw error;
    }
  }
}
