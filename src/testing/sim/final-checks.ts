/** Checked when everything has come to rest: what the store holds, what clients were told and what bodies did, against each other. */
import type { MemoryState, RunRow } from "../../backends/memory/state.js";
import type { ValueCodec } from "../../codec/codec.js";
import { isTerminal } from "../../core/events.js";
import { replayCold, type Replayed } from "./cold-replay.js";
import type { Execution } from "./effect-log.js";
import { sameLine, textOf, type RunModel } from "./online-checker.js";
import type { Tally } from "./tally.js";
import type { Witness } from "./witness.js";

export interface FinalOptions {
  readonly state: MemoryState;
  readonly models: ReadonlyMap<number, RunModel>;
  readonly witness: Witness;
  readonly tally: Tally;
  readonly codec: ValueCodec;
  readonly settle: (callback: () => void) => void;
  readonly startMs: number;
  /** How far processes may be wrong about the store's time, in ms. */
  readonly toleranceMs: number;
}

export async function checkAtRest(options: FinalOptions): Promise<void> {
  for (const row of options.state.runs.values()) {
    const model = options.models.get(row.key);
    if (model === undefined) continue;
    checkHistory(options, row, model);
    checkInbox(options, row, model);
    const replayed = await replayCold(row, options.state.histories.get(row.key) ?? [], options.codec, options.settle);
    checkReplay(options, row, model, replayed);
    checkBodies(options, row, model, replayed);
  }
  checkCalls(options);
}

function checkHistory({ state, witness }: FinalOptions, row: RunRow, model: RunModel): void {
  const history = state.histories.get(row.key) ?? [];
  for (const [index, line] of history.entries()) {
    const committed = model.lines[index];
    if (committed === undefined || !sameLine(line, committed))
      witness.violate("I1", `run ${row.key}: line ${line.seq} changed after it was committed`);
  }
  const terminal = model.envelopes.filter(isTerminal);
  if (terminal.length !== 1) witness.violate("I4", `run ${row.key} (${row.status}) has ${terminal.length} terminal lines`);
  const expected = {
    run_completed: "completed",
    run_failed: "failed",
    run_terminated: "terminated",
    run_continued: "continued",
    run_cancelled: "cancelled",
  }[terminal[0]?.kind ?? "run_completed"];
  if (expected !== row.status) witness.violate("I4", `run ${row.key} is ${row.status} and its last line says ${expected}`);
}

/** Every accepted item was taken once, by the event that names its place, or is still there. */
function checkInbox({ state, witness }: FinalOptions, row: RunRow, model: RunModel): void {
  const delivered = new Map<number, string>();
  const lastByName = new Map<string, number>();
  for (const envelope of model.envelopes) {
    if (envelope.kind !== "message_received" && envelope.kind !== "cancel_requested") continue;
    if (delivered.has(envelope.position)) witness.violate("I6", `run ${row.key}: the item at ${envelope.position} was delivered twice`);
    delivered.set(envelope.position, envelope.kind);
    if (envelope.kind !== "message_received") continue;
    if ((lastByName.get(envelope.name) ?? 0) > envelope.position)
      witness.violate("I7", `run ${row.key}: message ${envelope.name} at ${envelope.position} came after a later one`);
    lastByName.set(envelope.name, envelope.position);
  }
  const unread = new Map((state.inboxes.get(row.chain)?.rows ?? []).filter((item) => !item.consumed).map((item) => [item.position, item]));
  const keys = new Set<string>();
  for (const item of witness.accepted) {
    if (item.runKey !== row.key) continue;
    const where = Number(delivered.has(item.position)) + Number(unread.has(item.position));
    if (item.kind === "message" && where !== 1)
      witness.violate("I6", `run ${row.key}: ${item.payload} at ${item.position} is in ${where} places`);
    if (item.dedupeKey === null) continue;
    if (keys.has(item.dedupeKey)) witness.violate("I7", `run ${row.key}: dedupe key ${item.dedupeKey} was accepted twice`);
    keys.add(item.dedupeKey);
  }
  const wasTold = [...delivered.values()].includes("cancel_requested");
  for (const cancel of witness.accepted) {
    if (cancel.runKey !== row.key || cancel.kind !== "cancel" || wasTold) continue;
    // A run may end by what came before the cancel, but it cannot go on for long without being told.
    const linesSince = model.lines.length - cancel.linesThen;
    if (linesSince > cancel.position + linesInFlight)
      witness.violate("I11", `run ${row.key} accepted a cancel at ${cancel.position}, went on for ${linesSince} lines and was never told`);
  }
}

