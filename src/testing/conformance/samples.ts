/** Operations to try a store with: valid as they are, each part replaceable. */
import type {
  AppendOperation,
  Effects,
  FinishTaskOperation,
  HistoryRecord,
  InboxItem,
  NewChunk,
  NewRun,
  NewTask,
  NextState,
  ParkReason,
  Payload,
  Pulse,
  RunKey,
  SendOperation,
  StartOperation,
  TerminateOperation,
  Termination,
  TouchTaskOperation,
  TurnOperation,
} from "../../backend/index.js";
import { noEffects } from "../../backend/no-effects.js";

export const hourMs = 3_600_000;

/** What a worker is told while there is nothing to do. */
export const quietPulse: Pulse = {
  isAlive: true,
  ownsAny: false,
  othersOwn: false,
  nextRunDueAt: null,
  nextTaskDueAt: null,
  hasCasualties: false,
  hasExpired: false,
};

export function sampleRun(overrides: Partial<NewRun> & { readonly workflowId: string }): NewRun {
  return {
    runId: `run-of-${overrides.workflowId}`,
    name: "order",
    // As the engine makes it where neither queue nor version matter.
    route: overrides.name ?? "order",
    version: "v1",
    engineVersion: 1,
    inputHash: "hash",
    deadlineAt: null,
    parentRunId: null,
    options: null,
    ...overrides,
  };
}

export function startOf(run: NewRun, overrides: Partial<StartOperation> = {}): StartOperation {
  return {
    type: "start",
    run,
    input: '{"the":"input"}',
    messages: [],
    dueAt: null,
    reuse: "never",
    terminates: null,
    attributes: [],
    eager: null,
    ...overrides,
  };
}

export function lineOf(seq: number, overrides: Partial<HistoryRecord> = {}): HistoryRecord {
  return {
    seq,
    at: 1_700_000_000_000 + seq,
    event: `{"kind":"operation_completed","command":${seq}}`,
    payload: `"line ${seq}"`,
    ...overrides,
  };
}

export function effectsOf(next: NextState, overrides: Partial<Effects> = {}): Effects {
  return { ...noEffects, inboxSeen: 0, next, ...overrides };
}

export const driving: NextState = { state: "driving" };
export const completed: NextState = { state: "ended", status: "completed" };
export const idle = (dueAt: number | null = null): NextState => ({ state: "idle", dueAt });
export const parked = (
  dueAt: number | null = null,
  reason: ParkReason = { code: "nondeterminism", message: "does not fit" },
): NextState => ({
  state: "parked",
  reason,
  dueAt,
});

/** The chain goes on with `run`: at once, unless told otherwise. */
export const continued = (run: NewRun, dueAt: number | null = null, input: Payload = '"goes on"'): NextState => ({
  state: "continued",
  run,
  input,
  dueAt,
});

/** What a worker knows about a run that it drives; `claimRuns` and the eager start give it. */
export interface Held {
  readonly key: RunKey;
  readonly epoch: number;
  readonly lastSeq: number;
  readonly inboxCount: number;
}

/** A turn with one new line, by a driver that has seen the whole inbox as far as it was told of it. */
export function turnOf(held: Held, next: NextState, overrides: Partial<Effects> = {}): TurnOperation {
  const effects = effectsOf(next, { events: [lineOf(held.lastSeq + 1)], inboxSeen: held.inboxCount, ...overrides });
  return { type: "turn", key: held.key, epoch: held.epoch, lastSeq: held.lastSeq, effects };
}

/** The run as its driver knows it after a turn was committed. */
export function afterTurn(held: Held, turn: TurnOperation, outcome: { readonly inboxCount: number }): Held {
  return { ...held, lastSeq: held.lastSeq + turn.effects.events.length, inboxCount: outcome.inboxCount };
}

export function messageOf(payload: Payload | null, name = "note"): InboxItem {
  return { kind: "message", name, command: null, attempt: null, payload, options: null };
}

export const cancelItem: InboxItem = { kind: "cancel", name: "", command: null, attempt: null, payload: '"enough"', options: null };

export function sendOf(
  target: SendOperation["target"],
  dedupeKey: string,
  overrides: Partial<Omit<SendOperation, "type" | "target" | "dedupeKey">> = {},
): SendOperation {
  return { type: "send", target, item: messageOf(`"${dedupeKey}"`), dedupeKey, claimFor: null, ...overrides };
}

export function taskOf(command: number, overrides: Partial<NewTask> = {}): NewTask {
  return {
    command,
    name: "charge",
    route: overrides.name ?? "charge",
    attempt: 1,
    input: `{"command":${command}}`,
    options: '{"timeoutMs":1000}',
    dueAt: 0,
    expiresAt: null,
    heartbeatMs: null,
    details: null,
    ...overrides,
  };
}

export function finishOf(
  task: { readonly key: number; readonly epoch: number },
  overrides: Partial<FinishTaskOperation> = {},
): FinishTaskOperation {
  return {
    type: "finish_task",
    task: { key: task.key, epoch: task.epoch },
    kind: "activity_completed",
    payload: '"paid"',
    claimFor: null,
    ...overrides,
  };
}

export function touchOf(
  task: { readonly key: number; readonly epoch: number },
  overrides: Partial<TouchTaskOperation> = {},
): TouchTaskOperation {
  return { type: "touch_task", key: task.key, epoch: task.epoch, details: null, detach: false, ...overrides };
}

export function chunkOf(writer: string, number: number, payload: Payload | null, overrides: Partial<NewChunk> = {}): NewChunk {
  return { stream: "log", writer, number, restartAt: null, payload, ...overrides };
}

export const appendOf = (on: AppendOperation["on"], chunks: readonly NewChunk[]): AppendOperation => ({ type: "append", on, chunks });

export function terminationOf(overrides: Partial<Termination> = {}): Termination {
  return { event: '{"kind":"run_terminated"}', payload: '"by force"', tasks: [], ...overrides };
}

export const terminateOf = (target: TerminateOperation["target"], overrides: Partial<Termination> = {}): TerminateOperation => ({
  type: "terminate",
  target,
  termination: terminationOf(overrides),
});
