import type { BackendName } from "./sites.js";

export interface Goal {
  readonly value: number;
  readonly limit: number;
  readonly rule: Rule;
  readonly met: boolean;
}

type Rule = "at most" | "at least" | "exactly";
type Limits = Readonly<Record<string, readonly [rule: Rule, limit: number]>>;

/** What every database that processes share has to do, however fast it is. */
const delivered: Limits = { deliveredMs: ["at most", 5_000], early: ["exactly", 0], twice: ["exactly", 0] };
const everyone: Limits = { rejected: ["exactly", 0], failed: ["exactly", 0], left: ["exactly", 0] };

/** What each figure of a workload ought to be on an ordinary development machine. `docs/benchmarks.md` says where the numbers come from. */
const limits: Readonly<Record<string, Partial<Record<BackendName, Limits>>>> = {
  W1: {
    sqlite: { c1P50Ms: ["at most", 0.8], workflowsPerSec: ["at least", 25_000] },
    postgres: { c1P50Ms: ["at most", 1.2], workflowsPerSec: ["at least", 12_000], acrossC1P50Ms: ["at most", 4] },
  },
  W2: {
    sqlite: {
      c1P50Ms: ["at most", 5],
      transactionsPerWorkflow: ["exactly", 11],
      stepsPerSec: ["at least", 40_000],
      shareOfCeiling: ["at least", 0.4],
      nodeCpuMsPer1000: ["at most", 30],
      engineCpuMsPer1000: ["at most", 15],
    },
    postgres: {
      c1P50Ms: ["at most", 8],
      transactionsPerWorkflow: ["exactly", 11],
      stepsPerSec: ["at least", 20_000],
      shareOfCeiling: ["at least", 0.5],
      nodeCpuMsPer1000: ["at most", 35],
      serverCpuMsPer1000: ["at most", 25],
      engineCpuMsPer1000: ["at most", 15],
    },
    mysql: { transactionsPerWorkflow: ["exactly", 11], stepsPerSec: ["at least", 10_000], shareOfPostgres: ["at least", 0.5] },
    memory: { stepsPerSec: ["at least", 100_000] },
  },
  W3: {
    sqlite: { fanOut100P50Ms: ["at most", 5], fanOut1000P50Ms: ["at most", 30] },
    postgres: { fanOut100P50Ms: ["at most", 8], fanOut1000P50Ms: ["at most", 50] },
  },
  W4: {
    sqlite: { startsPerSec: ["at least", 8_000], memoryGrowthMb: ["at most", 10], idleCpuPercent: ["at most", 0.5] },
    postgres: {
      startsPerSec: ["at least", 5_000],
      memoryGrowthMb: ["at most", 10],
      idleCpuPercent: ["at most", 0.5],
      statementsPerSec: ["at most", 1],
    },
  },
  W5: {
    sqlite: {
      msPerStep: ["at most", 0.6],
      lastToFirstCpu: ["at most", 1.1],
      lastToFirstWall: ["at most", 1.25],
      coldReplayMs: ["at most", 80],
      recoveryMs: ["at most", 400],
    },
    postgres: {
      msPerStep: ["at most", 1],
      lastToFirstCpu: ["at most", 1.1],
      lastToFirstWall: ["at most", 1.25],
      coldReplayMs: ["at most", 80],
      recoveryMs: ["at most", 500],
    },
    memory: { lastToFirstCpu: ["at most", 1.1], coldReplayMs: ["at most", 80] },
  },
  W6: {
    sqlite: { wakeP50Ms: ["at most", 1.2], acrossWakeP50Ms: ["at most", 3] },
    postgres: { wakeP50Ms: ["at most", 2], acrossWakeP50Ms: ["at most", 3] },
  },
  W7: {
    sqlite: { firstMoveMs: ["at most", 500], allDoneMs: ["at most", 1_200] },
    postgres: { firstMoveMs: ["at most", 500], allDoneMs: ["at most", 1_500] },
  },
  W7b: {
    sqlite: { takeoverP50Ms: ["at most", 1_000], takeoverMaxMs: ["at most", 1_000], refusedStarts: ["exactly", 0] },
    postgres: { takeoverP50Ms: ["at most", 1_000], takeoverMaxMs: ["at most", 2_000], refusedStarts: ["exactly", 0] },
  },
  W8: { sqlite: { activitiesPerSec: ["at least", 8_000] }, postgres: { activitiesPerSec: ["at least", 5_000] } },
  "activity-fan-out": { sqlite: { fanOut1000P50Ms: ["at most", 1_000] }, postgres: { fanOut1000P50Ms: ["at most", 1_000] } },
  updates: { postgres: { updateP50Ms: ["at most", 4] } },
  streams: { sqlite: { readMs: ["at most", 2_000] }, postgres: { readMs: ["at most", 2_000] } },
  timers: { sqlite: delivered, postgres: delivered, mysql: delivered },
  "four-processes": {
    sqlite: { ...everyone, maxStallMs: ["at most", 50], smallestShare: ["at least", 0.2] },
    postgres: everyone,
    mysql: everyone,
  },
};

/** Figures that compare two lines: they are judged where both were measured. */
const relative: ReadonlySet<string> = new Set(["shareOfPostgres"]);

const holds = (rule: Rule, value: number, limit: number): boolean => {
  switch (rule) {
    case "at most":
      return value <= limit;
    case "at least":
      return value >= limit;
    case "exactly":
      return value === limit;
    default:
      return rule satisfies never;
  }
};

/** The goals of a workload, each beside the figure that was measured. A figure that is missing meets nothing. */
export function judge(
  workload: string,
  backend: BackendName,
  figures: Readonly<Record<string, number | string>>,
): Readonly<Record<string, Goal>> {
  const table = limits[workload]?.[backend] ?? {};
  return Object.fromEntries(
    Object.entries(table)
      .filter(([name]) => name in figures || !relative.has(name))
      .map(([name, [rule, limit]]) => {
        const figure = figures[name];
        const value = typeof figure === "number" ? figure : Number.NaN;
        return [name, { value, limit, rule, met: holds(rule, value, limit) }];
      }),
  );
}
