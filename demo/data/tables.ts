// What a parser makes of a file: columns of cells, whatever the format was.

export type Cell = string | number | boolean | null | readonly unknown[] | Readonly<Record<string, unknown>>;

export type JsonRecord = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is JsonRecord => typeof value === "object" && value !== null && !Array.isArray(value);

export interface Column {
  /** For nested data the path: "features.properties.mag". */
  readonly name: string;
  readonly cells: readonly Cell[];
}

export interface ParsedFile {
  /** In words: "CSV", "JSON records", "TopoJSON", "PNG image". */
  readonly format: string;
  readonly rows: number;
  readonly columns: readonly Column[];
  /** How many rows are exact copies of an earlier one. */
  readonly duplicateRows: number;
  /** What is wrong with the file as a whole, found while parsing. */
  readonly faults: readonly string[];
  /** Facts worth a line in the report: "512 × 512 pixels". */
  readonly facts: readonly string[];
}

export const emptyFile = (format: string): ParsedFile => ({ format, rows: 0, columns: [], duplicateRows: 0, faults: [], facts: [] });

/** Counts rows that are copies of an earlier row. */
export function countDuplicates(rows: Iterable<readonly unknown[]>): number {
  const seen = new Set<string>();
  let duplicates = 0;
  for (const row of rows) {
    const key = JSON.stringify(row);
    if (seen.has(key)) duplicates += 1;
    else seen.add(key);
  }
  return duplicates;
}

/** Columns from records that need not have the same keys: a key that a record lacks is a missing cell. */
export function columnsFromRecords(records: readonly Readonly<Record<string, unknown>>[], prefix = ""): readonly Column[] {
  const names = new Set<string>();
  for (const record of records) for (const name of Object.keys(record)) names.add(name);
  return [...names].map((name) => ({ name: `${prefix}${name}`, cells: records.map((record) => toCell(record[name])) }));
}

export function toCell(value: unknown): Cell {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return value;
    case "object":
      return value as Cell;
    default:
      return null;
  }
}
