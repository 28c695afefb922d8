// JSON of every shape in the collection: records, rows, vectors, objects of tables, GeoJSON and TopoJSON.
import { textFaults } from "./parse-delimited.js";
import { parseGeoJson, parseTopology } from "./parse-geo.js";
import {
  type Column,
  columnsFromRecords,
  countDuplicates,
  emptyFile,
  isRecord,
  type JsonRecord,
  type ParsedFile,
  toCell,
} from "./tables.js";

export function parseJson(text: string): ParsedFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ...emptyFile("JSON"), faults: [`is not JSON: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const parsed = parseValue(value);
  return { ...parsed, faults: [...parsed.faults, ...textFaults(text)] };
}

export function parseValue(value: unknown): ParsedFile {
  if (Array.isArray(value)) return parseArray(value);
  if (!isRecord(value)) return { ...emptyFile("JSON value"), rows: 1, columns: [{ name: "(value)", cells: [toCell(value)] }] };
  if (value["type"] === "Topology") return parseTopology(value);
  if (value["type"] === "FeatureCollection") return parseGeoJson(value);
  return parseObject(value);
}

function parseArray(items: readonly unknown[]): ParsedFile {
  const columns = columnsOf(items, "");
  const shape = items.every(isRecord) ? "records" : items.every((item) => Array.isArray(item)) ? "rows" : "values";
  return {
    format: `JSON ${shape}`,
    rows: items.length,
    columns,
    // A vector of single values repeats by nature; only rows can be copies.
    duplicateRows: shape === "values" ? 0 : countDuplicates(items.map((item) => [item])),
    faults: items.length === 0 ? ["holds no rows"] : [],
    facts: [],
  };
}

/** An object is a set of tables: each of its lists is one, what is left are its settings. */
function parseObject(value: JsonRecord): ParsedFile {
  const lists = Object.entries(value).filter((entry): entry is [string, unknown[]] => Array.isArray(entry[1]));
  const settings = Object.entries(value).filter(([, item]) => !Array.isArray(item));
  const columns = lists.flatMap(([name, items]) => columnsOf(items, name));
  return {
    format: "JSON object",
    rows: Math.max(0, ...lists.map(([, items]) => items.length)),
    columns: columns.length > 0 ? columns : columnsFromRecords([value]),
    duplicateRows: lists.reduce((sum, [, items]) => sum + (items.every(isRecord) ? countDuplicates(items.map((item) => [item])) : 0), 0),
    faults: [],
    facts: [
      ...lists.map(([name, items]) => `${name}: ${items.length} items`),
      ...settings.filter(([, item]) => typeof item !== "object").map(([name, item]) => `${name}: ${String(item)}`),
    ],
  };
}

function columnsOf(items: readonly unknown[], name: string): readonly Column[] {
  const prefix = name === "" ? "" : `${name}.`;
  if (items.length > 0 && items.every(isRecord)) return columnsFromRecords(items, prefix);
  if (items.length > 0 && items.every((item): item is unknown[] => Array.isArray(item))) {
    const width = Math.max(...items.map((item) => item.length));
    return Array.from({ length: width }, (_, index) => ({ name: `${prefix}${index}`, cells: items.map((item) => toCell(item[index])) }));
  }
  return [{ name: name === "" ? "(values)" : name, cells: items.map(toCell) }];
}
