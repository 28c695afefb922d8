import type { Cell } from "./tables.js";

export type CellType = "missing" | "integer" | "number" | "boolean" | "date" | "text" | "list" | "object";

/** What people write when they have nothing to write. */
const nothing = /^(?:|n\/?a|nan|null|-{1,3}|\?)$/i;
const integer = /^[+-]?\d{1,15}$/;
const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
/** Numbers with thousands separators, as spreadsheets write them. */
export const grouped = /^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$/;
const isoDate = /^\d{4}[-/](?:0?[1-9]|1[0-2])[-/](?:0?[1-9]|[12]\d|3[01])(?:[T ]\d{1,2}:\d{2}.*)?$/;
const namedMonth = /^(?:\d{1,2} )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?: \d{1,2},?)? \d{4}$/i;

/** What a cell holds. Text that reads as a number or a date counts as one: in a CSV everything is text. */
export function classifyCell(cell: Cell): CellType {
  switch (typeof cell) {
    case "number":
      return Number.isInteger(cell) ? "integer" : "number";
    case "boolean":
      return "boolean";
    case "string":
      return classifyText(cell.trim());
    case "object":
      return cell === null ? "missing" : Array.isArray(cell) ? "list" : "object";
    default:
      return cell satisfies never;
  }
}

function classifyText(text: string): CellType {
  if (nothing.test(text)) return "missing";
  // "00501" is a code, not a number: its zeros mean something.
  if (integer.test(text)) return /^0\d/.test(text) ? "text" : "integer";
  if (decimal.test(text) || grouped.test(text)) return "number";
  if (/^(?:true|false)$/i.test(text)) return "boolean";
  if (isoDate.test(text) || namedMonth.test(text)) return "date";
  return "text";
}

/** The number that a cell of the number family holds. */
export const numberOf = (cell: Cell): number => Number(typeof cell === "string" ? cell.replaceAll(",", "") : cell);

/** The kind of value that two types share: whole and broken numbers are numbers. */
export const familyOf = (type: CellType): CellType => (type === "integer" ? "number" : type);
