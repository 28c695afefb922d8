/**
 * What the store needs of a SQLite library, and no more. One file under `drivers/` adapts each library and hides its habits, so that everywhere else:
 * - booleans bind as 0 and 1, `undefined` as NULL; NaN, infinities and integers beyond ±(2^53 - 1) are refused, both ways, never rounded;
 * - a row is a plain object of its columns, a missing row is `undefined`, a blob is a `Uint8Array`;
 * - every failure is a {@link SqliteError};
 * - a closed connection refuses work (two of the libraries go on serving prepared statements after `close`).
 *
 * Two differences remain for the SQL to avoid. Numbers may be bound as REAL even when they are integers: compare and store them in INTEGER columns, or CAST them. One library cuts text at NUL:
 * text must not contain it.
 */
export interface SqliteDriver {
  readonly name: SqliteDriverName;
  /** Opens (and, unless told otherwise, creates) a database file. Sets no pragma. */
  open(path: string, options?: SqliteOpenOptions): SqliteConnection;
}

export interface SqliteOpenOptions {
  /** Open for reading only. Default: false. */
  readonly readOnly?: boolean;
}

export type SqliteDriverName = "bun:sqlite" | "node:sqlite" | "better-sqlite3" | "libsql";

export interface SqliteConnection {
  readonly driverName: SqliteDriverName;
  /** Is a transaction open on this connection? */
  readonly inTransaction: boolean;
  /** Compiles one statement. Keep it and run it often; it lives as long as the connection. */
  prepare(sql: string): SqliteStatement;
  /** Runs statements without parameters whose rows nobody wants. */
  exec(sql: string): void;
  /** Rolls back what is open and gives the file back. Closing twice is fine. */
  close(): void;
}

export interface SqliteStatement {
  /** Executes and returns the number of rows inserted, changed or deleted. */
  run(params?: readonly SqliteParam[]): number;
  /** Executes and returns the first row. */
  get<Row = SqliteRow>(params?: readonly SqliteParam[]): Row | undefined;
  /** Executes and returns all rows. */
  all<Row = SqliteRow>(params?: readonly SqliteParam[]): Row[];
}

export type SqliteValue = string | number | Uint8Array | null;
export type SqliteParam = SqliteValue | boolean | bigint | undefined;
export type SqliteRow = Record<string, SqliteValue>;
