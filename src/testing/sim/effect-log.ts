/** What bodies really did, kept outside the store: the simulator's witness against the engine's records. */
export interface Execution {
  readonly id: number;
  readonly kind: "step" | "activity" | "compensation";
  readonly runId: string;
  /** Where in the program. */
  readonly path: string;
  readonly attempt: number;
  readonly attemptsMax: number;
  /** May an attempt of it run once only? */
  readonly once: boolean;
  /** Fingerprint of everything that the run had seen when it issued this command; null where nobody can tell. */
  readonly seen: number | null;
  readonly processName: string;
  readonly startedAt: number;
  /** Has the body been told to stop? */
  readonly aborted: () => boolean;
  /** `left`: to somebody outside. */
  outcome: "open" | "succeeded" | "failed" | "left";
  /** What it wrote to the stream, and how many of these it was told are stored. */
  readonly written: string[];
  acknowledged: number;
  /** How many chunks of earlier attempts it was told of; null if it did not ask. */
  behind: number | null;
}

export interface EffectLog {
  readonly executions: Execution[];
  begin(execution: Omit<Execution, "id" | "outcome" | "written" | "acknowledged" | "behind">): Execution;
}

export function createEffectLog(): EffectLog {
  const executions: Execution[] = [];
  return {
    executions,
    begin(execution) {
      const entry: Execution = {
        ...execution,
        id: executions.length + 1,
        outcome: "open",
        written: [],
        acknowledged: 0,
        behind: null,
      };
      executions.push(entry);
      return entry;
    },
  };
}
