import type { EntryRecord, InboxRecord, Payload, RunOutcome, RunTarget, Store } from "../../backend/index.js";
import type { Link } from "./link.js";
import { indexForm } from "./names.js";
import type { Statements } from "./statements.js";
import { chunkOf, inboxRecordOf, lineOf, recordOf } from "./values.js";

export async function loadInboxes(
  link: Link,
  statements: Statements,
  runs: Parameters<Store["loadInboxes"]>[0],
): Promise<readonly (readonly InboxRecord[])[]> {
  const boxes: InboxRecord[][] = runs.map(() => []);
  if (runs.length === 0) return boxes;
  const rows = await link.rows<unknown[]>(statements.inboxes, [runs.map(({ key }) => key), runs.map(({ above }) => above)], "read");
  for (const [index, ...columns] of rows) boxes[(index as number) - 1]?.push(inboxRecordOf(columns));
  return boxes;
}

/** A target as the three arguments of `find_run_1`. */
export const targetForms = (target: RunTarget): readonly [workflowId: string | null, runId: string | null, chainOf: string | null] =>
  "workflowId" in target
    ? [indexForm(target.workflowId), null, null]
    : "runId" in target
      ? [null, indexForm(target.runId), null]
      : [null, null, indexForm(target.chainOf)];

export async function findRuns(
  link: Link,
  statements: Statements,
  targets: Parameters<Store["findRuns"]>[0],
): Promise<readonly (RunOutcome | null)[]> {
  const found: (RunOutcome | null)[] = targets.map(() => null);
  if (targets.length === 0) return found;
  const forms = targets.map(targetForms);
  const columns = [forms.map(([form]) => form), forms.map(([, form]) => form), forms.map(([, , form]) => form)];
  for (const row of await link.rows<unknown[]>(statements.find, columns, "read")) {
    const last = row[1] === null ? null : lineOf(row.slice(1, 6));
    found[(row[0] as number) - 1] = { run: recordOf(row.slice(6)), last };
  }
  return found;
}

export async function readEntries(
  link: Link,
  statements: Statements,
  { target, names }: Parameters<Store["readEntries"]>[0],
): Promise<readonly (EntryRecord | null)[] | null> {
  const rows = await link.rows<unknown[]>(statements.entries, [...targetForms(target), names.map(indexForm)], "read");
  if (rows.length === 0) return null;
  const byIndex = new Map(rows.filter(([, version]) => version !== null).map(([x, ...entry]) => [x, entry]));
  return names.map((name, index) => {
    const entry = byIndex.get(index + 1);
    if (entry === undefined) return null;
    const [version, payload, bytes] = entry;
    return { name, version: version as number, payload: (payload ?? bytes) as Payload | null };
  });
}

export async function readChunks(
  link: Link,
  statements: Statements,
  { target, stream, from, limit }: Parameters<Store["readChunks"]>[0],
): ReturnType<Store["readChunks"]> {
  const values = [...targetForms(target), indexForm(stream), from, limit];
  const rows = await link.rows<unknown[]>(statements.chunks, values, "read");
  const [first] = rows;
  if (first === undefined) return null;
  return { chunks: rows.filter((row) => row[1] !== null).map((row) => chunkOf(row.slice(1))), isOpen: first[0] === true };
}

export async function readStreamTail(
  link: Link,
  statements: Statements,
  { key, stream, writer }: Parameters<Store["readStreamTail"]>[0],
): ReturnType<Store["readStreamTail"]> {
  const rows = await link.rows<[number, number, number | null]>(statements.streamTail, [key, indexForm(stream), indexForm(writer)], "read");
  const [lastNumber = 0, chunks = 0, firstOffset = null] = rows[0] ?? [];
  return { lastNumber, chunks, firstOffset };
}