/** How many events a commit that was under way may have held. */
const linesInFlight = 6;

function checkReplay({ state, witness, codec }: FinalOptions, row: RunRow, model: RunModel, { state: end }: Replayed): void {
  if (end.state === "diverged") return witness.violate("I14", `run ${row.key}: a cold replay differs: ${end.divergence.message}`);
  const last = state.histories.get(row.key)?.at(-1);
  const stored = textOf(last?.payload ?? null);
  if (model.status === "running" || model.status === "parked") return;
  if (end.state !== row.status) return witness.violate("I14", `run ${row.key} is ${row.status}, and a cold replay of it ends ${end.state}`);
  const replayed =
    end.state === "completed" ? end.result : end.state === "failed" || end.state === "cancelled" ? codec.encodeError(end.error) : null;
  const same = end.state === "completed" ? replayed === stored : messageOf(codec, replayed) === messageOf(codec, stored);
  if (!same) witness.violate("I14", `run ${row.key} ended with ${stored}, and a cold replay of it with ${replayed}`);
}

const messageOf = (codec: ValueCodec, text: string | null): string => (text === null ? "" : codec.decodeError(text).message);

/** Bodies ran for what is in the history, after it was, and what was recorded is what one of them gave. */
function checkBodies(options: FinalOptions, row: RunRow, model: RunModel, { observed, seenAtIssue }: Replayed): void {
  const { witness, tally } = options;
  const executions = witness.effects.executions.filter((execution) => execution.runId === row.runId);
  const successes = new Map<string, number>();
  for (const execution of executions) {
    const what = `run ${row.key}: ${execution.kind} ${execution.path} #${execution.id} by ${execution.processName}`;
    if (execution.attempt < 1 || execution.attempt > execution.attemptsMax)
      witness.violate("I8", `${what} is attempt ${execution.attempt} of ${execution.attemptsMax}`);
    if (execution.outcome === "succeeded") successes.set(execution.path, (successes.get(execution.path) ?? 0) + 1);
    if (execution.kind !== "step") continue;
    const seen = seenAtIssue.get(execution.path);
    if (seen === undefined) witness.violate("I14", `${what} ran, and the history does not have it`);
    else if (seen !== execution.seen) witness.violate("I3", `${what} ran on values that are not in the history`);
  }
  checkRetryTimes(options, model, executions);
  for (const count of successes.values()) if (count > 1) tally.count("ranAgain");
  for (const [path, value] of observed) {
    const id = /^x(\d+)$/.exec(value)?.[1];
    if (id === undefined) continue;
    const execution = witness.effects.executions[Number(id) - 1];
    if (execution?.runId !== row.runId || execution.path !== path || execution.outcome !== "succeeded")
      witness.violate("I8", `run ${row.key}: ${path} was recorded with ${value}, which is not what an execution of it gave`);
  }
  if (model.status !== "completed") return;
  if ([...observed.values()].some((value) => value.endsWith("early"))) witness.violate("I17", `run ${row.key}: a sleep ended early`);
}

