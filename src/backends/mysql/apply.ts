import type { Operation, Outcome } from "../../backend/index.js";
import { loadBatch, type Batch } from "./batch.js";
import { noChanges, statementsOf, type Changes } from "./changes.js";
import type { Lanes } from "./lanes.js";
import { applyFinishTask, applyResume, applySend } from "./messages.js";
import type { Names } from "./names.js";
import type { Tables } from "./schema.js";
import { applyStart, applyTurn } from "./turns.js";

/**
 * Applies the operations in one transaction of two or three round trips: lock and read all rows that they mean, decide in memory, one operation after the
 * other, write what has changed and commit. What was read stays true because it is locked: no rule rests on an isolation level.
 */
export async function applyAll(lanes: Lanes, tables: Tables, names: Names, operations: readonly Operation[]): Promise<Outcome[]> {
  await names.ensure(namesIn(operations));
  return lanes.transact(async (work) => {
    const batch = await loadBatch(work, tables, names, operations);
    const changes = noChanges();
    const outcomes = operations.map((operation) => applyOne(batch, changes, operation));
    const statements = statementsOf(changes, tables, names);
    // A start that found its run has written nothing, but the insert that found it is part of the transaction.
    await work.commit([...statements, "COMMIT"]);
    return outcomes;
  });
}

const namesIn = (operations: readonly Operation[]): readonly string[] =>
  operations.flatMap((operation) => {
    switch (operation.type) {
      case "start":
        return [operation.run.name, ...(operation.eager?.effects.tasks.map(({ name }) => name) ?? [])];
      case "turn":
        return operation.effects.tasks.map(({ name }) => name);
      case "send":
      case "finish_task":
      case "resume":
        return [];
      default:
        return operation satisfies never;
    }
  });

function applyOne(batch: Batch, changes: Changes, operation: Operation): Outcome {
  switch (operation.type) {
    case "start":
      return applyStart(batch, changes, operation);
    case "turn":
      return applyTurn(batch, changes, operation);
    case "send":
      return applySend(batch, changes, operation);
    case "finish_task":
      return applyFinishTask(batch, changes, operation);
    case "resume":
      return applyResume(batch, changes, operation);
    default:
      return operation satisfies never;
  }
}
