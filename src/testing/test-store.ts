import type { Backend, Store } from "../backend/backend.js";
import type { Operation } from "../backend/operations.js";
import { readEnvelope } from "../core/events.js";

/** What is called at each write; `what` says, for people, what is written. */
export type WriteWatch = (side: "before" | "after", what: () => string) => void;

/** What a test has to do with the writes of one engine. */
export interface Writes {
  /** Has the engine been killed? Then it hears nothing any more, and nothing of what it does comes through. */
  readonly isDead: () => boolean;
  /** Called before and after each write that changes something. */
  readonly onWrite: WriteWatch;
}

/** The store of one engine of a test, on the memory store of them all. */
export function testBackend(backend: Backend, writes: Writes): Backend {
  return { kind: backend.kind, open: async (runtime) => testStore(await backend.open(runtime), writes) };
}

function testStore(store: Store, { isDead, onWrite }: Writes): Store {
  const write = async <T>(what: () => string, call: () => Promise<T>): Promise<T> => {
    if (!isDead()) onWrite("before", what);
    if (isDead()) return never();
    const result = await call();
    if (!isDead()) onWrite("after", what);
    return isDead() ? never() : result;
  };
  /** Most looks for work find none, which is known only afterwards; a kill before one that does is a kill after the write before it. */
  const claim = async <T>(what: string, call: () => Promise<T>, isEmpty: (found: T) => boolean): Promise<T> => {
    if (isDead()) return never();
    const found = await call();
    if (!isEmpty(found)) onWrite("after", () => what);
    return isDead() ? never() : found;
  };
  const apply = (operations: readonly Operation[]): Promise<never> => {
    const tidied = operations.map(withoutRetry);
    return write(
      () => describeAll(tidied),
      () => store.apply(tidied),
    ) as Promise<never>;
  };
  return {
    ...store,
    apply,
    // The test's transactions are of another database, or of none: the record is written when they write it.
    applyWithin: (_, operations) => apply(operations),
    claimRuns: (options) =>
      claim(
        "claim of runs",
        () => store.claimRuns(options),
        ({ runs }) => runs.length === 0,
      ),
    claimTasks: (options) =>
      claim(
        "claim of activities",
        () => store.claimTasks(options),
        ({ tasks }) => tasks.length === 0,
      ),
  };
}

const never = (): Promise<never> => new Promise(() => undefined);

/** A parked run is not tried again by time: no other code will be there then, and a test that waits would pass from one try to the next. */
function withoutRetry(operation: Operation): Operation {
  if (operation.type !== "turn" || operation.effects.next.state !== "parked") return operation;
  return { ...operation, effects: { ...operation.effects, next: { ...operation.effects.next, dueAt: null } } };
}

const describeAll = (operations: readonly Operation[]): string => operations.map(describe).join(", ");

function describe(operation: Operation): string {
  switch (operation.type) {
    case "start":
      return `start of "${operation.run.workflowId}"`;
    case "turn": {
      const { events, next } = operation.effects;
      const kinds = events.map(({ event }) => readEnvelope(event).kind);
      return [...kinds, ...(next.state === "driving" ? [] : [`run ${next.state}`])].join(" and ");
    }
    case "send":
      return `${operation.item.kind} "${operation.item.name}"`;
    case "finish_task":
      return operation.kind;
    default:
      return operation.type;
  }
}
