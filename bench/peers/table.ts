// What the turns of all contenders come to: pure, so that a test can hold it.
import { cpuPer1000, median, percentile, rounded } from "../measure.js";
import { stepCount, type PeerWorkload } from "./contender.js";
import type { ContenderName, SliceResult } from "./slice.js";

type Figures = Readonly<Record<string, number>>;

/** The turns of one workload: for each round, what each contender measured in it. One that failed is missing. */
export type Rounds = readonly Readonly<Partial<Record<ContenderName, SliceResult>>>[];

export interface PeerGoal {
  readonly value: number;
  readonly limit: number;
  readonly met: boolean;
}

export interface WorkloadTable {
  readonly contenders: Readonly<Partial<Record<ContenderName, Figures>>>;
  /** How many times as much as the contender `perdure-postgres` does in the same time. */
  readonly ratio: Figures;
  /** The same for `perdure-sqlite`. */
  readonly sqliteRatio: Figures;
  /** How many times as much CPU, of Node and server together, the contender takes for the same as `perdure-postgres`. Neighbours hardly move it. */
  readonly cpuRatio: Figures;
  readonly goals: Readonly<Record<string, PeerGoal>>;
}

/** At least so many times as fast, by workload and peer. */
const leastRatios: Readonly<Record<PeerWorkload, Figures>> = {
  W1: { dbos: 20 },
  W2: { dbos: 15, openworkflow: 15, restate: 6 },
};

const perWorkflow = (workload: PeerWorkload): number => (workload === "W1" ? 1 : stepCount);
const rateOf = (workload: PeerWorkload, { together, wallMs }: SliceResult): number =>
  ((together.length * perWorkflow(workload)) / wallMs) * 1000;

const roundedAll = (figures: Figures): Figures =>
  Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, rounded(value)]));

function figuresOf(workload: PeerWorkload, slices: readonly SliceResult[]): Figures {
  const rounds: readonly Figures[] = slices.map((slice) => ({
    c1P50Ms: median(slice.alone),
    [workload === "W1" ? "workflowsPerSec" : "stepsPerSec"]: rateOf(workload, slice),
    p50Ms: median(slice.together),
    p99Ms: percentile(slice.together, 0.99),
    ...cpuPer1000(slice, slice.together.length * perWorkflow(workload)),
  }));
  const names = Object.keys(rounds[0] ?? {});
  return roundedAll(Object.fromEntries(names.map((name) => [name, median(rounds.map((round) => round[name] ?? Number.NaN))])));
}

const cpuOf = ({ together, cpuMs, serverCpuMs = 0 }: SliceResult): number => (cpuMs + serverCpuMs) / together.length;

/** The median over the rounds: both of a round met the same neighbours. */
function ratiosOf(
  rounds: Rounds,
  own: ContenderName,
  others: readonly ContenderName[],
  ratio: (own: SliceResult, other: SliceResult) => number,
): Figures {
  const entries = others.flatMap((other) => {
    const ratios = rounds.flatMap((round) => {
      const [mine, theirs] = [round[own], round[other]];
      return mine === undefined || theirs === undefined ? [] : [ratio(mine, theirs)];
    });
    return ratios.length === 0 ? [] : [[other, median(ratios)] as const];
  });
  return roundedAll(Object.fromEntries(entries));
}

export function tableOf(workload: PeerWorkload, rounds: Rounds): WorkloadTable {
  const names = [...new Set(rounds.flatMap((round) => Object.keys(round) as ContenderName[]))];
  const contenders = Object.fromEntries(
    names.map((name) => {
      const slices = rounds.flatMap((round) => round[name] ?? []);
      return [name, figuresOf(workload, slices)];
    }),
  );
  const peers = names.filter((name) => !name.startsWith("perdure-"));
  const faster = (mine: SliceResult, theirs: SliceResult): number => rateOf(workload, mine) / rateOf(workload, theirs);
  const ratio = ratiosOf(rounds, "perdure-postgres", peers, faster);
  const goals = Object.fromEntries(
    Object.entries(leastRatios[workload])
      .filter(([peer]) => peer in ratio)
      .map(([peer, limit]) => {
        const value = ratio[peer] ?? Number.NaN;
        return [peer, { value, limit, met: value >= limit }];
      }),
  );
  const sqliteRatio = ratiosOf(rounds, "perdure-sqlite", peers, faster);
  const cpuRatio = ratiosOf(rounds, "perdure-postgres", peers, (mine, theirs) => cpuOf(theirs) / cpuOf(mine));
  return { contenders, ratio, sqliteRatio, cpuRatio, goals };
}

/** The last line of the output. */
export const jsonOf = (tables: Readonly<Partial<Record<PeerWorkload, WorkloadTable>>>): string =>
  JSON.stringify(
    Object.fromEntries(Object.entries(tables).map(([workload, { contenders, ...rest }]) => [workload, { ...contenders, ...rest }])),
  );

/** For people. */
export function textOf(workload: PeerWorkload, { contenders, ratio, sqliteRatio, cpuRatio, goals }: WorkloadTable): string {
  const columns = [...new Set(Object.values(contenders).flatMap((figures) => Object.keys(figures)))];
  const row = (head: string, cells: readonly string[]): string => `${head.padEnd(18)}${cells.map((cell) => cell.padStart(20)).join("")}`;
  const rows = Object.entries(contenders).map(([name, figures]) =>
    row(
      name,
      columns.map((column) => String(figures[column] ?? "")),
    ),
  );
  const times = (figures: Figures): string =>
    Object.entries(figures)
      .map(([peer, value]) => `${value} × ${peer}`)
      .join(", ");
  const missed = Object.entries(goals).filter(([, { met }]) => !met);
  return [
    row(workload, columns),
    ...rows,
    `speed of perdure-postgres: ${times(ratio)}`,
    `speed of perdure-sqlite: ${times(sqliteRatio)}`,
    `CPU beside perdure-postgres: ${times(cpuRatio)}`,
    ...missed.map(([peer, { limit }]) => `MISSED: at least ${limit} × ${peer}`),
    "",
  ].join("\n");
}
