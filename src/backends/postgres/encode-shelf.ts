/** What a chain keeps beside its histories, as the rows that `leave_behind_1` and `append_chunks_1` read. */
import type { Attribute, NewChunk, NewEntry } from "../../backend/index.js";
import { indexForm, longForms } from "./names.js";
import { payloadFields } from "./values.js";

/** The last of each name, with how often it is written. */
export function encodeEntries(entries: readonly NewEntry[]): readonly object[] {
  const rows = new Map<string, { readonly n: string; readonly v: number; readonly p?: string; readonly b?: string }>();
  for (const { name, payload } of entries) {
    const n = indexForm(name);
    rows.set(n, { n, v: (rows.get(n)?.v ?? 0) + 1, ...payloadFields(payload) });
  }
  return [...rows.values()];
}

/** Those that their writers have not appended before in the same order; what they did in earlier ones the table knows. */
export function encodeChunks(chunks: readonly NewChunk[]): readonly object[] {
  const rows: object[] = [];
  const lastNumbers = new Map<string, number>();
  for (const { stream, writer, number, restartAt, payload } of chunks) {
    const [s, w] = [indexForm(stream), indexForm(writer)];
    const from = JSON.stringify([s, w]);
    if (number > 0 && number <= (lastNumbers.get(from) ?? 0)) continue;
    if (number > 0) lastNumbers.set(from, number);
    rows.push({ i: rows.length, s, w, n: number, r: restartAt, ...(w !== writer && { lw: writer }), ...payloadFields(payload) });
  }
  return rows;
}

/** The last of each name; without a value, it is removed. */
export function encodeAttributes(attributes: readonly Attribute[]): readonly object[] {
  const rows = new Map<string, object>();
  for (const { name, value } of attributes) {
    const n = indexForm(name);
    const row = { n, v: value === null ? null : indexForm(value), lf: longForms({ name, ...(value !== null && { value }) }) };
    rows.set(n, row);
  }
  return [...rows.values()];
}
