import { StoreFailure } from "../../backend/index.js";
import type { Runtime } from "../../platform/runtime.js";
import type { MysqlConnection } from "./driver.js";

export type Row = readonly unknown[];

/** The answers of some statements: the rows of each that gives rows, and how many rows each other one affected. */
export interface Answer {
  readonly rows: readonly Row[];
  readonly affected: number;
  readonly insertId: number;
}

/** What those who wait for an answer get when the connection is lost without an error of the driver's. */
export class ConnectionLost extends Error {
  readonly code = "CONNECTION_LOST";
}

/**
 * One connection with the settings that the store relies on. It belongs to the store alone as long as it lasts, also when it came from an application's pool:
 * the application never meets these settings, and nobody else changes them.
 */
export class Session {
  readonly #connection: MysqlConnection;
  readonly #runtime: Pick<Runtime, "setTimer">;
  #bytesMax = 1 << 20;
  #takesMany = true;
  #lost: unknown;
  #isLost = false;
  readonly #onLost: (() => void)[] = [];
  readonly #waiting = new Set<(error: unknown) => void>();
  /**
   * Do session locks say who lives? Not if a pooler lends the connection, nor on the nodes of a cluster: each keeps its locks to itself, and a worker whose
   * connection went over to another node has not died.
   */
  hasTellingLocks = false;

  constructor(connection: MysqlConnection, runtime: Pick<Runtime, "setTimer">) {
    this.#connection = connection;
    this.#runtime = runtime;
    const lose = (error: unknown): void => this.#lose(error);
    connection.on("error", lose);
    connection.on("end", () => lose(new ConnectionLost("the connection was closed")));
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  onLost(callback: () => void): void {
    if (this.#isLost) callback();
    else this.#onLost.push(callback);
  }

  /** Learns what the server takes in one packet. @throws what the server says */
  async prepare(settings: readonly string[]): Promise<readonly Row[]> {
    const direct = (await this.#ask("SELECT CONNECTION_ID(), @@max_allowed_packet", 1))[0]?.rows[0] ?? [];
    const [, isClustered] = (await this.#ask("SHOW VARIABLES LIKE 'wsrep_on'", 1))[0]?.rows[0] ?? [];
    // What any node has acknowledged is seen here: of two connections through a proxy, the one that reads may go to another node than the one that claimed.
    if (isClustered === "ON") await this.#ask("SET SESSION wsrep_sync_wait=1", 1);
    this.hasTellingLocks = Number(direct[0]) === this.#connection.threadId && isClustered !== "ON";
    this.#bytesMax = Number(direct[1]) - 1024;
    try {
      await this.#ask("SELECT 1;SELECT 2", 2);
    } catch (error) {
      if (this.#isLost) throw error;
      this.#takesMany = false;
    }
    const answers = await this.run(settings);
    return answers.at(-1)?.rows ?? [];
  }

  /** Runs statements in order; what one of them throws keeps the later ones from running. */
  async run(statements: readonly string[], timeoutMs = 60_000): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    // A character of UTF-16 is up to three bytes of UTF-8.
    const lengthMax = Math.min(4 << 20, Math.floor(this.#bytesMax / 3));
    for (let index = 0; index < statements.length;) {
      let sql = statements[index] ?? "";
      let count = 1;
      for (; this.#takesMany && index + count < statements.length; count += 1) {
        const next = statements[index + count] ?? "";
        if (sql.length + next.length >= lengthMax) break;
        sql += `;${next}`;
      }
      index += count;
      // The server would close the connection, and nobody would know why.
      if (sql.length > lengthMax && Buffer.byteLength(sql) > this.#bytesMax) throw tooLarge(this.#bytesMax);
      answers.push(...(await this.#ask(sql, count, timeoutMs)));
    }
    return answers;
  }

  destroy(): void {
    this.#lose(new ConnectionLost("the connection was closed"));
    this.#connection.destroy();
  }

  #ask(sql: string, count: number, timeoutMs = 10_000): Promise<readonly Answer[]> {
    return new Promise((resolve, reject) => {
      if (this.#isLost) return reject(this.#lost);
      const timer = this.#runtime.setTimer(() => {
        // The server notices that its client is gone, and rolls back.
        this.#lose(new ConnectionLost(`no answer within ${timeoutMs} ms`));
        this.#connection.destroy();
      }, timeoutMs);
      const fail = (error: unknown): void => {
        timer.cancel();
        this.#waiting.delete(fail);
        reject(error);
      };
      this.#waiting.add(fail);
      this.#connection.query({ sql, rowsAsArray: true }, (error, result) => {
        if (error !== null && error !== undefined) {
          const { fatal } = error as { readonly fatal?: boolean };
          if (fatal === true) this.#lose(error);
          return fail(error);
        }
        timer.cancel();
        this.#waiting.delete(fail);
        resolve(count === 1 ? [answerOf(result)] : (result as readonly unknown[]).map(answerOf));
      });
    });
  }

  #lose(error: unknown): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#lost = error;
    // The driver forgets those who wait when a connection is destroyed.
    for (const fail of [...this.#waiting]) fail(error);
    for (const callback of this.#onLost.splice(0)) callback();
  }
}

/** Rows, or what a statement without rows did. */
export function answerOf(result: unknown): Answer {
  if (Array.isArray(result)) return { rows: result as Row[], affected: 0, insertId: 0 };
  const { affectedRows = 0, insertId = 0 } = result as { readonly affectedRows?: number; readonly insertId?: number };
  return { rows: [], affected: Number(affectedRows), insertId: Number(insertId) };
}

export const tooLarge = (bytesMax: number): StoreFailure =>
  new StoreFailure(
    "backend_failed",
    `MySQL: a row is larger than the ${bytesMax} bytes that the server takes. Raise max_allowed_packet (and innodb_log_file_size with it), or store less.`,
    { outcome: "none", transient: false },
  );
