// From a run's history, as `handle.history()` tells it, to its operations: what the code asked for, when, and how it was settled.
import type { HistoryCommand, HistoryEvent } from "perdure";

export interface Operation {
  readonly number: number;
  readonly kind: HistoryCommand["kind"];
  readonly name: string;
  readonly askedAt: number;
  readonly dueAt: number | undefined;
  /** All events that settled it: exactly one, if all is well. */
  readonly settlements: readonly Settlement[];
}

export interface Settlement {
  readonly at: number;
  readonly kind: HistoryEvent["kind"];
  /** The execution whose result was recorded, for steps and activities. */
  readonly by: string | undefined;
}

export function operationsOf(history: readonly HistoryEvent[]): readonly Operation[] {
  const settlements = new Map<number, Settlement[]>();
  for (const event of history) {
    if (event.command === undefined || event.kind === "attempt_failed") continue;
    const others = settlements.get(event.command) ?? [];
    settlements.set(event.command, [...others, { at: event.at.getTime(), kind: event.kind, by: makerOf(event.data) }]);
  }
  return history.flatMap((event) =>
    event.commands.map((command): Operation => ({
      number: command.number,
      kind: command.kind,
      name: command.name,
      askedAt: event.at.getTime(),
      dueAt: command.dueAt?.getTime(),
      settlements: settlements.get(command.number) ?? [],
    })),
  );
}

/** Bodies of the demo return what they made together with the execution that made it. */
function makerOf(data: unknown): string | undefined {
  return typeof data === "object" && data !== null && "by" in data && typeof data.by === "string" && "value" in data ? data.by : undefined;
}

/** What is wrong with a finished run's history in itself. */
export function historyProblems(history: readonly HistoryEvent[]): readonly string[] {
  const problems: string[] = [];
  const gap = history.findIndex(({ seq }, index) => seq !== index + 1);
  if (gap >= 0) problems.push(`line ${gap + 1} has the number ${history[gap]?.seq}`);
  const back = history.findIndex(({ at }, index) => index > 0 && at.getTime() < (history[index - 1]?.at.getTime() ?? 0));
  if (back >= 0) problems.push(`line ${back + 1} is older than the one before`);
  if (history[0]?.kind !== "started") problems.push("it does not begin with the start");
  const ends = history.filter(({ kind }) => kind === "run_completed" || kind === "run_failed" || kind === "run_cancelled").length;
  if (ends !== 1 || history.at(-1)?.kind !== "run_completed")
    problems.push(`it has ${ends} ends, and ${history.at(-1)?.kind ?? "nothing"} last`);
  for (const { number, kind, name, settlements } of operationsOf(history)) {
    if (settlements.length !== 1) problems.push(`${kind} ${name} (number ${number}) was settled ${settlements.length} times`);
  }
  return problems;
}
