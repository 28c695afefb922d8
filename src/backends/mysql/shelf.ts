/** What a chain of runs keeps beside its histories for everybody to read: entries, streams and attributes. */
import type { AppendOperation, AppendOutcome, Attribute, NewChunk, NewEntry, RunKey, RunTarget, Store } from "../../backend/index.js";
import type { Batch } from "./batch.js";
import type { Changes } from "./changes.js";
import type { Hall } from "./claims.js";
import { mapOf, tailOf } from "./locks.js";
import { isOpenRow } from "./run-row.js";
import type { Tables } from "./schema.js";
import { hexOf, idKey, idOf, keyLiteral, nullableNumberOf, number, numberOf, payloadOf, pieces } from "./sql.js";
import { chainStatement } from "./targets.js";

export function writeEntries(changes: Changes, chain: RunKey, entries: readonly NewEntry[]): void {
  for (const { name, payload } of entries) {
    const key = `${chain}:${idKey(name)}`;
    changes.entries.set(key, { chain, name, payload, times: (changes.entries.get(key)?.times ?? 0) + 1 });
  }
}

export function writeAttributes(batch: Batch, changes: Changes, chain: RunKey, attributes: readonly Attribute[]): void {
  for (const { name, value } of attributes) {
    changes.attributes.set(`${chain}:${idKey(name)}`, { chain, name, value });
    const held = mapOf(batch.attributes, chain);
    if (value === null) held.delete(name);
    else held.set(name, value);
  }
}

export const attributeList = (held: ReadonlyMap<string, string> | undefined): readonly Attribute[] =>
  [...(held ?? [])].map(([name, value]) => ({ name, value })).toSorted((a, b) => (a.name < b.name ? -1 : 1));

export function appendChunks(batch: Batch, changes: Changes, chain: RunKey, chunks: readonly NewChunk[]): void {
  for (const chunk of chunks) {
    const tail = tailOf(batch.streams, `${chain}:${idKey(chunk.stream)}`);
    if (chunk.number > 0) {
      const writer = idKey(chunk.writer);
      if (chunk.number <= (tail.lastNumbers.get(writer) ?? 0)) continue;
      tail.lastNumbers.set(writer, chunk.number);
    }
    changes.chunks.push({ chain, place: tail.nextPlace, chunk });
    tail.nextPlace += 1;
  }
}

export function applyAppend(batch: Batch, changes: Changes, { on, chunks }: AppendOperation): AppendOutcome {
  const task = "task" in on ? batch.tasks.get(on.task) : undefined;
  const key = "run" in on ? on.run : task?.run;
  const row = key === undefined ? undefined : batch.runs.get(key);
  const held = "run" in on ? row : task;
  if (row === undefined || !isOpenRow(row) || held === undefined || held.owner === null || held.epoch !== on.epoch)
    return { status: "fenced" };
  appendChunks(batch, changes, row.chain, chunks);
  return { status: "appended" };
}

interface Chain {
  readonly chain: RunKey;
  /** May its runs still write? */
  readonly isOpen: boolean;
}

async function chainOf({ lanes, tables }: Hall, target: RunTarget): Promise<Chain | null> {
  const [answer] = await lanes.transact((work) => work.run([chainSelect(tables, target)]));
  const [chain, status] = answer?.rows[0] ?? [];
  return chain === undefined ? null : { chain: numberOf(chain), isOpen: isOpenRow({ status: numberOf(status) }) };
}

/** The chain of the run that is meant, and the status of the newest run in it. */
function chainSelect(tables: Tables, target: RunTarget): string {
  const { fact, run } = tables;
  if ("workflowId" in target)
    return `SELECT r.chain, r.status FROM ${fact} f FORCE INDEX (by_workflow) STRAIGHT_JOIN ${run} r ON r.id=f.id WHERE f.workflow_key=${keyLiteral(target.workflowId)} AND f.superseded=0`;
  const runId = "runId" in target ? target.runId : target.chainOf;
  return `SELECT r.chain, r.status FROM (${chainStatement(tables, [keyLiteral(runId)])}) m STRAIGHT_JOIN ${run} r ON r.id=m.tip`;
}

export async function readEntries(hall: Hall, { target, names }: Parameters<Store["readEntries"]>[0]): ReturnType<Store["readEntries"]> {
  const found = await chainOf(hall, target);
  if (found === null) return null;
  const select = pieces([...new Set(names.map(keyLiteral))]).map(
    (keys) =>
      `SELECT name_key, version, payload_text, payload_bytes FROM ${hall.tables.entry} FORCE INDEX (PRIMARY) WHERE chain=${found.chain} AND name_key IN (${keys.join(",")})`,
  );
  if (select.length === 0) return [];
  const rows = (await hall.lanes.transact((work) => work.run(select))).flatMap((answer) => answer.rows);
  const entries = new Map(
    rows.map(([key, version, asText, asBytes]) => [hexOf(key), { version: numberOf(version), payload: payloadOf(asText, asBytes) }]),
  );
  return names.map((name) => {
    const entry = entries.get(idKey(name));
    return entry === undefined ? null : { name, ...entry };
  });
}

export async function readChunks(
  hall: Hall,
  { target, stream, from, limit }: Parameters<Store["readChunks"]>[0],
): ReturnType<Store["readChunks"]> {
  const found = await chainOf(hall, target);
  if (found === null) return null;
  const select = `SELECT place, writer_key, writer_long, restart_at, payload_text, payload_bytes FROM ${hall.tables.chunk} FORCE INDEX (PRIMARY)
WHERE chain=${found.chain} AND stream_key=${keyLiteral(stream)} AND place>=${number(from)} ORDER BY place LIMIT ${limit}`;
  const [answer] = await hall.lanes.transact((work) => work.run([select]));
  const chunks = (answer?.rows ?? []).map(([place, writerKey, writerLong, restartAt, asText, asBytes]) => ({
    offset: numberOf(place),
    writer: idOf(writerKey, writerLong),
    restartAt: nullableNumberOf(restartAt),
    payload: payloadOf(asText, asBytes),
  }));
  return { chunks, isOpen: found.isOpen };
}

export async function readStreamTail(
  { lanes, tables }: Hall,
  { key, stream, writer }: Parameters<Store["readStreamTail"]>[0],
): ReturnType<Store["readStreamTail"]> {
  const own = (alias: string): string =>
    `FROM ${tables.run} r STRAIGHT_JOIN ${tables.chunk} ${alias} FORCE INDEX (by_writer) ON ${alias}.chain=r.chain WHERE r.id=${key} AND ${alias}.stream_key=${keyLiteral(stream)} AND ${alias}.writer_key=${keyLiteral(writer)}`;
  const select = `SELECT COALESCE((SELECT MAX(n.number) ${own("n")}),0), COUNT(*), MIN(c.place) ${own("c")}
AND c.place>COALESCE((SELECT MAX(m.place) ${own("m")} AND m.restart_at IS NOT NULL),-1)`;
  const [answer] = await lanes.transact((work) => work.run([select]));
  const [lastNumber, chunks, firstOffset] = answer?.rows[0] ?? [];
  return { lastNumber: numberOf(lastNumber), chunks: numberOf(chunks), firstOffset: nullableNumberOf(firstOffset) };
}
