/** Runs that could move and do not: found by replaying what they wait for, and told with everything that explains them. */
import type { MemoryState, RunRow } from "../../backends/memory/state.js";
import { isOpen } from "../../backend/records.js";
import type { ValueCodec } from "../../codec/codec.js";
import { childRunId } from "../../worker/outgoing.js";
import { replayCold } from "./cold-replay.js";

export interface StuckOptions {
  readonly state: MemoryState;
  readonly codec: ValueCodec;
  readonly settle: (callback: () => void) => void;
  readonly nowMs: number;
  /** Runs that moved less than this long ago are left alone. */
  readonly patienceMs: number;
}

/** A line for each open run that has not moved for a while although something is there for it to do. */
export async function findStuck(options: StuckOptions): Promise<readonly string[]> {
  const found: string[] = [];
  for (const row of options.state.runs.values()) {
    if (!isOpen(row.status)) continue;
    const why = await whyStuck(options, row);
    if (why !== null) found.push(`${why}\n${await describeRun(options, row)}`);
  }
  return found;
}

async function whyStuck({ state, codec, settle, nowMs, patienceMs }: StuckOptions, row: RunRow): Promise<string | null> {
  const history = state.histories.get(row.key) ?? [];
  const since = nowMs - patienceMs;
  if (row.createdAt > since || (history.at(-1)?.at ?? 0) > since) return null;
  if (row.status === "parked") return row.parkReason?.code === "poisoned" ? null : `run ${row.key} is parked: ${row.parkReason?.code}`;
  if (row.owner === null && row.dueAt !== null && row.dueAt < since)
    return `run ${row.key} has been due for ${nowMs - row.dueAt} ms and nobody took it`;
  if (history.length === 0) return row.dueAt !== null && row.dueAt > since ? null : `run ${row.key} was never begun`;
  const { machine } = await replayCold(row, history, codec, settle);
  const unread = (state.inboxes.get(row.chain)?.rows ?? []).filter((item) => !item.consumed);
  for (const { command, attempt, retryAt } of machine.pending.values()) {
    const what = `run ${row.key}: ${command.kind} ${command.name} (command ${command.number})`;
    if (command.dueAt !== null && command.dueAt < since) return `${what} was due ${nowMs - command.dueAt} ms ago`;
    if (command.kind === "receive" && unread.some((item) => item.kind === "message" && command.messages.includes(item.name)))
      return `${what} has its message`;
    if (retryAt !== null && retryAt > since) continue;
    if (command.kind === "step" && row.owner === null) return `${what}, attempt ${attempt}, is driven by nobody`;
    if (command.kind === "activity" && !command.local && state.tasksByRun.get(row.key)?.get(command.number) === undefined)
      return `${what}, attempt ${attempt}, has no task`;
    const isLocal = command.kind === "send" || command.kind === "cancel_run" || (command.kind === "activity" && command.local);
    if (isLocal && row.owner === null) return `${what} is driven by nobody`;
    if (command.kind === "child") {
      const child = newestOf(state, childRunId(row, command.number));
      if (child === undefined && row.owner === null) return `${what} has no child`;
      if (child !== undefined && child.endedAt !== null && child.endedAt < since) return `${what} was not told that its child has ended`;
    }
  }
  // Updates wait for somebody who answers them.
  return unread.some((item) => item.kind !== "message" && (item.kind !== "update" || machine.updates?.has(item.name) === true))
    ? `run ${row.key} has ${unread.map((item) => item.kind).join(", ")} in its inbox`
    : null;
}

function newestOf(state: MemoryState, runId: string): RunRow | undefined {
  let row = state.runByRunId.get(runId);
  while (row !== undefined && row.nextInChain !== null) row = row.nextInChain;
  return row;
}

/** Everything that explains where a run stands. */
export async function describeRun({ state, codec, settle, nowMs }: Omit<StuckOptions, "patienceMs">, row: RunRow): Promise<string> {
  const history = state.histories.get(row.key) ?? [];
  const inbox = state.inboxes.get(row.chain);
  const owner = row.owner === null ? "nobody" : (state.workers.get(row.owner)?.workerId ?? `dead worker ${row.owner}`);
  const pending = history.length === 0 ? [] : [...(await replayCold(row, history, codec, settle)).machine.pending.values()];
  const tasks = [...(state.tasksByRun.get(row.key)?.values() ?? [])];
  return [
    `  ${row.workflowId} ${row.status}, owner ${owner}, epoch ${row.epoch}, due ${row.dueAt === null ? "never" : `in ${Math.round(row.dueAt - nowMs)} ms`}, crashes ${row.crashCount}` +
      `, park ${row.parkReason === null ? "-" : `${row.parkReason.code}: ${row.parkReason.message} ${row.parkReason.report ?? ""}`}`,
    `  inbox ${inbox?.count} (seen ${row.inboxSeen}), unread: ${inbox?.rows
      .filter((item) => !item.consumed)
      .map((item) => `${item.position} ${item.kind} ${item.name}`)
      .join("; ")}`,
    `  waits for: ${pending.map(({ command, attempt, retryAt }) => `#${command.number} ${command.kind} ${command.name} attempt ${attempt} due ${command.dueAt ?? retryAt ?? "-"}`).join("; ")}`,
    `  tasks: ${tasks.map((task) => `#${task.command} attempt ${task.attempt} owner ${task.owner} due ${task.dueAt}`).join("; ")}`,
    ...history.slice(-8).map((line) => `  ${line.seq} at ${Math.round(line.at - nowMs)}: ${line.event}`),
  ].join("\n");
}
