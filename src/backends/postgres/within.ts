import type { Operation, Outcome } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import { outcomeOf, usualOutcome, type AppliedRow } from "./decode.js";
import { encodeBatch } from "./encode.js";
import { hasSqlState, toStoreFailure, type Mask } from "./failure.js";
import { serverIdentity } from "./sql.js";

/**
 * A connection of the application's, inside a transaction: a `Client` or `PoolClient` of pg, or what wraps one and hands `query(text, values)` through,
 * whether it answers with a result or with its rows.
 */
export interface TransactionClient {
  query(text: string, values: readonly unknown[]): Promise<unknown>;
}

export interface WithinOptions {
  readonly schema: string;
  readonly mask: Mask;
  /** The database that this store is on. */
  readonly identity: () => Promise<string>;
}

/**
 * Applies a batch inside a transaction of the application's: two statements on its connection. The first asks for the number of the transaction, and the
 * second does nothing unless it finds itself under the same number: outside of a transaction, or on a pool, each statement has its own. (That a number was
 * given out says nothing by itself, and the clocks of a statement and of its transaction differ without BEGIN, too.)
 */
export async function applyWithin(
  options: WithinOptions,
  transaction: unknown,
  operations: readonly Operation[],
): Promise<readonly Outcome[]> {
  const { schema, mask, identity } = options;
  const client = clientOf(transaction);
  const rowOf = async (text: string, values: readonly unknown[]): Promise<Readonly<Record<string, unknown>>> => {
    try {
      return firstRow(await client.query(text, values));
    } catch (error) {
      if (error instanceof PerdureError) throw error;
      if (hasSqlState(error, "25P01")) throw noTransaction();
      // Nothing that a transaction has done is there before it commits, whatever became of its connection.
      throw toStoreFailure(error, "read", mask);
    }
  };

  const [own, found] = await Promise.all([
    identity(),
    rowOf(`SELECT pg_current_xact_id()::text AS transaction, ${serverIdentity} AS identity`, []),
  ]);
  if (found["identity"] !== own) {
    throw new PerdureError(
      "invalid_argument",
      "The transaction is on another database than the engine's. Take the connection from a pool for the database that postgres() was given.",
    );
  }
  const { operations: rows, lines, claimRoutes } = encodeBatch([...operations.entries()]);
  const values = [found["transaction"], rows, lines, claimRoutes, `perdure_${schema}`];
  const text = `SELECT "${schema}".apply_within_1($1::text, $2::json, $3::json, $4::text[], $5::text) AS answer`;
  const { answer } = await rowOf(text, values);
  const told = new Map<number, Outcome | undefined>();
  for (const row of JSON.parse((answer ?? "[]") as string) as readonly AppliedRow[]) told.set(row[0], outcomeOf(row));
  return operations.map((operation, index) => told.get(index) ?? usualOutcome(operation));
}

/** @throws PerdureError `invalid_argument` */
export function clientOf(transaction: unknown): TransactionClient {
  if (typeof (transaction as TransactionClient | null | undefined)?.query === "function") return transaction as TransactionClient;
  throw notAConnection();
}

function firstRow(answer: unknown): Readonly<Record<string, unknown>> {
  const [row] = rowsOf(answer);
  if (row === undefined) throw notAConnection();
  return row;
}

/** The rows of an answer. @throws PerdureError `invalid_argument` if it is none of pg's */
export function rowsOf(answer: unknown): readonly Readonly<Record<string, unknown>>[] {
  const rows = Array.isArray(answer) ? (answer as unknown[]) : (answer as { readonly rows?: unknown } | null | undefined)?.rows;
  if (!Array.isArray(rows) || !rows.every((row) => typeof row === "object" && row !== null && !Array.isArray(row))) throw notAConnection();
  return rows as readonly Readonly<Record<string, unknown>>[];
}

const notAConnection = (): PerdureError =>
  new PerdureError(
    "invalid_argument",
    "A transaction of PostgreSQL is a client of pg on which BEGIN was sent, or something with its query(text, values). This is none.",
  );

const noTransaction = (): PerdureError =>
  new PerdureError(
    "invalid_argument",
    "The connection is in no transaction. Send BEGIN first, on a client and not on a pool, and COMMIT when everything is done.",
  );
