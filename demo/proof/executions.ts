// From lines of the effect log to executions of bodies, and which of them were cut short by which kill.
import type { Effect } from "../run/effect-log.js";
import type { Kill } from "../run/worker-pool.js";

export interface Execution {
  readonly id: string;
  readonly run: string;
  readonly kind: Effect["kind"];
  readonly body: string;
  readonly key: string;
  readonly attempt: number;
  readonly pid: number;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly outcome: "done" | "failed" | "cut short";
  readonly saw: readonly string[];
}

/** In order of their starts. */
export function executionsOf(effects: readonly Effect[]): readonly Execution[] {
  const ends = new Map(effects.filter(({ phase }) => phase !== "start").map((effect) => [effect.execution, effect]));
  return effects
    .filter(({ phase }) => phase === "start")
    .map(({ execution, run, kind, body, key, attempt, pid, at, saw }): Execution => {
      const end = ends.get(execution);
      const outcome = end === undefined ? "cut short" : end.phase === "end" ? "done" : "failed";
      return { id: execution, run, kind, body, key, attempt, pid, startedAt: at, endedAt: end?.at, outcome, saw: saw ?? [] };
    })
    .toSorted((a, b) => a.startedAt - b.startedAt);
}

export interface Rerun {
  readonly before: Execution;
  readonly again: Execution;
  /** The kill that explains it; undefined if an ordinary failure does, or nothing. */
  readonly kill: Kill | undefined;
  readonly explained: boolean;
}

/**
 * Every execution of a body that was not its first, with the kill or failure that explains it: the process of the one before was killed, and what it
 * may have finished had not been recorded. Once it is recorded, nothing explains another execution.
 */
export function rerunsOf(executions: readonly Execution[], kills: readonly Kill[], recorded: ReadonlySet<string>): readonly Rerun[] {
  const killOf = new Map(kills.map((kill) => [kill.pid, kill]));
  const last = new Map<string, Execution>();
  const reruns: Rerun[] = [];
  for (const again of executions) {
    const before = last.get(again.key);
    last.set(again.key, again);
    if (before === undefined) continue;
    const kill = killOf.get(before.pid);
    const lostAtKill = kill !== undefined && again.startedAt >= kill.at && !recorded.has(before.id);
    const retried = before.outcome === "failed" && again.attempt > before.attempt;
    reruns.push({ before, again, kill: lostAtKill ? kill : undefined, explained: lostAtKill || retried });
  }
  return reruns;
}

/** What a kill cut short and how soon it went on elsewhere. */
export interface Takeover {
  readonly kill: Kill;
  /** Bodies that were running in the process when it died. */
  readonly cutShort: number;
  /** From the kill to the first of these bodies running in another process; undefined if there were none. */
  readonly firstMs: number | undefined;
  /** From the kill to the last of them running again. */
  readonly lastMs: number | undefined;
  /** Bodies that never ran again. */
  readonly abandoned: number;
}

export function takeoversOf(executions: readonly Execution[], kills: readonly Kill[]): readonly Takeover[] {
  return kills.map((kill) => {
    const cut = executions.filter(({ pid, outcome }) => pid === kill.pid && outcome === "cut short");
    const again = cut.flatMap(({ key, pid, startedAt }) => {
      const next = executions.find((other) => other.key === key && other.pid !== pid && other.startedAt >= startedAt);
      return next === undefined ? [] : [next.startedAt - kill.at];
    });
    return {
      kill,
      cutShort: cut.length,
      firstMs: again.length === 0 ? undefined : Math.min(...again),
      lastMs: again.length === 0 ? undefined : Math.max(...again),
      abandoned: cut.length - again.length,
    };
  });
}
