import { StoreFailure } from "../../backend/index.js";
import type { Runtime, TimerHandle } from "../../platform/runtime.js";
import { types, type PostgresClient, type PostgresQuery, type PostgresResult } from "./driver.js";
import { isDisconnect, toStoreFailure, type Mask } from "./failure.js";
import { pinsOf, type Session } from "./session.js";

/** A statement by its name, under which each connection prepares it once. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /** Sent right behind it, whatever becomes of the two: what need not wait for the answer. */
  readonly behind?: { readonly statement: Statement; readonly values: readonly unknown[] } | undefined;
}

export interface LinkOptions {
  readonly runtime: Runtime;
  /** Opens a connection, ready for work. */
  readonly open: () => Promise<Session>;
  readonly mask: Mask;
  /** Called with each new connection before anything else uses it. */
  readonly onOpened?: (session: Session) => Promise<void>;
  /** The connection has ended by itself. */
  readonly onLost?: () => void;
}

const backOffFirstMs = 25;
const backOffMaxMs = 2000;
/** A statement without an answer for so long is on a connection that nobody answers any more. */
const replyMaxMs = 30_000;

const closedFailure = (): StoreFailure =>
  new StoreFailure("closed", "The PostgreSQL store was closed; open it again to use it.", { outcome: "none", transient: false });

/** One connection to the server, opened anew with back-off whenever it is lost. What was under way fails; what comes then waits for the next one. */
export class Link {
  readonly #options: LinkOptions;
  #session: Session | undefined;
  #opening: Promise<Session> | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Rows as arrays. */
  async rows<Row>(statement: Statement, values: readonly unknown[], effect: "read" | "write"): Promise<readonly Row[]> {
    return (await this.query(statement, values, effect)).rows as readonly Row[];
  }

  async query(statement: Statement, values: readonly unknown[], effect: "read" | "write"): Promise<PostgresResult> {
    const { mask } = this.#options;
    const session = await this.session();
    const query = queryOf({ statement, values });
    const timer = this.#watch(session);
    try {
      return await session.use((client) => {
        if (session.isPooled) return inTransaction(client, query);
        const answer = client.query({ ...query, name: statement.name });
        const { behind } = statement;
        if (behind !== undefined) void client.query({ ...queryOf(behind), name: behind.statement.name }).catch(() => undefined);
        return answer;
      });
    } catch (error) {
      if (isDisconnect(error)) this.#lose(session);
      throw toStoreFailure(error, effect, mask);
    } finally {
      timer.cancel();
    }
  }

  /** The connection, opened if need be. */
  async session(): Promise<Session> {
    if (this.#closed) throw closedFailure();
    if (this.#session !== undefined) return this.#session;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  /** The connection, if there is one. */
  get current(): Session | undefined {
    return this.#session;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const session = this.#session;
    this.#session = undefined;
    await this.#opening?.catch(() => undefined);
    if (session !== undefined) await session.close();
  }

  async #open(): Promise<Session> {
    const { runtime, open, onOpened, mask } = this.#options;
    if (this.#failures > 0) {
      const delayMs = Math.min(backOffMaxMs, backOffFirstMs * 2 ** (this.#failures - 1)) * (0.5 + runtime.random());
      await new Promise<void>((resolve) => void runtime.setTimer(resolve, delayMs, { keepAlive: true }));
    }
    let session: Session | undefined;
    try {
      if (this.#closed) throw closedFailure();
      session = await open();
      await onOpened?.(session);
    } catch (error) {
      this.#failures += 1;
      session?.destroy();
      throw toStoreFailure(error, "nothing", mask);
    }
    if (this.#closed) {
      await session.close();
      throw closedFailure();
    }
    this.#failures = 0;
    const opened = session;
    opened.onEnd(() => this.#lose(opened));
    this.#session = opened;
    return opened;
  }

  #lose(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    session.destroy();
    this.#options.onLost?.();
  }

  #watch(session: Session): TimerHandle {
    return this.#options.runtime.setTimer(() => this.#lose(session), replyMaxMs);
  }
}

const queryOf = ({ statement, values }: NonNullable<Statement["behind"]>): PostgresQuery => ({
  text: statement.text,
  values: [...values],
  rowMode: "array",
  types,
});

/** Behind a transaction pooler, nothing that is set lasts longer than a transaction, and neither does a prepared statement. */
async function inTransaction(client: PostgresClient, query: PostgresQuery): Promise<PostgresResult> {
  await client.query(`BEGIN; ${pinsOf("SET LOCAL")}`);
  let answer: PostgresResult;
  try {
    answer = await client.query(query);
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
  const { command } = await client.query("COMMIT");
  // The COMMIT of a transaction that has failed is answered, successfully, with ROLLBACK.
  if (command !== "COMMIT") throw Object.assign(new Error("the transaction was rolled back"), { code: "40000", severity: "ERROR" });
  return answer;
}
