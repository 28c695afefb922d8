import { type CellType, classifyCell, familyOf, grouped, numberOf } from "./classify-cell.js";
import type { Cell, Column } from "./tables.js";

/** What is known of a column without looking at it again. Small: it is stored with the run. */
export interface ColumnProfile {
  readonly name: string;
  readonly count: number;
  readonly missing: number;
  readonly distinct: number;
  /** How many cells of each type; `missing` apart. */
  readonly types: Readonly<Partial<Record<CellType, number>>>;
  /** The family that most cells belong to; "missing" if there are none. */
  readonly type: CellType;
  /** Cells that begin or end with a blank. */
  readonly padded: number;
  /** Numbers that are written with thousands separators. */
  readonly grouped: number;
  readonly numbers: NumberProfile | undefined;
  /** The most frequent values, as text, shortened. Empty where every value is different. */
  readonly common: readonly { readonly value: string; readonly count: number }[];
  /** A few values of the families that are in the minority, as text. */
  readonly odd: readonly string[];
}

export interface NumberProfile {
  readonly min: number;
  readonly q1: number;
  readonly median: number;
  readonly q3: number;
  readonly max: number;
  readonly mean: number;
  readonly deviation: number;
  /** Values further than three times the middle half's width from it. */
  readonly outliers: number;
}

const shownMax = 40;
const oddMax = 3;

export function profileColumn(column: Column): ColumnProfile {
  const types: Partial<Record<CellType, number>> = {};
  const counts = new Map<string, number>();
  const numbers: number[] = [];
  let missing = 0;
  let padded = 0;
  let separated = 0;
  for (const cell of column.cells) {
    const type = classifyCell(cell);
    if (type === "missing") {
      missing += 1;
      continue;
    }
    types[type] = (types[type] ?? 0) + 1;
    if (familyOf(type) === "number") numbers.push(numberOf(cell));
    if (typeof cell === "string" && cell !== cell.trim()) padded += 1;
    if (typeof cell === "string" && grouped.test(cell.trim())) separated += 1;
    const key = typeof cell === "string" ? cell : JSON.stringify(cell);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const type = mainFamily(types);
  const base = { name: column.name, count: column.cells.length, missing, distinct: counts.size, types, type, padded, grouped: separated };
  return {
    ...base,
    numbers: type === "number" ? profileNumbers(numbers) : undefined,
    common: commonest(counts),
    odd: oddOnes(column.cells, type),
  };
}

function mainFamily(types: Readonly<Partial<Record<CellType, number>>>): CellType {
  const families = new Map<CellType, number>();
  for (const [type, count] of Object.entries(types) as [CellType, number][]) {
    families.set(familyOf(type), (families.get(familyOf(type)) ?? 0) + count);
  }
  let best: CellType = "missing";
  for (const [family, count] of families) if (count > (families.get(best) ?? 0)) best = family;
  return best;
}

export function profileNumbers(values: readonly number[]): NumberProfile | undefined {
  if (values.length === 0) return undefined;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  const variance = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / sorted.length;
  const [q1, q3] = [at(0.25), at(0.75)];
  const far = 3 * (q3 - q1);
  // Without a spread in the middle half every other value would be "far".
  const outliers = far === 0 ? 0 : sorted.reduce((sum, value) => sum + (value < q1 - far || value > q3 + far ? 1 : 0), 0);
  return { min: at(0), q1, median: at(0.5), q3, max: at(1), mean, deviation: Math.sqrt(variance), outliers };
}

function commonest(counts: ReadonlyMap<string, number>): ColumnProfile["common"] {
  return [...counts]
    .filter(([, count]) => count > 1)
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, 3)
    .map(([value, count]) => ({ value: shorten(value), count }));
}

function oddOnes(cells: readonly Cell[], main: CellType): readonly string[] {
  const odd = new Set<string>();
  for (const cell of cells) {
    const family = familyOf(classifyCell(cell));
    if (family !== main && family !== "missing") odd.add(shorten(typeof cell === "string" ? cell : JSON.stringify(cell)));
    if (odd.size === oddMax) break;
  }
  return [...odd];
}

export const shorten = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length <= shownMax ? line : `${line.slice(0, shownMax - 1).replace(/[\uD800-\uDBFF]$/u, "")}…`;
};
