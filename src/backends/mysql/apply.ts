import type { NewRun, NewTask, Operation, Outcome } from "../../backend/index.js";
import { loadBatch, type Batch } from "./batch.js";
import { noChanges, statementsOf, type Changes } from "./changes.js";
import type { Lanes, Work } from "./lanes.js";
import { applyResume, applySend } from "./messages.js";
import type { Names } from "./names.js";
import { laterFacts, type LaterFacts } from "./run-fact.js";
import type { Tables } from "./schema.js";
import { applyAppend } from "./shelf.js";
import { applyFinishTask, applyTouchTask } from "./task-outcomes.js";
import { applyStart, applyTerminate, applyTurn } from "./turns.js";

/**
 * Applies the operations in one transaction of two or three round trips: lock and read all rows that they mean, decide in memory, one operation after the
 * other, write what has changed and commit. What was read stays true because it is locked: no rule rests on an isolation level.
 */
export async function applyAll(lanes: Lanes, tables: Tables, names: Names, operations: readonly Operation[]): Promise<Outcome[]> {
  await names.ensure(namesIn(operations));
  return lanes.transact(async (work) => {
    const { outcomes, statements } = await decideAll(work, tables, names, { operations, begin: ["START TRANSACTION"] });
    // A start that found its run has written nothing, but the insert that found it is part of the transaction.
    await work.commit([...statements, "COMMIT"]);
    return outcomes;
  });
}

/** Locks, reads and decides; what is left to do is to write. */
export async function decideAll(
  work: Work,
  tables: Tables,
  names: Names,
  { operations, begin }: { readonly operations: readonly Operation[]; readonly begin: readonly string[] },
): Promise<{ readonly outcomes: Outcome[]; readonly statements: readonly string[] }> {
  const batch = await loadBatch(work, tables, names, { operations, begin });
  const changes = noChanges();
  const facts = laterFacts(work, tables, names);
  const outcomes: Outcome[] = [];
  for (const operation of operations) {
    const outcome = applyOne(batch, changes, operation, facts);
    outcomes.push(outcome instanceof Promise ? await outcome : outcome);
  }
  return { outcomes, statements: statementsOf(changes, tables, names) };
}

/** The names and routes that these operations bring. */
export function namesIn(operations: readonly Operation[]): readonly string[] {
  const names: string[] = [];
  const addRun = ({ name, route }: NewRun): void => void names.push(name, route);
  const addTasks = (tasks: readonly NewTask[] = []): void => {
    for (const { name, route } of tasks) names.push(name, route);
  };
  for (const operation of operations) {
    switch (operation.type) {
      case "start":
        addRun(operation.run);
        addTasks(operation.eager?.effects.tasks);
        addTasks(operation.terminates?.tasks);
        break;
      case "turn": {
        const { tasks, next } = operation.effects;
        addTasks(tasks);
        if (next.state === "continued") addRun(next.run);
        break;
      }
      case "terminate":
        addTasks(operation.termination.tasks);
        break;
      case "send":
      case "finish_task":
      case "touch_task":
      case "append":
      case "resume":
        break;
      default:
        operation satisfies never;
    }
  }
  return names;
}

function applyOne(batch: Batch, changes: Changes, operation: Operation, facts: LaterFacts): Outcome | Promise<Outcome> {
  switch (operation.type) {
    case "start":
      return applyStart(batch, changes, operation, facts);
    case "turn":
      return applyTurn(batch, changes, operation, facts);
    case "send":
      return applySend(batch, changes, operation);
    case "finish_task":
      return applyFinishTask(batch, changes, operation);
    case "touch_task":
      return applyTouchTask(batch, changes, operation);
    case "append":
      return applyAppend(batch, changes, operation);
    case "terminate":
      return applyTerminate(batch, changes, operation);
    case "resume":
      return applyResume(batch, changes, operation);
    default:
      return operation satisfies never;
  }
}