/** No attempt of a step began before the time that the failure of the one before it was recorded with. */
function checkRetryTimes({ witness, startMs, toleranceMs }: FinalOptions, model: RunModel, executions: readonly Execution[]): void {
  const names = model.envelopes.flatMap((envelope) => ("commands" in envelope ? envelope.commands.map(([, name]) => name) : []));
  for (const envelope of model.envelopes) {
    if (envelope.kind !== "attempt_failed") continue;
    const path = /^step (.*)$/.exec(names[envelope.command - 1] ?? "")?.[1];
    for (const next of executions) {
      if (next.kind !== "step" || next.path !== path || next.attempt !== envelope.attempt + 1) continue;
      const earlyMs = envelope.retryAt - (startMs + next.startedAt);
      if (earlyMs > toleranceMs)
        witness.violate("I17", `run ${model.key}: attempt ${next.attempt} of step ${path} began ${earlyMs} ms early`);
    }
  }
}

function checkCalls(options: FinalOptions): void {
  const { state, witness } = options;
  const byId = new Map([...state.runs.values()].map((row) => [row.workflowId, row]));
  const lastPosition = new Map<string, number>();
  for (const call of witness.calls) {
    const row = byId.get(call.workflowId);
    if (call.type === "start" && call.outcome === "ok" && row?.runId !== call.answer)
      witness.violate(
        "I10",
        `${call.client}.${call.number} was told that ${call.workflowId} is run ${call.answer}, and it is ${row?.runId}`,
      );
    if (row === undefined) continue;
    if (call.type === "send") checkSend(witness, call, row, lastPosition);
    if (
      call.type === "cancel" &&
      call.outcome === "ok" &&
      !witness.accepted.some((item) => item.runKey === row.key && item.kind === "cancel")
    )
      witness.violate("I11", `${call.client}.${call.number}: a cancel was acknowledged and is nowhere`);
    if (call.type === "result" && call.answer !== null) checkResult(options, call, row);
  }
  const ids = [...state.runs.values()].map((row) => row.workflowId);
  if (new Set(ids).size !== ids.length) witness.violate("I10", "two runs share a workflow id");
}

type Call = Witness["calls"][number];

function checkSend(witness: Witness, call: Call, row: RunRow, lastPosition: Map<string, number>): void {
  const mine = (payload: string | null): boolean => payload?.includes(call.value ?? "?") === true;
  const found = witness.accepted.filter((item) => item.runKey === row.key && item.kind === "message" && mine(item.payload));
  const what = `${call.client}.${call.number}: ${call.value}`;
  if (found.length > 1) witness.violate("I7", `${what} was accepted ${found.length} times`);
  if (call.outcome === "ok" && found.length === 0) {
    // With a key of its own choosing the sender may have been beaten to it.
    const beaten =
      call.key !== null && witness.calls.some((other) => other !== call && other.key === call.key && other.workflowId === call.workflowId);
    if (!beaten) witness.violate("I6", `${what} was acknowledged and is nowhere`);
  }
  const refused = call.outcome === "error" && (call.code === "not_running" || call.code === "not_found");
  // One that is still on its way when a second attempt is refused may arrive later: nobody can know.
  if (refused && call.key === null && found.some((item) => item.atMs <= (call.returnedAt ?? 0)))
    witness.violate("I15", `${what} was refused (${call.code}) and accepted`);
  const [item] = found;
  if (item === undefined || call.outcome !== "ok") return;
  const sender = `${call.client} ${call.workflowId}`;
  if ((lastPosition.get(sender) ?? 0) > item.position && call.key === null)
    witness.violate("I7", `${what} went in before what its sender had sent earlier`);
  lastPosition.set(sender, Math.max(item.position, lastPosition.get(sender) ?? 0));
}

function checkResult({ state, witness, codec }: FinalOptions, call: Call, row: RunRow): void {
  const text = textOf(state.histories.get(row.key)?.at(-1)?.payload ?? null) ?? "";
  const stored = row.status === "completed" ? codec.decode(text) : codec.decodeError(text).message;
  const told = call.answer ?? "";
  if (stored !== told)
    witness.violate("I15", `${call.client}.${call.number} was told that ${call.workflowId} gave ${told}, and it gave ${String(stored)}`);
}
