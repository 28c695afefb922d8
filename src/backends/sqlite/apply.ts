import type { Operation, Outcome } from "../../backend/index.js";
import { applyResume, applySend } from "./messages.js";
import { applyAppend } from "./shelf.js";
import type { Work } from "./tables.js";
import { applyFinishTask, applyTouchTask } from "./task-outcomes.js";
import { applyStart, applyTerminate, applyTurn } from "./turns.js";

/** Applies the operations in order. What it throws rolls all of them back. */
export function applyAll(work: Work, operations: readonly Operation[]): Outcome[] {
  return operations.map((operation) => applyOne(work, operation));
}

function applyOne(work: Work, operation: Operation): Outcome {
  switch (operation.type) {
    case "start":
      return applyStart(work, operation);
    case "turn":
      return applyTurn(work, operation);
    case "send":
      return applySend(work, operation);
    case "finish_task":
      return applyFinishTask(work, operation);
    case "touch_task":
      return applyTouchTask(work, operation);
    case "append":
      return applyAppend(work, operation);
    case "terminate":
      return applyTerminate(work, operation);
    case "resume":
      return applyResume(work, operation);
    default:
      return operation satisfies never;
  }
}
