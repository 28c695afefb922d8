import type { HistoryRecord, RunRecord } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { isTerminal, readEnvelope, type CommandKind, type EventEnvelope } from "../core/events.js";
import { readAttribute } from "../core/attributes.js";
import { expiredError } from "../core/timeouts.js";
import { readFailure } from "../worker/attempt-failure.js";
import { fieldOfEvent } from "../worker/payload-fields.js";
import { readRunOptions } from "../worker/run-options.js";
import { PerdureError } from "../errors.js";
import type { ErrorInfo, Filter, RunInfo, RunStatus, WaitingFor } from "./client-types.js";
import { checkOptions } from "./define-checks.js";
import type { HistoryEvent } from "./history-types.js";

const statuses: Readonly<Record<RunStatus, true>> = {
  pending: true,
  running: true,
  sleeping: true,
  waiting: true,
  parked: true,
  completed: true,
  failed: true,
  cancelled: true,
  terminated: true,
  continued: true,
};

/** The statuses that a filter asks for; undefined for all. @throws PerdureError `invalid_argument` */
export function checkFilter(filter: Filter): ReadonlySet<RunStatus> | undefined {
  checkOptions(filter, "list", ["name", "status", "idPrefix", "attributes", "limit"]);
  const { status, limit } = filter;
  if (limit !== undefined && limit !== Infinity && !(Number.isInteger(limit) && limit >= 0)) {
    throw new PerdureError(
      "invalid_argument",
      `The option limit of list is ${JSON.stringify(limit) ?? String(limit)}. Give a whole number from 0.`,
    );
  }
  if (status === undefined) return undefined;
  const wanted = new Set([status].flat());
  for (const one of wanted) {
    if (!Object.hasOwn(statuses, one)) {
      throw new PerdureError(
        "invalid_argument",
        `list knows no status ${JSON.stringify(one) ?? String(one)}. There are ${Object.keys(statuses).join(", ")}.`,
      );
    }
  }
  return wanted;
}

/** Where a run is, as far as its row tells. */
export function statusOf(run: RunRecord, nowMs: number): RunStatus {
  switch (run.status) {
    case "running":
      if (run.ownerId !== null) return "running";
      if (run.dueAt === null) return "waiting";
      return run.dueAt > nowMs ? "sleeping" : "pending";
    default:
      return run.status;
  }
}

/** What the row alone says; what a run waits for needs its history. */
export function infoOf(run: RunRecord, nowMs: number): RunInfo {
  const { attempt = 1, parent } = readRunOptions(run.options);
  return {
    id: run.workflowId,
    runId: run.runId,
    name: run.name,
    version: run.version ?? undefined,
    status: statusOf(run, nowMs),
    attempt,
    createdAt: new Date(run.createdAt),
    startAt: run.lastSeq === 0 && run.dueAt !== null && run.dueAt > nowMs ? new Date(run.dueAt) : undefined,
    deadline: run.deadlineAt === null ? undefined : new Date(run.deadlineAt),
    endedAt: run.endedAt === null ? undefined : new Date(run.endedAt),
    historyLength: run.lastSeq,
    unreadMessages: run.inboxUnread,
    waitingFor: [],
    worker: run.ownerId === null ? undefined : { id: run.ownerId },
    crashCount: run.crashCount,
    parked: run.parkReason === null ? undefined : run.parkReason,
    attributes: Object.fromEntries(run.attributes.flatMap(({ name, value }) => (value === null ? [] : [[name, readAttribute(value)]]))),
    parent: parent === undefined ? undefined : { id: parent.id, runId: parent.runId },
  };
}

/** The lines of a history, decoded for people and programs. */
export async function readHistory(codec: Codec, workflowId: string, records: readonly HistoryRecord[]): Promise<HistoryEvent[]> {
  const envelopes = records.map((record) => readEnvelope(record.event));
  let number = 0;
  const events: HistoryEvent[] = [];
  for (const [index, record] of records.entries()) {
    const envelope = envelopes[index] as EventEnvelope;
    const text = record.payload === null ? undefined : await codec.open(record.payload, { workflowId, field: fieldOfEvent(envelope) });
    events.push({
      seq: record.seq,
      at: new Date(record.at),
      kind: envelope.kind,
      command: "command" in envelope ? envelope.command : undefined,
      name: "name" in envelope ? envelope.name : undefined,
      attempt: "attempt" in envelope ? envelope.attempt : undefined,
      retryAt: "retryAt" in envelope ? new Date(envelope.retryAt) : undefined,
      updateId: envelope.kind === "update_accepted" ? envelope.id : undefined,
      nextRunId: envelope.kind === "run_continued" ? envelope.runId : undefined,
      data: dataOf(codec, envelope, text),
      commands: isTerminal(envelope)
        ? []
        : envelope.commands.map(([kind, name, dueAt]) => ({
            number: ++number,
            kind,
            name,
            dueAt: dueAt === undefined ? undefined : new Date(dueAt),
          })),
      withdrawn: isTerminal(envelope) ? undefined : envelope.withdrawn,
    });
  }
  return events;
}

function dataOf(codec: Codec, envelope: EventEnvelope, text: string | undefined): unknown {
  if ("expired" in envelope && envelope.expired !== undefined) return expiredError(envelope.expired);
  if (text === undefined) return undefined;
  return isFailure(envelope) ? codec.decodeError(readFailure(text).error) : codec.decode(text);
}

const isFailure = (envelope: EventEnvelope): boolean =>
  envelope.kind === "operation_failed" ||
  envelope.kind === "attempt_failed" ||
  envelope.kind === "run_failed" ||
  envelope.kind === "run_cancelled" ||
  envelope.kind === "run_terminated" ||
  envelope.kind === "run_continued";

/** What a command makes its run wait for; undefined for those that wait for nothing of their own. */
const waitKinds: Readonly<Record<CommandKind, WaitingFor["kind"] | undefined>> = {
  step: "step",
  activity: "activity",
  transaction: "transaction",
  child: "child",
  child_result: "timer",
  send: "run",
  cancel_run: "run",
  patch: undefined,
  sleep: "timer",
  scope_timeout: "timer",
  receive: "message",
};

/** What a history says that its run is waiting for: operations that were asked for and have not settled. */
export function waitsOf(events: readonly HistoryEvent[]): WaitingFor[] {
  const waits = new Map<number, WaitingFor>();
  for (const event of events) {
    if (event.command !== undefined) {
      const wait = waits.get(event.command);
      // What has begun goes on.
      if (event.kind !== "attempt_failed" && event.kind !== "operation_started") waits.delete(event.command);
      else if (wait !== undefined && event.kind === "attempt_failed")
        waits.set(event.command, { ...wait, attempt: (event.attempt ?? 0) + 1, until: event.retryAt, lastError: errorInfo(event.data) });
    }
    for (const { number, kind, name, dueAt } of event.commands) {
      const waitKind = waitKinds[kind];
      if (waitKind === undefined) continue;
      const attempt = kind === "step" || kind === "activity" ? 1 : undefined;
      waits.set(number, { kind: waitKind, name: name === "" ? undefined : name, since: event.at, until: dueAt, attempt });
    }
    // After its commands: a turn may give up what it has just asked for.
    for (const number of event.withdrawn ?? []) waits.delete(number);
  }
  return [...waits.values()];
}

export function errorInfo(error: unknown): ErrorInfo {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const code = (error as { code?: unknown }).code;
  return { name: error.name, message: error.message, code: typeof code === "string" ? code : undefined };
}
