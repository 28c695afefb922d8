import type { Backend, Operation, Store } from "perdure/backend";

/** What an engine asked of its store. */
export interface StoreCounts {
  /** Calls of any kind, a hint subscription and the clock apart: each is at least one statement. */
  calls: number;
  /** Calls that are one write transaction each. */
  applies: number;
  claims: number;
  /** Renewals of the worker's lease: write transactions that belong to no workflow. */
  renewals: number;
  /** History lines, rows of runs, inbox and tasks that `apply` was asked to write. */
  rows: number;
  historyRows: number;
}

const rowsOf = (operation: Operation): { readonly rows: number; readonly historyRows: number } => {
  switch (operation.type) {
    case "start": {
      const effects = operation.eager?.effects;
      const historyRows = effects?.events.length ?? 0;
      return { rows: 1 + historyRows + operation.messages.length + (effects?.tasks.length ?? 1), historyRows };
    }
    case "turn": {
      const { events, consumed, tasks, withdrawnTasks } = operation.effects;
      return { rows: 1 + events.length + consumed.length + tasks.length + withdrawnTasks.length, historyRows: events.length };
    }
    case "send":
    case "finish_task":
    case "terminate":
      return { rows: 2, historyRows: 0 };
    case "append":
      return { rows: operation.chunks.length, historyRows: 0 };
    case "touch_task":
    case "resume":
      return { rows: 1, historyRows: 0 };
    default:
      return operation satisfies never;
  }
};

function note(counts: StoreCounts, method: PropertyKey, args: readonly unknown[]): void {
  if (method === "now" || method === "onHint" || method === "close") return;
  counts.calls++;
  if (method === "claimRuns" || method === "claimTasks") counts.claims++;
  if (method === "pulse" && (args[0] as Parameters<Store["pulse"]>[0]).leaseMs !== null) counts.renewals++;
  if (method !== "apply") return;
  counts.applies++;
  for (const operation of args[0] as readonly Operation[]) {
    const { rows, historyRows } = rowsOf(operation);
    counts.rows += rows;
    counts.historyRows += historyRows;
  }
}

/** A backend that counts what passes through it. A proxy, so that it keeps fitting when the contract grows. */
export function counted(backend: Backend): { readonly backend: Backend; readonly counts: StoreCounts } {
  const counts: StoreCounts = { calls: 0, applies: 0, claims: 0, renewals: 0, rows: 0, historyRows: 0 };
  const wrap = (store: Store): Store =>
    new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...args: readonly unknown[]): unknown => {
          note(counts, name, args);
          return Reflect.apply(member, target, args);
        };
      },
    });
  const open: Backend["open"] = async (runtime) => wrap(await backend.open(runtime));
  const proxy = new Proxy(backend, { get: (target, name) => (name === "open" ? open : (Reflect.get(target, name, target) as unknown)) });
  return { backend: proxy, counts };
}
