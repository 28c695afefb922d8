/** What reaches a run from outside: messages, outcomes of activities, and the order to try a parked run again. */
import type {
  FinishTaskOperation,
  FinishTaskOutcome,
  ResumeOperation,
  ResumeOutcome,
  SendOperation,
  SendOutcome,
} from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { claimedRunOf } from "./copies.js";
import { putItem } from "./inbox.js";
import { setDue, wakeRun } from "./ownership.js";
import { rowOf, type MemoryState, type RunRow } from "./state.js";
import { removeTask } from "./tasks.js";

/** The run that a command from outside means: the newest of a workflow id, or exactly this run. */
export function findTarget(state: MemoryState, target: { readonly workflowId: string } | { readonly runId: string }): RunRow | undefined {
  return "runId" in target ? state.runByRunId.get(target.runId) : state.newestRunByWorkflowId.get(target.workflowId);
}

export function applySend(state: MemoryState, operation: SendOperation, now: number): SendOutcome {
  const row = findTarget(state, operation.target);
  if (row === undefined) return { status: "not_found" };
  if (!isOpen(row.status)) return { status: "not_running" };
  const inbox = rowOf(state.inboxes, row.chain);
  if (inbox.dedupeKeys.has(operation.dedupeKey)) return { status: "duplicate" };

  inbox.dedupeKeys.add(operation.dedupeKey);
  const position = putItem(inbox, operation.item);
  const claimed = wakeRun(state, row, { now, cancels: operation.item.kind === "cancel", claimFor: operation.claimFor });
  return { status: "sent", key: row.key, position, claimed: claimed ? claimedRunOf(state, row) : null, owner: row.owner };
}

export function applyFinishTask(state: MemoryState, operation: FinishTaskOperation, now: number): FinishTaskOutcome {
  const task = state.tasks.get(operation.key);
  if (task === undefined || task.owner === null || task.epoch !== operation.epoch) return { status: "gone" };

  // Tasks go with their run, so the run is open.
  const row = rowOf(state.runs, task.runKey);
  removeTask(state, task);
  const item = { kind: operation.kind, name: "", command: task.command, attempt: task.attempt, payload: operation.payload };
  const position = putItem(rowOf(state.inboxes, row.chain), item);
  const claimed = wakeRun(state, row, { now, cancels: false, claimFor: operation.claimFor });
  return { status: "finished", runKey: row.key, position, claimed: claimed ? claimedRunOf(state, row) : null, owner: row.owner };
}

export function applyResume(state: MemoryState, operation: ResumeOperation, now: number): ResumeOutcome {
  const row = findTarget(state, operation.target);
  if (row === undefined) return { status: "not_found" };
  if (row.status !== "parked") return { status: "not_parked" };
  row.crashCount = 0;
  // One that a worker is trying right now is due for nobody else; its next turn, or its recovery, says when it is due again.
  setDue(state, row, row.owner === null ? now : null);
  return { status: "resumed" };
}
