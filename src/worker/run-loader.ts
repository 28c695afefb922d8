import type { AnyWorkflow } from "../api/definition-types.js";
import type { Store } from "../backend/backend.js";
import type { ClaimedRun, HistoryRecord, InboxRecord } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import { readEnvelope } from "../core/events.js";
import { replayHistory, type HistoryLine } from "../core/replay.js";
import type { RunFacts } from "../core/machine-options.js";
import { RunMachine } from "../core/run-machine.js";
import type { TurnState } from "../core/turn-result.js";
import { insideBody } from "../platform/code-mark.js";
import type { Runtime } from "../platform/runtime.js";
import { expiredError } from "../core/timeouts.js";
import { readFailure } from "./attempt-failure.js";
import type { Guard } from "./guard.js";
import type { Interceptors } from "./interceptors.js";
import type { Mail } from "./next-event.js";
import { fieldOfEvent, fieldOfItem } from "./payload-fields.js";
import { readRunOptions } from "./run-options.js";

export interface LoaderOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly guard: Guard;
  readonly interceptors: Interceptors;
}

/** Lines per read of a long history. */
const pageLines = 1000;

export interface LoadedRun {
  readonly machine: RunMachine;
  readonly lastAt: number;
  /** The encoded input; empty if the run has not begun. */
  readonly inputText: string;
  /** Where the code stands after the last line; anything but `waiting` means that it no longer fits. */
  readonly state: TurnState;
}

export function factsOf(run: Pick<ClaimedRun, "workflowId" | "runId" | "name" | "version" | "deadlineAt" | "options">): RunFacts {
  const { attempt = 1, headers } = readRunOptions(run.options);
  const { workflowId: id, runId, name, version, deadlineAt } = run;
  return { id, runId, name, version: version ?? undefined, attempt, deadlineAt, headers };
}

export function makeMachine(
  options: Pick<LoaderOptions, "codec" | "guard" | "interceptors">,
  definition: AnyWorkflow,
  facts: RunFacts,
  onFrozen: () => void,
): RunMachine {
  const { codec, interceptors } = options;
  const { outbound } = interceptors;
  const machine: RunMachine = new RunMachine({
    run: (ctx, input) => interceptors.workflow(facts, ctx, input, definition.run),
    facts,
    encode: (value, what) => codec.encode(value, what),
    encodeError: (error) => codec.encodeError(error),
    ...(outbound !== undefined && { outbound: (call) => outbound(facts, call) }),
    enter: (call) => options.guard.enter(machine, call),
    insideBody,
    onFrozen,
  });
  return machine;
}

/** Reads a run's history and brings a fresh machine to where it ends. Rejects with `undecodable` if a line cannot be read. */
export async function loadRun(
  options: LoaderOptions,
  claimed: ClaimedRun,
  definition: AnyWorkflow,
  onFrozen: () => void,
): Promise<LoadedRun> {
  const { runtime, codec } = options;
  const lines = await readLines(options, claimed);
  const machine = makeMachine(options, definition, factsOf(claimed), onFrozen);
  if (lines.length === 0) return { machine, lastAt: claimed.createdAt, inputText: "", state: { state: "waiting" } };
  let close = (): void => {};
  const drain = (callback: () => void): void =>
    runtime.drain(() => {
      close();
      close = options.guard.bracket([{ machine }]);
      callback();
    });
  const breathe = (callback: () => void): void => {
    close();
    close = () => {};
    runtime.yieldToLoop(() => drain(callback));
  };
  const state = await replayHistory({ machine, lines, decode: (line) => decodeLine(codec, line), drain, breathe }).finally(() => close());
  return { machine, lastAt: lines.at(-1)?.at ?? claimed.createdAt, inputText: lines[0]?.text ?? "", state };
}

async function readLines(options: LoaderOptions, claimed: ClaimedRun): Promise<HistoryLine[]> {
  const { store, codec } = options;
  const lines: HistoryLine[] = [];
  while (lines.length < claimed.lastSeq) {
    const page = await store.loadHistory({ key: claimed.key, fromSeq: lines.length + 1, limit: pageLines });
    if (page.length === 0) break;
    if (codec.sync) for (const record of page) lines.push(lineOf(codec, claimed.workflowId, record));
    else lines.push(...(await openLines(codec, claimed.workflowId, page)));
  }
  // Going on from an earlier line would do again what is recorded, and record it twice.
  if (lines.length < claimed.lastSeq) {
    throw new Error(
      `The store gave ${lines.length} of the ${claimed.lastSeq} lines of the history. Does a proxy send reads to a replica? All connections must reach one server.`,
    );
  }
  return lines;
}

function lineOf(codec: Codec, workflowId: string, record: HistoryRecord): HistoryLine {
  const envelope = readEnvelope(record.event);
  const text = record.payload === null ? null : codec.openSync(record.payload, { workflowId, field: fieldOfEvent(envelope) });
  return { seq: record.seq, at: record.at, envelope, text };
}

async function openLines(codec: Codec, workflowId: string, records: readonly HistoryRecord[]): Promise<HistoryLine[]> {
  const lines = records.map((record) => ({
    seq: record.seq,
    at: record.at,
    envelope: readEnvelope(record.event),
    payload: record.payload,
  }));
  const sealed = lines.flatMap(({ envelope, payload }) =>
    payload === null ? [] : [{ payload, context: { workflowId, field: fieldOfEvent(envelope) } }],
  );
  const texts = (await codec.openAll(sealed)).values();
  return lines.map(({ seq, at, envelope, payload }) => ({
    seq,
    at,
    envelope,
    text: payload === null ? null : (texts.next().value ?? null),
  }));
}

/** The user data of a line, as its turn delivers it. */
export function decodeLine(codec: Codec, { envelope, text }: HistoryLine): unknown {
  if (envelope.kind === "attempt_failed") return undefined;
  if (envelope.kind === "operation_failed")
    return envelope.expired === undefined ? codec.decodeError(readFailure(text ?? "").error) : expiredError(envelope.expired);
  return text === null ? undefined : codec.decode(text);
}

/** Opens the payloads of inbox items. */
export async function openMail(codec: Codec, workflowId: string, records: readonly InboxRecord[]): Promise<Mail[]> {
  const contextOf = (record: InboxRecord) => ({ workflowId, field: fieldOfItem(record) });
  if (codec.sync)
    return records.map((record) => ({ record, text: record.payload === null ? null : codec.openSync(record.payload, contextOf(record)) }));
  const sealed = records.flatMap((record) => (record.payload === null ? [] : [{ payload: record.payload, context: contextOf(record) }]));
  const texts = (await codec.openAll(sealed)).values();
  return records.map((record) => ({ record, text: record.payload === null ? null : (texts.next().value ?? null) }));
}
