import { StoreFailure, type Operation, type Outcome } from "../../backend/index.js";
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

/** Throws if an operation can be seen to be wrong without looking at any row: a bug of the caller. */
export function assertWellFormed(operation: Operation): void {
  switch (operation.type) {
    case "start": {
      if (operation.eager === null) return;
      const { events, inboxSeen, next } = operation.eager.effects;
      assertAppends(events, 0);
      if (next.state === "ended" && (events.length === 0 || inboxSeen < operation.messages.length)) {
        throw malformed("a start that ends its run at once must hold a terminal event and have seen all of its messages");
      }
      return;
    }
    case "turn":
      assertAppends(operation.effects.events, operation.lastSeq);
      if (operation.effects.next.state === "ended" && operation.effects.events.length === 0)
        throw malformed("a turn that ends its run must hold a terminal event");
      return;
    case "send":
      if (operation.dedupeKey === "") throw malformed("a dedupe key must not be empty");
      return;
    case "finish_task":
    case "resume":
      return;
    default:
      operation satisfies never;
  }
}

function assertAppends(events: readonly { readonly seq: number }[], lastSeq: number): void {
  let seq = lastSeq;
  for (const event of events) {
    seq += 1;
    if (event.seq !== seq) throw malformed(`a line with sequence number ${event.seq} stands where ${seq} is next`);
  }
}

const malformed = (what: string): StoreFailure =>
  new StoreFailure("backend_failed", `The store refused a batch that is malformed: ${what}. Nothing was written; please report it.`, {
    outcome: "none",
    transient: false,
  });
