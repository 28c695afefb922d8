/** Defences left out that children, chains, updates, streams and activities rest on. */
import type { Operation, Outcome } from "../../backend/operations.js";
import type { ClaimedTask, HistoryRecord } from "../../backend/records.js";
import type { MemoryState } from "../../backends/memory/state.js";
import { writeEntries } from "../../backends/memory/shelf.js";
import { expireTasks, hasExpired } from "../../backends/memory/task-outcomes.js";
import { removeTask } from "../../backends/memory/tasks.js";
import { readEnvelope, writeEnvelope } from "../../core/events.js";
import { errandName } from "../../worker/routes.js";
import { changingTurns, rewriting, withEffects, type Mutant } from "./mutant.js";

export const languageMutants: readonly Mutant[] = [
  {
    name: "continue-drops-unread-messages",
    inside: (store, { state }) => ({
      ...store,
      async apply(operations) {
        const outcomes = await store.apply(operations);
        for (const [index, outcome] of (outcomes as readonly Outcome[]).entries()) {
          const operation = operations[index];
          if (operation?.type === "turn" && outcome.status === "committed" && operation.effects.next.state === "continued")
            dropMessages(state, operation.key);
        }
        return outcomes;
      },
    }),
  },
  rewriting("child-start-not-idempotent", (operation, { prng, state }) => {
    if (operation.type !== "start" || operation.run.parentRunId === null) return operation;
    if (!state.runByRunId.has(operation.run.runId)) return operation;
    const { runId, workflowId } = operation.run;
    const suffix = `~${prng.int(1, 1_000_000)}`;
    return { ...operation, run: { ...operation.run, runId: runId + suffix, workflowId: workflowId + suffix } };
  }),
  rewriting("parent-told-twice", (operation, { prng }) =>
    operation.type === "send" && operation.dedupeKey.startsWith("child/")
      ? { ...operation, dedupeKey: `${operation.dedupeKey}/${prng.next()}` }
      : operation,
  ),
  {
    // Taken off the list when they are handed out, not when they are done.
    name: "errands-lost-on-crash",
    inside: (store, { state }) => ({
      ...store,
      async claimTasks(options) {
        const claimed = await store.claimTasks(options);
        for (const task of claimed.tasks) if (task.name === errandName) forget(state, task);
        return claimed;
      },
    }),
  },
  changingTurns("cancel-of-child-not-durable", (turn) =>
    withEffects(turn, { tasks: turn.effects.tasks.filter((task) => !task.options.includes('"cancel_child"')) }),
  ),
  {
    name: "close-policy-forgotten",
    inside: (store) => ({
      ...store,
      listRuns: (options) => (options.parentRunId === undefined ? store.listRuns(options) : Promise.resolve([])),
    }),
  },
  {
    name: "two-runs-of-one-id",
    inside: (store, { state }) => ({
      ...store,
      apply(operations) {
        for (const operation of operations as readonly Operation[])
          if (operation.type === "start" && !state.runByRunId.has(operation.run.runId))
            state.newestRunByWorkflowId.delete(operation.run.workflowId);
        return store.apply(operations);
      },
    }),
  },
  {
    name: "append-without-dedupe",
    inside: (store, { state }) => ({
      ...store,
      apply(operations) {
        if ((operations as readonly Operation[]).some(({ type }) => type === "append")) forgetNumbers(state);
        return store.apply(operations);
      },
    }),
  },
  {
    // The announcement is read as another failure of the attempt before it, so that nobody knows that the body may have begun.
    name: "at-most-once-repeated-after-a-crash",
    inside: (store) => ({ ...store, loadHistory: async (options) => unannounced(await store.loadHistory(options)) }),
  },
  {
    name: "expiry-before-time",
    inside: (store, { state }) => ({
      ...store,
      pulse: async (options) => ({ ...(await store.pulse(options)), hasExpired: hasExpired(state, store.now() + 2000) }),
      expireTasks: () => Promise.resolve(expireTasks(state, store.now() + 2000)),
    }),
  },
  {
    name: "signs-of-life-not-heard",
    inside: (store) => ({
      ...store,
      async apply(operations) {
        const heard = await store.apply((operations as readonly Operation[]).filter((operation) => !isSignOfLife(operation)));
        let next = 0;
        const outcomes = (operations as readonly Operation[]).map((operation) =>
          isSignOfLife(operation) ? { status: "touched", cancelRequested: false } : heard[next++],
        );
        return outcomes as never;
      },
    }),
  },
  {
    name: "update-answered-before-commit",
    inside: (store, { state, prng }) => ({
      ...store,
      apply(operations) {
        for (const operation of operations as readonly Operation[]) {
          if (operation.type !== "turn" || !prng.chance(0.5)) continue;
          const chain = state.runs.get(operation.key)?.chain ?? 0;
          writeEntries(state, chain, operation.effects.entries);
        }
        return store.apply(operations);
      },
    }),
  },
  {
    name: "token-finishes-twice",
    inside: (store, { state }) => ({
      ...store,
      async apply(operations) {
        const kept = (operations as readonly Operation[]).flatMap((operation) => {
          if (operation.type !== "finish_task" || "key" in operation.task) return [];
          const run = state.runByRunId.get(operation.task.runId);
          const task = run === undefined ? undefined : state.tasksByRun.get(run.key)?.get(operation.task.command);
          return task?.attempt === operation.task.attempt ? [task] : [];
        });
        const outcomes = await store.apply(operations);
        for (const task of kept) {
          state.tasks.set(task.key, task);
          const ofRun = state.tasksByRun.get(task.runKey) ?? new Map<number, typeof task>();
          state.tasksByRun.set(task.runKey, ofRun.set(task.command, task));
        }
        return outcomes;
      },
    }),
  },
];

/** Only those that keep the claim: a task that nobody lets go of would never end. */
const isSignOfLife = (operation: Operation): boolean => operation.type === "touch_task" && !operation.detach;

function dropMessages(state: MemoryState, runKey: number): void {
  const inbox = state.inboxes.get(state.runs.get(runKey)?.chain ?? 0);
  if (inbox === undefined) return;
  for (const [index, item] of inbox.rows.entries()) {
    if (item.kind !== "message" || item.consumed) continue;
    inbox.rows[index] = { ...item, consumed: true };
    inbox.unread--;
  }
}

function forget(state: MemoryState, { key }: ClaimedTask): void {
  const row = state.tasks.get(key);
  if (row !== undefined) removeTask(state, row);
}

function forgetNumbers(state: MemoryState): void {
  for (const streams of state.streams.values()) for (const { lastNumbers } of streams.values()) lastNumbers.clear();
}

function unannounced(lines: readonly HistoryRecord[]): readonly HistoryRecord[] {
  const steps = new Set<number>();
  const failed = new Map<number, number>();
  let count = 0;
  return lines.map((line) => {
    const envelope = readEnvelope(line.event);
    if ("commands" in envelope) for (const [kind] of envelope.commands) if (++count > 0 && kind === "step") steps.add(count);
    if (envelope.kind === "attempt_failed") failed.set(envelope.command, envelope.attempt);
    if (envelope.kind !== "operation_started" || !steps.has(envelope.command)) return line;
    const { command, commands } = envelope;
    return { ...line, event: writeEnvelope({ kind: "attempt_failed", command, attempt: failed.get(command) ?? 0, retryAt: 0, commands }) };
  });
}
