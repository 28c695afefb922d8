// Comma- and tab-separated files. Cells stay text: what they mean is the profile's business.
import { dsvFormat } from "d3-dsv";
import { countDuplicates, emptyFile, type ParsedFile } from "./tables.js";

export function parseDelimited(text: string, delimiter: "," | "\t"): ParsedFile {
  const format = delimiter === "," ? "CSV" : "TSV";
  const content = text.startsWith("\uFEFF") ? text.slice(1) : text;
  const [header, ...body] = dsvFormat(delimiter).parseRows(content);
  if (header === undefined) return { ...emptyFile(format), faults: ["the file is empty"] };
  const columns = header.map((name, index) => ({
    name: name === "" ? `(column ${index + 1})` : name,
    cells: body.map((row) => row[index] ?? null),
  }));
  return {
    format,
    rows: body.length,
    columns,
    duplicateRows: countDuplicates(body),
    faults: [...headerFaults(header), ...raggedFaults(header.length, body), ...textFaults(content)],
    facts: content === text ? [] : ["begins with a byte order mark"],
  };
}

function headerFaults(header: readonly string[]): readonly string[] {
  const faults: string[] = [];
  const unnamed = header.filter((name) => name.trim() === "").length;
  if (unnamed > 0) faults.push(`${unnamed} of ${header.length} columns have no name`);
  const twice = [...new Set(header.filter((name, index) => name !== "" && header.indexOf(name) !== index))];
  if (twice.length > 0) faults.push(`column names that appear twice: ${twice.join(", ")}`);
  return faults;
}

function raggedFaults(width: number, body: readonly (readonly string[])[]): readonly string[] {
  const ragged = body.flatMap((row, index) => (row.length === width ? [] : [index + 2]));
  if (ragged.length === 0) return [];
  return [`${ragged.length} rows do not have ${width} cells (first in line ${ragged[0]})`];
}

/** Faults of any text, found after decoding it as UTF-8. */
export function textFaults(text: string): readonly string[] {
  const faults: string[] = [];
  const undecodable = text.split("\uFFFD").length - 1;
  if (undecodable > 0) faults.push(`${undecodable} characters are not valid UTF-8`);
  if (text.includes("\0")) faults.push("holds NUL characters");
  return faults;
}
