import { StoreFailure } from "../../backend/index.js";
import type { ErrorCode } from "../../errors.js";

interface Advice {
  readonly code: ErrorCode;
  readonly transient: boolean;
  /** What it means and what to do. */
  readonly text: string;
}

const unavailable = (text: string): Advice => ({ code: "backend_unavailable", transient: true, text });
const failed = (text: string): Advice => ({ code: "backend_failed", transient: false, text });
const full: Advice = { code: "backend_full", transient: true, text: "the server is out of space. Free some; nothing was lost" };
const readonly: Advice = {
  code: "backend_readonly",
  transient: true,
  text: "this server takes no writes. Is it a replica? Give the address of the primary",
};
const tooLarge = failed(
  "a row is larger than the server takes. Raise max_allowed_packet (and innodb_log_file_size with it), or store less",
);
const refused = failed("the server refused the user or the password. Check both, and from where the user may connect");
const noRight = failed(
  "the user lacks a right. It needs SELECT, INSERT, UPDATE and DELETE on the tables; creating them takes a user with CREATE and INDEX, who can run what mysqlSchema() gives",
);

/** By the server's error number. */
const adviceByNumber: Readonly<Record<number, Advice>> = {
  1005: failed("a table could not be created"),
  1020: unavailable("the transaction collided with another one"),
  1021: full,
  1036: readonly,
  1040: unavailable("the server has no connection left. Raise max_connections, or lower the number of workers"),
  1044: noRight,
  1045: refused,
  1049: failed("the database does not exist. Create it, or correct its name"),
  1053: unavailable("the server is shutting down"),
  1114: full,
  1142: noRight,
  1143: noRight,
  1146: failed("a table is missing. Run what mysqlSchema() gives, as a user that may create it"),
  1153: tooLarge,
  1203: unavailable("the user has no connection left. Raise max_user_connections, or lower the number of workers"),
  1205: unavailable("a row is locked for long. Look for a transaction that was left open"),
  1213: unavailable("the transaction collided with another one"),
  1226: unavailable("the user has used up a limit of its account"),
  1227: noRight,
  1290: readonly,
  1317: unavailable("the statement was interrupted"),
  1665: failed("binlog_format is STATEMENT, which does not go with READ COMMITTED. Set it to ROW or MIXED"),
  1698: refused,
  1792: readonly,
  1836: readonly,
  1927: unavailable("the connection was ended on the server"),
  3024: unavailable("the statement took longer than the server allows"),
  3100: unavailable("the cluster refused the commit"),
  1969: unavailable("the statement took longer than the server allows"),
  1047: unavailable("this node of the cluster is not ready"),
};

interface ServerError {
  readonly errno: number;
  readonly sqlState: string;
  readonly code?: string;
}

/** Did the server say so, rather than the network or the driver? */
export const isServerError = (error: unknown): error is ServerError => typeof (error as Partial<ServerError> | null)?.sqlState === "string";

/** Collisions, after which the same transaction as a whole may well succeed. 1020: "record has changed since last read"; 1205: lock wait; 1213: deadlock. */
export const isCollision = (error: unknown): boolean => isServerError(error) && [1020, 1205, 1213].includes(error.errno);

/** Is the connection not to be trusted after this report? */
export const isDisconnect = (error: unknown): boolean =>
  isServerError(error) && (ambiguous.has(error.errno) || misplaced.has(error.errno) || error.errno === 1153);

/** Reports of a server that takes no writes, or is cut off from its cluster: behind the same address there may be another one by now. */
const misplaced = new Set([1047, 1290, 1792, 1836]);

/**
 * Reports that do not say whether a commit that was under way has happened: shutdown, "error during COMMIT", interrupted, connection ended, time limits
 * (which can end the wait for a replica after the commit itself).
 */
const ambiguous = new Set([1053, 1180, 1317, 1927, 1969, 3024, 4031]);

export type Mask = (text: string) => string;

/** Takes what is secret out of texts: errors must not carry it. */
export function maskOf(secrets: readonly string[]): Mask {
  const forms = new Set(secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]).filter((secret) => secret.length > 2));
  return (text) => [...forms].reduce((masked, secret) => masked.replaceAll(secret, "***"), text);
}

/**
 * An error of the driver as the engine's: a stable code, what it means and what to do.
 * @param sent `nothing`: no statement was on its way · `work`: statements without a commit, which a lost connection rolls back · `commit`: without an answer
 * nobody knows
 */
export function toStoreFailure(error: unknown, sent: "nothing" | "work" | "commit", mask: Mask): StoreFailure {
  if (error instanceof StoreFailure) return error;
  const byServer = isServerError(error);
  const advice = byServer ? adviceOf(error) : unavailable("the database is out of reach");
  const outcome = sent === "commit" && (!byServer || ambiguous.has(error.errno)) ? "unknown" : "none";
  const cause = plainCause(error, mask);
  return new StoreFailure(advice.code, `MySQL: ${advice.text} (${byServer ? `${error.errno}: ` : ""}${cause.message}).`, {
    outcome,
    transient: advice.transient || outcome === "unknown",
    cause,
  });
}

function adviceOf(error: ServerError): Advice {
  const known = adviceByNumber[error.errno];
  if (known !== undefined) return known;
  // Class 08: connection; 40: rolled back.
  return error.sqlState.startsWith("08") || error.sqlState.startsWith("40")
    ? unavailable("the connection failed")
    : failed("the server refused a statement");
}

/** A copy without the statement, which holds users' data, and without connection settings. */
function plainCause(error: unknown, mask: Mask): Error {
  const { message, code, errno, sqlState } = error as Readonly<Record<string, unknown>>;
  const parts = (error as { readonly errors?: readonly unknown[] }).errors ?? [];
  const all = [message, ...parts.map((part) => (part as Error).message)].filter((one) => typeof one === "string" && one !== "").join("; ");
  const cause = new Error(mask(all === "" ? String(code ?? error) : all).slice(0, 500));
  cause.name = typeof sqlState === "string" ? "MysqlError" : "ConnectionError";
  const facts = Object.entries({ code, errno, sqlState }).filter(([, value]) => typeof value === "string" || typeof value === "number");
  return Object.assign(cause, Object.fromEntries(facts));
}
