/** What the sources of transactions of all SQL databases share. */
import type { BoundTransaction, Completions, TransactionRunOptions, TransactionSource } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";

/** A transaction that has begun, and the connection that it has for itself. */
export interface OpenTransaction<Raw> {
  readonly raw: Raw;
  /** Commits and gives the connection back; what it throws leaves open what became of the commit. */
  commit(): Promise<void>;
  /** Rolls back and gives the connection back. Never throws: a connection on which it fails is closed, which rolls back as well. */
  rollBack(): Promise<void>;
  /** Closes the connection at once, whatever it is doing. Absent where it is not this transaction's to close. */
  discard?(): void;
}

/** Options of every source of transactions, whatever it is made of. */
export interface CompletionOptions {
  /** The statements go to another database, or file, than the backend's: results are kept in this table there (`completionTableSql`) until the run has them. */
  readonly completions?: string | undefined;
}

/** Transactions of a query builder, or of anything else that begins and commits them itself. */
export interface BuilderTransactions<Tx> {
  /** Begins a transaction, calls `work` with it, and commits when that has resolved; rolls back and rejects if it rejects. @example (work) => db.transaction().execute(work) */
  readonly run: <T>(work: (transaction: Tx) => Promise<T>) => Promise<T>;
  /** The connection beneath a transaction. Annotate its parameter: that is the type that `ctx.transaction` hands to your code. */
  readonly connection: (transaction: Tx) => unknown;
}

export interface SourceParts<Tx extends object> {
  readonly run: TransactionSource<Tx>["run"];
  readonly connection: (transaction: Tx) => unknown;
  readonly completions: ((source: Pick<TransactionSource<Tx>, "run">) => Completions<Tx>) | undefined;
  readonly isContention: (error: unknown) => boolean;
  /** Something of perdure's was written in this transaction, and it is committed. */
  readonly onUsed?: ((transaction: Tx) => void) | undefined;
}

export function sourceOf<Tx extends object>({
  run,
  connection,
  completions,
  isContention,
  onUsed,
}: SourceParts<Tx>): TransactionSource<Tx> {
  /** What to call when a transaction that is open now has committed. */
  const callbacks = new WeakMap<Tx, (() => void)[]>();
  const source: TransactionSource<Tx> = {
    kind: "transaction_source",
    use: (transaction): BoundTransaction => {
      if (onUsed !== undefined) callbacks.get(transaction)?.push(() => onUsed(transaction));
      return {
        kind: "transaction",
        connection: connection(transaction),
        onCommitted: (callback) => void callbacks.get(transaction)?.push(callback),
      };
    },
    run: async (work, options) => {
      const called: (() => void)[] = [];
      const result = await run(async (transaction) => {
        callbacks.set(transaction, called);
        try {
          return await work(transaction);
        } finally {
          callbacks.delete(transaction);
        }
      }, options);
      for (const callback of called) callback();
      return result;
    },
    completions: undefined,
    isContention: (error) => causesOf(error).some(isContention),
  };
  return completions === undefined ? source : { ...source, completions: completions(source) };
}

/** Runs transactions on connections of one's own, and knows the connection of each. `as`: what the work is handed. */
export function runnerOf<Raw extends object, Tx extends object>(
  begin: () => Promise<OpenTransaction<Raw>>,
  as: (raw: Raw) => Tx,
): Pick<SourceParts<Tx>, "run" | "connection"> {
  const raws = new WeakMap<Tx, Raw>();
  return {
    run: async <T>(work: (transaction: Tx) => Promise<T>, { signal }: TransactionRunOptions = {}): Promise<T> => {
      const open = await begin();
      const discard = (): void => open.discard?.();
      signal?.addEventListener("abort", discard);
      try {
        const result = await attempt(open, async () => {
          signal?.throwIfAborted();
          const transaction = as(open.raw);
          raws.set(transaction, open.raw);
          const value = await work(transaction);
          signal?.throwIfAborted();
          return value;
        });
        await open.commit();
        return result;
      } finally {
        signal?.removeEventListener("abort", discard);
      }
    },
    // One that the application has begun itself is its own connection.
    connection: (transaction) => raws.get(transaction) ?? transaction,
  };
}

async function attempt<T>(open: OpenTransaction<unknown>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await open.rollBack();
    throw error;
  }
}

const causesMax = 8;

/** An error and what it wraps, the outermost first: query builders wrap those of drivers. */
export function causesOf(error: unknown): readonly unknown[] {
  const found: unknown[] = [];
  for (let one = error; one !== undefined && one !== null && found.length < causesMax; one = (one as { readonly cause?: unknown }).cause)
    found.push(one);
  return found;
}

/** Is this what {@link BuilderTransactions} describes, and not a pool or a connection? */
export const isBuilder = (value: unknown): value is BuilderTransactions<object> => {
  const { run, connection } = (value ?? {}) as Readonly<Record<string, unknown>>;
  return typeof run === "function" && typeof connection === "function";
};

/** @throws PerdureError `invalid_argument` for an option that there is not */
export function checkSourceOptions(options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null)
    throw new PerdureError("invalid_argument", "The options of transactions() must be an object.");
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new PerdureError("invalid_argument", `transactions() has no option "${unknown}". It takes ${known.join(", ")}.`);
}

/** What a transaction sees of others. */
export type Isolation = "read committed" | "repeatable read" | "serializable";

const isolations: ReadonlySet<unknown> = new Set<Isolation>(["read committed", "repeatable read", "serializable"]);

/** @throws PerdureError `invalid_argument` */
export function isolationSql(isolation: Isolation): string {
  if (isolations.has(isolation)) return isolation.toUpperCase();
  const known = [...isolations].map((one) => JSON.stringify(one)).join(", ");
  throw new PerdureError(
    "invalid_argument",
    `The option isolation of transactions() is ${JSON.stringify(isolation)}. Give one of ${known}.`,
  );
}
