/** What `apply_1` answers, as outcomes. */
import { StoreFailure, type ClaimedRun, type Operation, type Outcome } from "../../backend/index.js";
import { outcomeCodes } from "./codes.js";
import { claimedRunOf, recordOf } from "./values.js";

/** Columns: x, code, n, k, w, made_at, extra. */
export type AppliedRow = readonly [
  x: number,
  code: number,
  n: number | null,
  k: number | null,
  w: number | null,
  madeAt: number | null,
  extra: string | null,
];

/** The outcome of a row; undefined for an operation that is to be done again, waiting. */
export function outcomeOf([, code, n, k, w, madeAt, extra]: AppliedRow): Outcome | undefined {
  switch (code) {
    case outcomeCodes.committed:
      return { status: "committed", owned: w !== null, inboxCount: n ?? 0, continued: claimedOf(extra) };
    case outcomeCodes.fenced:
      return { status: "fenced" };
    case outcomeCodes.unseenInbox:
      return { status: "unseen_inbox", inboxCount: n ?? 0 };
    case outcomeCodes.locked:
      return { status: "locked" };
    case outcomeCodes.started:
      return { status: "started", key: k ?? 0, createdAt: madeAt ?? 0, owned: w !== null, inboxCount: n ?? 0 };
    case outcomeCodes.exists:
      return { status: "exists", run: recordOf(parse(extra)) };
    case outcomeCodes.sent:
      return { status: "sent", key: k ?? 0, position: n ?? 0, claimed: claimedOf(extra), owner: w };
    case outcomeCodes.finished:
      return { status: "finished", runKey: k ?? 0, position: n ?? 0, claimed: claimedOf(extra), owner: w };
    case outcomeCodes.duplicate:
      return { status: "duplicate" };
    case outcomeCodes.notRunning:
      return { status: "not_running" };
    case outcomeCodes.notFound:
      return { status: "not_found" };
    case outcomeCodes.gone:
      return { status: "gone" };
    case outcomeCodes.resumed:
      return { status: "resumed" };
    case outcomeCodes.notParked:
      return { status: "not_parked" };
    case outcomeCodes.touched:
      return { status: "touched", cancelRequested: n === 1 };
    case outcomeCodes.appended:
      return { status: "appended" };
    case outcomeCodes.terminated:
      return { status: "terminated", key: k ?? 0, runId: claimedRunOf(parse(extra)).runId };
    case outcomeCodes.deferred:
      return undefined;
    default:
      throw new StoreFailure("backend_failed", `PostgreSQL gave an outcome of an unknown kind (${code}).`, {
        outcome: "unknown",
        transient: false,
      });
  }
}

/** The outcome of an operation of which nothing was said. */
export function usualOutcome(operation: Operation | undefined): Outcome {
  if (operation?.type === "turn") {
    const { next, inboxSeen } = operation.effects;
    return { status: "committed", owned: next.state === "driving", inboxCount: inboxSeen, continued: null };
  }
  throw new StoreFailure("backend_failed", "PostgreSQL gave no outcome of an operation.", { outcome: "unknown", transient: false });
}

const parse = (extra: string | null): readonly unknown[] => JSON.parse(extra ?? "[]") as readonly unknown[];
const claimedOf = (extra: string | null): ClaimedRun | null => (extra === null ? null : claimedRunOf(parse(extra)));
