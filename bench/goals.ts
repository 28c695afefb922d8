import type { BackendKind } from "./options.js";

export interface Goal {
  readonly value: number;
  readonly limit: number;
  readonly rule: Rule;
  readonly met: boolean;
}

type Rule = "at most" | "at least" | "exactly";
type Limits = Readonly<Record<string, readonly [rule: Rule, limit: number]>>;

/** What each figure of a workload ought to be on an ordinary development machine. `docs/benchmarks.md` says where the numbers come from. */
const limits: Readonly<Record<string, Partial<Record<BackendKind, Limits>>>> = {
  W1: { sqlite: { c1P50Ms: ["at most", 0.8], workflowsPerSec: ["at least", 25_000] } },
  W2: {
    sqlite: {
      c1P50Ms: ["at most", 5],
      transactionsPerWorkflow: ["exactly", 11],
      stepsPerSec: ["at least", 40_000],
      shareOfCeiling: ["at least", 0.4],
      nodeCpuMsPer1000: ["at most", 30],
    },
    memory: { stepsPerSec: ["at least", 100_000] },
  },
  W3: { sqlite: { fanOut100P50Ms: ["at most", 5], fanOut1000P50Ms: ["at most", 30] } },
  W4: { sqlite: { startsPerSec: ["at least", 8_000], memoryGrowthMb: ["at most", 10], idleCpuPercent: ["at most", 0.5] } },
  W5: {
    sqlite: {
      msPerStep: ["at most", 0.6],
      lastToFirstCpu: ["at most", 1.1],
      lastToFirstWall: ["at most", 1.25],
      coldReplayMs: ["at most", 80],
      recoveryMs: ["at most", 400],
    },
    memory: { lastToFirstCpu: ["at most", 1.1], coldReplayMs: ["at most", 80] },
  },
  W6: { sqlite: { wakeP50Ms: ["at most", 1.2], acrossWakeP50Ms: ["at most", 3] } },
  W7: { sqlite: { firstMoveMs: ["at most", 500], allDoneMs: ["at most", 1_200] } },
  W7b: { sqlite: { takeoverP50Ms: ["at most", 1_000], takeoverMaxMs: ["at most", 1_000], refusedStarts: ["exactly", 0] } },
  W8: { sqlite: { activitiesPerSec: ["at least", 8_000] } },
  "four-processes": {
    sqlite: {
      rejected: ["exactly", 0],
      failed: ["exactly", 0],
      left: ["exactly", 0],
      maxStallMs: ["at most", 50],
      smallestShare: ["at least", 0.2],
    },
  },
};

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
  backend: BackendKind,
  figures: Readonly<Record<string, number | string>>,
): Readonly<Record<string, Goal>> {
  const table = limits[workload]?.[backend] ?? {};
  return Object.fromEntries(
    Object.entries(table).map(([name, [rule, limit]]) => {
      const figure = figures[name];
      const value = typeof figure === "number" ? figure : Number.NaN;
      return [name, { value, limit, rule, met: holds(rule, value, limit) }];
    }),
  );
}
