/** What a chain of runs keeps beside its histories for everybody to read: entries, streams and attributes. */
import type { AppendOperation, AppendOutcome, Attribute, EntryRecord, NewChunk, NewEntry, Store } from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { copyChunk, copyEntry, copyPayload } from "./copies.js";
import { findTarget } from "./messages.js";
import type { ChainKey, MemoryState, StreamRows } from "./state.js";
import { rowOf } from "./state.js";

export function writeEntries(state: MemoryState, chain: ChainKey, entries: readonly NewEntry[]): void {
  if (entries.length === 0) return;
  const table = tableOf<EntryRecord>(state.entries, chain);
  for (const { name, payload } of entries)
    table.set(name, { name, payload: copyPayload(payload), version: (table.get(name)?.version ?? 0) + 1 });
}

export function writeAttributes(state: MemoryState, chain: ChainKey, attributes: readonly Attribute[]): void {
  if (attributes.length === 0) return;
  const table = tableOf<string>(state.attributes, chain);
  for (const { name, value } of attributes) {
    if (value === null) table.delete(name);
    else table.set(name, value);
  }
}

export function appendChunks(state: MemoryState, chain: ChainKey, chunks: readonly NewChunk[]): void {
  for (const { stream, writer, number, restartAt, payload } of chunks) {
    const table = tableOf<StreamRows>(state.streams, chain);
    let rows = table.get(stream);
    if (rows === undefined) table.set(stream, (rows = { chunks: [], lastNumbers: new Map() }));
    if (number > 0) {
      if (number <= (rows.lastNumbers.get(writer) ?? 0)) continue;
      rows.lastNumbers.set(writer, number);
    }
    rows.chunks.push({ offset: rows.chunks.length, writer, restartAt, payload: copyPayload(payload) });
  }
}

export function applyAppend(state: MemoryState, { on, chunks }: AppendOperation): AppendOutcome {
  const task = "task" in on ? state.tasks.get(on.task) : undefined;
  const run = state.runs.get("run" in on ? on.run : (task?.runKey ?? 0));
  const held = "run" in on ? run : task;
  if (run === undefined || !isOpen(run.status) || held === undefined || held.owner === null || held.epoch !== on.epoch) {
    return { status: "fenced" };
  }
  appendChunks(state, run.chain, chunks);
  return { status: "appended" };
}

export function readEntries(
  state: MemoryState,
  { target, names }: Parameters<Store["readEntries"]>[0],
): Awaited<ReturnType<Store["readEntries"]>> {
  const run = findTarget(state, target);
  if (run === undefined) return null;
  const table = state.entries.get(run.chain);
  return names.map((name) => {
    const entry = table?.get(name);
    return entry === undefined ? null : copyEntry(entry);
  });
}

export function readChunks(
  state: MemoryState,
  { target, stream, from, limit }: Parameters<Store["readChunks"]>[0],
): Awaited<ReturnType<Store["readChunks"]>> {
  const run = findTarget(state, target);
  if (run === undefined) return null;
  const rows = state.streams.get(run.chain)?.get(stream);
  // Another run of the chain may go on writing.
  const isChainOpen = isOpen((run.nextInChain === null ? run : rowOf(state.runs, newestOf(state, run.runId))).status);
  return { chunks: (rows?.chunks ?? []).slice(from, from + limit).map(copyChunk), isOpen: isChainOpen };
}

const newestOf = (state: MemoryState, runId: string): number => findTarget(state, { chainOf: runId })?.key ?? 0;

export function readStreamTail(
  state: MemoryState,
  { key, stream, writer }: Parameters<Store["readStreamTail"]>[0],
): Awaited<ReturnType<Store["readStreamTail"]>> {
  const rows = state.streams.get(rowOf(state.runs, key).chain)?.get(stream);
  const own = (rows?.chunks ?? []).filter((chunk) => chunk.writer === writer);
  const since = own.slice(own.findLastIndex((chunk) => chunk.restartAt !== null) + 1);
  return { lastNumber: rows?.lastNumbers.get(writer) ?? 0, chunks: since.length, firstOffset: since[0]?.offset ?? null };
}

function tableOf<Value>(tables: Map<ChainKey, Map<string, Value>>, chain: ChainKey): Map<string, Value> {
  let table = tables.get(chain);
  if (table === undefined) tables.set(chain, (table = new Map<string, Value>()));
  return table;
}
