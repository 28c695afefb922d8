import { judge, type Goal } from "./goals.js";
import { rounded } from "./measure.js";
import type { BackendName } from "./sites.js";

export type Figures = Readonly<Record<string, number | string>>;

/** What a workload hands back. */
export interface Measurement {
  readonly figures: Figures;
  /** What the same machine does, in the same minute, without an engine. */
  readonly ceiling?: Figures;
  /** What went wrong with the work itself: lost, failed, doubled beyond the contract. Never a matter of speed. */
  readonly errors?: readonly string[];
}

/** One line of the output. */
export interface Line {
  readonly workload: string;
  readonly backend: BackendName;
  readonly figures: Figures;
  readonly ceiling?: Figures;
  readonly goals?: Readonly<Record<string, Goal>>;
  readonly errors?: readonly string[];
}

const roundedAll = (figures: Figures): Figures =>
  Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, typeof value === "number" ? rounded(value) : value]));

export function lineOf(workload: string, backend: BackendName, measurement: Measurement): Line {
  const goals = judge(workload, backend, measurement.figures);
  const roundedGoals = Object.fromEntries(Object.entries(goals).map(([name, goal]) => [name, { ...goal, value: rounded(goal.value) }]));
  return {
    workload,
    backend,
    figures: roundedAll(measurement.figures),
    ...(measurement.ceiling && { ceiling: roundedAll(measurement.ceiling) }),
    ...(Object.keys(goals).length > 0 && { goals: roundedGoals }),
    ...(measurement.errors !== undefined && measurement.errors.length > 0 && { errors: measurement.errors }),
  };
}

/** MariaDB's speed is a matter of PostgreSQL's: adds its share, if both were measured in this run. */
export function withRatio(workload: string, backend: BackendName, measurement: Measurement, earlier: readonly Line[]): Measurement {
  const own = measurement.figures["stepsPerSec"];
  const other = earlier.find((line) => line.workload === workload && line.backend === "postgres")?.figures["stepsPerSec"];
  if (backend !== "mysql" || typeof own !== "number" || typeof other !== "number") return measurement;
  return { ...measurement, figures: { ...measurement.figures, shareOfPostgres: own / other } };
}

export interface Summary {
  readonly summary: true;
  /** How many goals were met. */
  readonly met: number;
  readonly missed: readonly string[];
  readonly errors: number;
}

export function summaryOf(lines: readonly Line[]): Summary {
  const goals = lines.flatMap((line) =>
    Object.entries(line.goals ?? {}).map(([name, goal]) => ({ name: `${line.workload}.${line.backend}.${name}`, met: goal.met })),
  );
  return {
    summary: true,
    met: goals.filter((goal) => goal.met).length,
    missed: goals.filter((goal) => !goal.met).map((goal) => goal.name),
    errors: lines.reduce((sum, line) => sum + (line.errors?.length ?? 0), 0),
  };
}

/** A line for people. */
export function textOf(line: Line): string {
  const rows = Object.entries(line.figures).map(([name, value]) => {
    const goal = line.goals?.[name];
    const verdict = goal === undefined ? "" : `   ${goal.met ? "met" : "MISSED"}: ${goal.rule} ${goal.limit}`;
    return `  ${name.padEnd(28)} ${String(value).padStart(12)}${verdict}`;
  });
  const ceiling = Object.entries(line.ceiling ?? {}).map(
    ([name, value]) => `  ${`ceiling ${name}`.padEnd(28)} ${String(value).padStart(12)}`,
  );
  const errors = (line.errors ?? []).map((error) => `  WRONG: ${error}`);
  return [`${line.workload} on ${line.backend}`, ...rows, ...ceiling, ...errors, ""].join("\n");
}
