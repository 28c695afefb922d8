/**
 * Defences left out on purpose, each by an envelope around the store: if the simulator does not notice, it proves nothing. `inside` wraps the one store,
 * `outside` what one process sees of it, behind the network. The checkers see what reached the network and what was answered, as always.
 */
import type { Store } from "../../backend/backend.js";
import { StoreFailure } from "../../backend/failures.js";
import type { Operation, Outcome } from "../../backend/operations.js";
import { languageMutants } from "./language-mutants.js";
import { changingTurns, rewriting, withEffects, type Mutant } from "./mutant.js";

export const mutants: readonly Mutant[] = [
  changingTurns("no-epoch-check", (turn, { state }) => ({ ...turn, epoch: state.runs.get(turn.key)?.epoch ?? turn.epoch })),
  // Lines go where the history ends now, as a store without unique sequence numbers would let them.
  changingTurns("no-sequence-check", (turn, { state }) => {
    const row = state.runs.get(turn.key);
    if (row === undefined) return turn;
    const events = turn.effects.events.map((line, index) => ({ ...line, seq: row.lastSeq + index + 1 }));
    return withEffects({ ...turn, lastSeq: row.lastSeq, epoch: row.epoch }, { events });
  }),
  changingTurns("end-without-inbox-condition", (turn) =>
    turn.effects.next.state === "ended" ? withEffects(turn, { inboxSeen: Number.MAX_SAFE_INTEGER }) : turn,
  ),
  changingTurns("idle-without-inbox-condition", (turn) =>
    turn.effects.next.state === "idle" ? withEffects(turn, { inboxSeen: Number.MAX_SAFE_INTEGER }) : turn,
  ),
  changingTurns("consumed-items-come-back", (turn) => withEffects(turn, { consumed: [] })),
  changingTurns("timers-not-kept", (turn) =>
    turn.effects.next.state === "idle" ? withEffects(turn, { next: { state: "idle", dueAt: null } }) : turn,
  ),
  rewriting("no-dedupe", (operation, { prng }) =>
    operation.type === "send" ? { ...operation, dedupeKey: `${operation.dedupeKey}/${prng.next()}` } : operation,
  ),
  {
    name: "acknowledged-before-commit",
    inside: (store, { prng }) => ({
      ...store,
      apply: (operations) => (prng.chance(0.05) ? Promise.resolve(operations.map(promised)) : store.apply(operations)) as Promise<never>,
    }),
  },
  {
    name: "claim-without-new-epoch",
    inside: (store, { state }) => ({
      ...store,
      async claimRuns(options) {
        const claimed = await store.claimRuns(options);
        for (const { key } of claimed.runs) {
          const row = state.runs.get(key);
          if (row !== undefined) row.epoch--;
        }
        return { ...claimed, runs: claimed.runs.map((run) => ({ ...run, epoch: run.epoch - 1 })) };
      },
    }),
  },
  {
    // A blind retry alone does no lasting harm: what it fences is found and given back. Taking silence for consent does.
    name: "unknown-taken-for-committed",
    outside: (store) => ({
      ...store,
      apply: ((operations: readonly Operation[]) =>
        store.apply(operations).catch((error: unknown) => {
          if (error instanceof StoreFailure && error.outcome === "unknown") return operations.map(promised);
          throw error;
        })) as Store["apply"],
    }),
  },
  {
    name: "acts-before-commit",
    outside: (store) => ({
      ...store,
      apply: ((operations: readonly Operation[]) => {
        const answered = store.apply(operations);
        if (operations.some((operation) => operation.type !== "turn")) return answered;
        answered.catch(() => undefined);
        return Promise.resolve(operations.map(promised));
      }) as Store["apply"],
    }),
  },
  {
    name: "time-from-local-clock",
    outside: (store, process) => ({ ...store, now: () => process.runtime.now() }),
  },
  {
    name: "wake-up-only-by-hint",
    outside(store) {
      let told = 1;
      return {
        ...store,
        claimRuns: (options) => (told-- > 0 ? store.claimRuns(options) : Promise.resolve({ runs: [], nextDueAt: null })),
        onHint: (callback) =>
          store.onHint((hint) => {
            told = 1;
            callback(hint);
          }),
      };
    },
  },
  {
    name: "dead-workers-keep-their-runs",
    inside: (store) => ({ ...store, recover: () => Promise.resolve({ workers: 0, runs: 0, tasks: 0 }) }),
  },
  ...languageMutants,
];

/** What an operation would be answered if all went well. */
function promised(operation: Operation): Outcome {
  switch (operation.type) {
    case "start":
      return { status: "started", key: 1_000_000, createdAt: 0, owned: operation.eager !== null, inboxCount: 0 };
    case "turn":
      return {
        status: "committed",
        owned: operation.effects.next.state === "driving",
        inboxCount: operation.effects.inboxSeen,
        continued: null,
      };
    case "send":
      return { status: "duplicate" };
    case "finish_task":
      return { status: "gone" };
    case "touch_task":
      return { status: "touched", cancelRequested: false };
    case "append":
      return { status: "appended" };
    case "terminate":
      return { status: "not_running" };
    case "resume":
      return { status: "resumed" };
    default:
      return operation satisfies never;
  }
}
