import { median } from "../bench/measure.js";
import type { Verdict } from "./judge.js";

interface Figures {
  readonly trials: number;
  /** The median over the trials of the time until the first taken-over run moved. */
  readonly p50Ms: number;
  /** The longest time in any trial until all had moved. */
  readonly maxMs: number;
  readonly lost: number;
  readonly doubled: number;
}

export interface Summary {
  readonly kill: Figures;
  readonly stop: Figures & { readonly zombieWrites: number };
}

export function summaryOf(verdicts: readonly Verdict[]): Summary {
  const of = (kind: Verdict["kind"]): readonly Verdict[] => verdicts.filter((verdict) => verdict.kind === kind);
  return { kill: figuresOf(of("kill")), stop: { ...figuresOf(of("stop")), zombieWrites: total(of("stop"), "zombieWrites") } };
}

const total = (verdicts: readonly Verdict[], figure: "lost" | "doubled" | "zombieWrites"): number =>
  verdicts.reduce((sum, verdict) => sum + verdict[figure], 0);

function figuresOf(verdicts: readonly Verdict[]): Figures {
  const firsts = verdicts.flatMap(({ firstMs }) => firstMs ?? []);
  const alls = verdicts.flatMap(({ allMs }) => allMs ?? []);
  return {
    trials: verdicts.length,
    p50Ms: firsts.length === 0 ? 0 : Math.round(median(firsts)),
    maxMs: Math.round(Math.max(0, ...alls)),
    lost: total(verdicts, "lost"),
    doubled: total(verdicts, "doubled"),
  };
}

/** A trial as a line of JSON. */
export function lineOf(trial: number, backend: string, verdict: Verdict): string {
  const [firstMs, allMs] = [verdict.firstMs, verdict.allMs].map((ms) => (ms === undefined ? null : Math.round(ms)));
  return JSON.stringify({ trial, backend, ...verdict, firstMs, allMs });
}

/** A trial as text. */
export function textOf({ kind, takenOver, firstMs = 0, allMs = 0, rerun, lateWrites, problems }: Verdict): string {
  const times = `first moved after ${Math.round(firstMs)} ms, all ${takenOver} after ${Math.round(allMs)} ms, ${rerun} bodies ran again`;
  const late = lateWrites === 0 ? "" : `, ${lateWrites} results recorded after the lease in runs not taken over yet`;
  return `${kind}: ${times}${late}${problems.length === 0 ? "" : ` – BUT ${problems.join("; ")}`}\n`;
}
