/**
 * Operations inside a transaction of the application's own, on its connection: one statement at a time, as its connection may take no more, and between two
 * savepoints, so that of a call that fails nothing stays, whatever the application does then.
 *
 * Its isolation level is not ours to choose. Under REPEATABLE READ, a read without a lock shows what was there when the transaction began; one with a lock
 * shows what is there, but if it finds nothing it keeps others from putting anything there, which is how two starts of new runs would deadlock. So rows are
 * locked only by their keys, and what those locks guard is read twice: here, for what this transaction has written, and on a connection of the store's own.
 */
import type { Operation, Outcome } from "../../backend/index.js";
import { PerdureError } from "../../errors.js";
import { decideAll, namesIn } from "./apply.js";
import type { Hall } from "./claims.js";
import { connectionWithin, type MysqlConnection } from "./driver.js";
import { isServerError } from "./failure.js";
import type { Work } from "./lanes.js";
import type { Liveness } from "./liveness.js";
import { answerOf, ConnectionLost, tooLarge, type Answer, type Row } from "./session.js";
import { numberOf, placeSql, text } from "./sql.js";
import { strictMode } from "./source.js";

export interface WithinParts {
  readonly hall: Hall;
  /** Its connection waits for no lock. */
  readonly live: Pick<Liveness, "ask">;
  /** The server and the database of the store. */
  readonly place: string;
}

/** Sends one statement. */
export type Ask = (sql: string) => Promise<Answer>;

export async function applyWithin(parts: WithinParts, transaction: unknown, operations: readonly Operation[]): Promise<Outcome[]> {
  const connection = connectionWithin(transaction);
  return inTurn(connection, async () => {
    const ask = askerOn(connection);
    const settings = await settingsOf(ask);
    await assertPlace(parts, settings.place);
    const { names, tables } = parts.hall;
    await names.ensure(namesIn(operations));
    return inMode(ask, settings.mode, () =>
      inSavepoint(ask, async () => {
        const work = workOn(ask, parts.live, settings.bytesMax);
        const { outcomes, statements } = await decideAll(work, tables, names, { operations, begin: [] });
        await work.run(statements);
        return outcomes;
      }),
    );
  });
}

/** Calls on the same connection wait for each other: each has to see what the one before has written. */
const turns = new WeakMap<MysqlConnection, Promise<unknown>>();

function inTurn<T>(connection: MysqlConnection, work: () => Promise<T>): Promise<T> {
  const before = turns.get(connection) ?? Promise.resolve();
  const result = before.then(work, work);
  turns.set(connection, result);
  // Whoever asked for it hears of a failure; that it is kept here is no reason to call it unhandled.
  result.catch(() => undefined);
  return result;
}

export const askerOn =
  (connection: MysqlConnection): Ask =>
  (sql) =>
    new Promise((resolve, reject) => {
      connection.query({ sql, rowsAsArray: true }, (error, result) => {
        if (error === null || error === undefined) resolve(answerOf(result));
        else reject(withCode(error));
      });
    });

/** The driver's own refusals have no code; all of them mean that the connection is gone. */
function withCode(error: unknown): unknown {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return code === undefined ? new ConnectionLost(message) : error;
}

function workOn(ask: Ask, live: Pick<Liveness, "ask">, bytesMax: number): Work {
  const run = async (statements: readonly string[]): Promise<readonly Answer[]> => {
    const answers: Answer[] = [];
    for (const sql of statements) {
      if (Buffer.byteLength(sql) > bytesMax) throw tooLarge(bytesMax);
      answers.push(await ask(sql));
    }
    return answers;
  };
  return { run, commit: run, readFresh: live.ask };
}

interface Settings {
  readonly place: string;
  readonly mode: string;
  readonly bytesMax: number;
}

const invalid = (message: string): PerdureError => new PerdureError("invalid_argument", message);

/** @throws PerdureError `invalid_argument` for a connection that would lose characters */
async function settingsOf(ask: Ask): Promise<Settings> {
  const { rows } = await ask(`SELECT ${placeSql}, @@sql_mode, @@max_allowed_packet, @@character_set_client, LENGTH('é')`);
  const [place, mode, bytesMax, charset, accent]: Row = rows[0] ?? [];
  if (charset !== "utf8mb4" || numberOf(accent) !== 2)
    throw invalid(`The transaction's connection has the character set ${String(charset)}. Make it with charset: "utf8mb4".`);
  return { place: String(place), mode: String(mode), bytesMax: numberOf(bytesMax) - 1024 };
}

/** @throws PerdureError `invalid_argument` */
async function assertPlace({ live, place }: WithinParts, given: string): Promise<void> {
  if (given === place) return;
  // The store may have come to another server since, which has the same address.
  const [now] = await live.ask([`SELECT ${placeSql}`]);
  if (String(now?.rows[0]?.[0]) === given) return;
  throw invalid(
    "The transaction is on another server or database than the store. Use a connection to the database that was given to mysql(): that is where both have to be written.",
  );
}

/** Modes in which the statements of the store would mean something else. */
const strangeModes = /NO_BACKSLASH_ESCAPES|EMPTY_STRING_IS_NULL|ORACLE/;

async function inMode<T>(ask: Ask, mode: string, work: () => Promise<T>): Promise<T> {
  if (!strangeModes.test(mode) && mode.includes("STRICT_")) return work();
  await ask(`SET SESSION sql_mode='${strictMode}'`);
  try {
    return await work();
  } finally {
    await ask(`SET SESSION sql_mode=${text(mode)}`).catch(() => undefined);
  }
}

const savepoint = "perdure_within";

/** @throws PerdureError `invalid_argument` if there is no transaction: a savepoint is forgotten at once then, on every server and without any right. */
async function inSavepoint<T>(ask: Ask, work: () => Promise<T>): Promise<T> {
  await ask(`SAVEPOINT ${savepoint}`);
  try {
    await ask(`ROLLBACK TO SAVEPOINT ${savepoint}`);
  } catch (error) {
    // 1305: it does not exist.
    if (!isServerError(error) || error.errno !== 1305) throw error;
    throw invalid("The connection is in no transaction. Begin one, call this, and commit: what is written counts from then on.");
  }
  try {
    const result = await work();
    await ask(`RELEASE SAVEPOINT ${savepoint}`);
    return result;
  } catch (error) {
    // After a deadlock there is no transaction any more, and nothing to undo.
    await ask(`ROLLBACK TO SAVEPOINT ${savepoint}`).catch(() => undefined);
    throw error;
  }
}
