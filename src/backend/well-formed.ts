import { StoreFailure } from "./failures.js";
import type { Operation } from "./operations.js";

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
