import { StoreFailure } from "../../backend/failures.js";
import { PerdureError, type ErrorCode } from "../../errors.js";
import type { SqliteError, SqlitePrimaryCode } from "./sqlite-error.js";
import { isSqliteError } from "./sqlite-error.js";

interface Advice {
  readonly code: ErrorCode;
  readonly transient: boolean;
  /** What it means and what to do; follows "<path>: ". */
  readonly text: string;
}

const generalAdvice: Advice = { code: "backend_failed", transient: false, text: "SQLite refused an operation" };

const adviceByFamily: Partial<Record<SqlitePrimaryCode, Advice>> = {
  SQLITE_BUSY: {
    code: "backend_unavailable",
    transient: true,
    text: "another process keeps the database locked. Look for a program that has a transaction open on it",
  },
  SQLITE_LOCKED: {
    code: "backend_unavailable",
    transient: true,
    text: "another connection keeps the database locked. Look for a transaction that is left open",
  },
  SQLITE_PROTOCOL: {
    code: "backend_unavailable",
    transient: true,
    text: "the lock protocol failed. Is the file on a network file system? Put it on a local disk",
  },
  SQLITE_FULL: { code: "backend_full", transient: true, text: "the disk (or its quota) is full. Free some space; nothing was lost" },
  SQLITE_READONLY: {
    code: "backend_readonly",
    transient: false,
    text: "the database cannot be written. Check the permissions of the file and of its folder, and that the disk is not mounted read-only",
  },
  SQLITE_PERM: {
    code: "backend_readonly",
    transient: false,
    text: "access is denied. Check the permissions of the file and of its folder",
  },
  SQLITE_AUTH: { code: "backend_readonly", transient: false, text: "access is denied" },
  SQLITE_CANTOPEN: {
    code: "backend_failed",
    transient: false,
    text: "the file cannot be opened. Check that the folder exists, that the path is not a folder itself, and the permissions",
  },
  SQLITE_IOERR: {
    code: "backend_failed",
    transient: true,
    text: "the disk reported an error. Check the disk and the system log; the engine opens the file anew and finds out what was written",
  },
  SQLITE_CORRUPT: {
    code: "backend_failed",
    transient: false,
    text: "the database is damaged. Stop all workers, keep a copy, and restore a backup or try `sqlite3 <file> .recover`",
  },
  SQLITE_NOTADB: {
    code: "backend_mismatch",
    transient: false,
    text: "the file is not a SQLite database (or is encrypted). Choose another path",
  },
  SQLITE_NOMEM: { code: "backend_failed", transient: true, text: "SQLite ran out of memory" },
};

/**
 * A SQLite error as the engine's error: a stable code, what it means and what to do. Anything else is returned as it is.
 * @param outcome `unknown` if writes of the call may have happened.
 */
export function toStoreFailure(error: unknown, path: string, outcome: "none" | "unknown" = "none"): unknown {
  if (!isSqliteError(error)) return error;
  const advice = movedAdvice(error) ?? adviceByFamily[error.primary] ?? generalAdvice;
  return new StoreFailure(advice.code, `${path}: ${advice.text} (${error.code}: ${error.message}).`, {
    outcome,
    transient: advice.transient,
    cause: error,
  });
}

/** Whatever went wrong, as the engine understands it: what is not SQLite's is a bug of ours, found before anything was committed. */
export function asStoreFailure(error: unknown, path: string): StoreFailure {
  const failure = toStoreFailure(error, path);
  if (failure instanceof StoreFailure) return failure;
  if (failure instanceof PerdureError)
    return new StoreFailure(failure.code, failure.message, { outcome: "none", transient: false, cause: failure });
  return new StoreFailure("internal", `${path}: the store failed in an unforeseen way; nothing was written. Please report it.`, {
    outcome: "none",
    transient: false,
    cause: error,
  });
}

function movedAdvice(error: SqliteError): Advice | undefined {
  return error.code === "SQLITE_READONLY_DBMOVED"
    ? { code: "backend_mismatch", transient: false, text: "the file was moved or deleted while in use. Put it back and restart" }
    : undefined;
}
