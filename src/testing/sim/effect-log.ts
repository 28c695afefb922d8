/** What bodies really did, kept outside the store: the simulator's witness against the engine's records. */
export interface Execution {
  readonly id: number;
  readonly kind: "step" | "activity";
  readonly runId: string;
  /** Where in the program. */
  readonly path: string;
  readonly attempt: number;
  readonly attemptsMax: number;
  /** Fingerprint of everything that the run had seen when it issued this command; null for activities, whose queue does not tell. */
  readonly seen: number | null;
  readonly processName: string;
  readonly startedAt: number;
  /** Has the body been told to stop? */
  readonly aborted: () => boolean;
  outcome: "open" | "succeeded" | "failed";
}

export interface EffectLog {
  readonly executions: Execution[];
  begin(execution: Omit<Execution, "id" | "outcome">): Execution;
}

export function createEffectLog(): EffectLog {
  const executions: Execution[] = [];
  return {
    executions,
    begin(execution) {
      const entry: Execution = { ...execution, id: executions.length + 1, outcome: "open" };
      executions.push(entry);
      return entry;
    },
  };
}
