import { StoreFailure } from "../../backend/index.js";
import { PerdureError, type ErrorCode } from "../../errors.js";

interface Advice {
  readonly code: ErrorCode;
  readonly transient: boolean;
  readonly text: string;
}

const unavailable = (text: string): Advice => ({ code: "backend_unavailable", transient: true, text });
const failed = (text: string): Advice => ({ code: "backend_failed", transient: false, text });

/** By SQLSTATE, or by its class (the first two characters). */
const adviceBySqlState: Readonly<Record<string, Advice>> = {
  "08": unavailable("the connection failed"),
  "25006": {
    code: "backend_readonly",
    transient: true,
    text: "this server takes no writes. Is it a standby? Give the address of the primary",
  },
  "28": failed("the server refused the user or the password. Check the user, the password and pg_hba.conf"),
  "3D000": failed("the database does not exist. Create it, or correct its name"),
  "3F000": failed("the schema does not exist. Run what migrationSql() gives, as a user that may create it"),
  "42501": failed(
    "the user lacks a right. It needs USAGE on the schema and SELECT, INSERT, UPDATE, DELETE on its tables; creating them takes a user with CREATE, who can run what migrationSql() gives",
  ),
  "42P01": failed("a table is missing. Run what migrationSql() gives, as a user that may create it"),
  "40": unavailable("the transaction collided with another one"),
  "53": unavailable("the server is out of resources. If this lasts, look at its connections and memory"),
  "53100": { code: "backend_full", transient: true, text: "the server's disk is full. Free some space; nothing was lost" },
  "55P03": unavailable("a row is locked for long. Look for a transaction that was left open"),
  "57014": unavailable("the statement took longer than the server's statement_timeout"),
  "57": unavailable("the server is starting, stopping or ended the connection"),
  "58": unavailable("the server had a system error. Look at its log"),
};

/** Errors at the end of which the server closes the connection: what it was doing may have been committed. */
const endings = new Set(["57P01", "57P02", "57P03", "57P05", "25P03"]);

const sqlStateOf = (error: unknown): string | undefined => {
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === "string" && typeof severity === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
};

export const hasSqlState = (error: unknown, ...states: readonly string[]): boolean => states.includes(sqlStateOf(error) ?? "");

/** Has the connection ended with this error? Then it must be opened anew. */
export function isDisconnect(error: unknown): boolean {
  const state = sqlStateOf(error);
  if (state === undefined) return true;
  return endings.has(state) || state.startsWith("08") || (error as { readonly severity: string }).severity === "FATAL" || state === "25006";
}

export type Mask = (text: string) => string;

/** Takes what is secret out of texts: errors must not carry it. */
export function maskOf(secrets: readonly string[]): Mask {
  const forms = new Set(
    secrets.flatMap((secret) => [secret, encodeURIComponent(secret), decode(secret)]).filter((secret) => secret.length > 2),
  );
  return (text) => [...forms].reduce((masked, secret) => masked.replaceAll(secret, "***"), text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * An error of the driver as the engine's: a stable code, what it means and what to do.
 * @param sent `nothing`: no statement was on its way · `read`: it could write nothing · `write`: without an answer nobody knows
 */
export function toStoreFailure(error: unknown, sent: "nothing" | "read" | "write", mask: Mask): StoreFailure {
  if (error instanceof StoreFailure) return error;
  // What opening a connection found out about the server. It may be another one next time, after a failover.
  if (error instanceof PerdureError)
    return new StoreFailure(error.code, error.message, { outcome: "none", transient: error.code !== "driver_missing" });
  const state = sqlStateOf(error);
  const advice =
    state === undefined
      ? unavailable("the database is out of reach")
      : (adviceBySqlState[state] ?? adviceBySqlState[state.slice(0, 2)] ?? failed("the server refused a statement"));
  // An error report rolls its statement back. Only where the connection ended instead is anything open: also a commit that only waited for a standby.
  const outcome = sent === "write" && (state === undefined || endings.has(state)) ? "unknown" : "none";
  const cause = plainCause(error, state, mask);
  return new StoreFailure(advice.code, `PostgreSQL: ${advice.text} (${state === undefined ? "" : `${state}: `}${cause.message}).`, {
    outcome,
    transient: advice.transient,
    cause,
  });
}

/** A copy that holds no connection settings. */
function plainCause(error: unknown, state: string | undefined, mask: Mask): Error {
  const { message, code, table, constraint, where } = error as Readonly<Record<string, unknown>>;
  // A refused connection to a name with several addresses has only the parts' messages.
  const parts = (error as { readonly errors?: readonly unknown[] }).errors ?? [];
  const text = [message, ...parts.map((part) => (part as Error).message)].filter((one) => typeof one === "string" && one !== "").join("; ");
  const cause = new Error(mask(text === "" ? String(code ?? error) : text));
  cause.name = state === undefined ? "ConnectionError" : "PostgresError";
  const facts = Object.entries({ code, table, constraint, where }).filter(([, value]) => typeof value === "string");
  return Object.assign(cause, Object.fromEntries(facts.map(([key, value]) => [key, mask(value as string)])));
}
