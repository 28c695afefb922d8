import type { Backend, Pulse, Store } from "../../src/backend/backend.js";
import { StoreFailure } from "../../src/backend/failures.js";
import type { Operation, Outcome } from "../../src/backend/operations.js";

type Call<K extends keyof Store> = Store[K] extends (...parameters: infer P) => infer R ? (next: () => R, ...parameters: P) => R : never;

/** What a test puts between an engine and its store. Each is given the true call, to make when, as often and as late as it likes. */
export interface Faults {
  apply?: ((next: () => Promise<Outcome[]>, operations: readonly Operation[]) => Promise<Outcome[]>) | undefined;
  reclaimRun?: Call<"reclaimRun"> | undefined;
  pulse?: Call<"pulse"> | undefined;
  release?: Call<"release"> | undefined;
  retryParked?: Call<"retryParked"> | undefined;
  loadInboxes?: Call<"loadInboxes"> | undefined;
  loadHistory?: Call<"loadHistory"> | undefined;
  claimRuns?: Call<"claimRuns"> | undefined;
}

/** The same store behind a line that the test can disturb. Changes of `faults` count from the next call on. */
export function faultyBackend(backend: Backend, faults: Faults): Backend {
  return {
    kind: backend.kind,
    async open(runtime) {
      const inner = await backend.open(runtime);
      const through =
        (name: keyof Faults) =>
        (...parameters: never[]): unknown => {
          const next = (): unknown => (inner[name] as (...all: never[]) => unknown)(...parameters);
          const fault = faults[name] as ((next: () => unknown, ...all: never[]) => unknown) | undefined;
          return fault === undefined ? next() : fault(next, ...parameters);
        };
      const disturbed: Partial<Record<keyof Faults, unknown>> = {};
      for (const name of ["apply", "reclaimRun", "pulse", "release", "retryParked", "loadInboxes", "loadHistory", "claimRuns"] as const)
        disturbed[name] = through(name);
      return Object.assign(Object.create(inner) as Store, disturbed);
    },
  };
}

export const lostReply = (): StoreFailure => new StoreFailure("backend_unavailable", "no answer", { outcome: "unknown", transient: true });
export const refusal = (): StoreFailure => new StoreFailure("backend_failed", "refused", { outcome: "none", transient: false });

/** Of a worker whose lease is over. */
export const expired: Pulse = {
  isAlive: false,
  ownsAny: false,
  othersOwn: false,
  nextRunDueAt: null,
  nextTaskDueAt: null,
  hasCasualties: false,
  hasExpired: false,
};
