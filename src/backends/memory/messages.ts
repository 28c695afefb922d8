/** What reaches a run from outside: messages, and the order to try a parked run again. */
import type { ResumeOperation, ResumeOutcome, RunTarget, SendOperation, SendOutcome } from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { claimedRunOf } from "./copies.js";
import { putItem } from "./inbox.js";
import { setDue, wakeRun } from "./ownership.js";
import { rowOf, type MemoryState, type RunRow } from "./state.js";

/** The run that a command from outside means. */
export function findTarget(state: MemoryState, target: RunTarget): RunRow | undefined {
  if ("workflowId" in target) return state.newestRunByWorkflowId.get(target.workflowId);
  if ("runId" in target) return state.runByRunId.get(target.runId);
  let row = state.runByRunId.get(target.chainOf);
  while (row !== undefined && row.nextInChain !== null) row = row.nextInChain;
  return row;
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

export function applyResume(state: MemoryState, operation: ResumeOperation, now: number): ResumeOutcome {
  const row = findTarget(state, operation.target);
  if (row === undefined) return { status: "not_found" };
  if (row.status !== "parked") return { status: "not_parked" };
  row.crashCount = 0;
  // One that a worker is trying right now is due for nobody else; its next turn, or its recovery, says when it is due again.
  setDue(state, row, row.owner === null ? now : null);
  return { status: "resumed" };
}
