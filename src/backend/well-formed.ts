import { StoreFailure } from "./failures.js";
import type { Effects, Operation } from "./operations.js";

/** Throws if an operation can be seen to be wrong without looking at any row: a bug of the caller. */
export function assertWellFormed(operation: Operation): void {
  switch (operation.type) {
    case "start": {
      if (operation.eager === null) return;
      const { inboxSeen, next } = operation.eager.effects;
      assertEffects(operation.eager.effects, 0);
      if (next.state === "continued") throw malformed("a start cannot continue its run at once: it has to be stored first");
      if (next.state === "ended" && inboxSeen < operation.messages.length) {
        throw malformed("a start that ends its run at once must hold a terminal event and have seen all of its messages");
      }
      return;
    }
    case "turn":
      assertEffects(operation.effects, operation.lastSeq);
      return;
    case "send":
      if (operation.dedupeKey === "") throw malformed("a dedupe key must not be empty");
      return;
    case "append":
      if (operation.chunks.some(({ number }) => number < 1)) throw malformed("what a body appends to a stream must be numbered from 1");
      return;
    case "finish_task":
    case "touch_task":
    case "terminate":
    case "resume":
      return;
    default:
      operation satisfies never;
  }
}

function assertEffects({ events, next }: Effects, lastSeq: number): void {
  assertAppends(events, lastSeq);
  if ((next.state === "ended" || next.state === "continued") && events.length === 0)
    throw malformed("what ends a run must hold a terminal event");
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
