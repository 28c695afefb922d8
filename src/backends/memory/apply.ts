import type { Operation, Outcome } from "../../backend/index.js";
import { applyResume, applySend } from "./messages.js";
import type { MemoryState } from "./state.js";
import { applyAppend } from "./shelf.js";
import { applyFinishTask, applyTouchTask } from "./task-outcomes.js";
import { applyStart, applyTerminate, applyTurn } from "./turns.js";
import { assertWellFormed } from "../../backend/well-formed.js";

/** Applies the operations in order. Malformed ones are found before the first write, so that the batch happens whole or not at all. */
export function applyAll(state: MemoryState, operations: readonly Operation[], now: number): Outcome[] {
  for (const operation of operations) assertWellFormed(operation);
  return operations.map((operation) => applyOne(state, operation, now));
}

function applyOne(state: MemoryState, operation: Operation, now: number): Outcome {
  switch (operation.type) {
    case "start":
      return applyStart(state, operation, now);
    case "turn":
      return applyTurn(state, operation, now);
    case "send":
      return applySend(state, operation, now);
    case "finish_task":
      return applyFinishTask(state, operation, now);
    case "touch_task":
      return applyTouchTask(state, operation, now);
    case "append":
      return applyAppend(state, operation);
    case "terminate":
      return applyTerminate(state, operation, now);
    case "resume":
      return applyResume(state, operation, now);
    default:
      return operation satisfies never;
  }
}
