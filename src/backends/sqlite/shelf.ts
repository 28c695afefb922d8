/** What a chain of runs keeps beside its histories for everybody to read: entries, streams and attributes. */
import type { AppendOperation, AppendOutcome, Attribute, Effects, NewChunk, RunKey, Store } from "../../backend/index.js";
import { continuedStatus, isOpenRow } from "./run-row.js";
import type { Tables, Work } from "./tables.js";

/** Writes what a turn puts on the shelf of its chain: nothing, most of the time. */
export function putOnShelf(work: Work, run: RunKey, { entries, chunks, attributes }: Effects): void {
  if (entries.length + chunks.length + attributes.length === 0) return;
  const chain = work.runs.byKey(run)?.chain;
  if (chain === undefined) throw new Error(`The run ${run} is missing.`);
  for (const entry of entries) work.entries.write(chain, entry);
  appendChunks(work, chain, chunks);
  writeAttributes(work, chain, attributes);
}

export function writeAttributes(work: Work, chain: RunKey, attributes: readonly Attribute[]): void {
  for (const attribute of attributes) work.attributes.write(chain, attribute);
}

function appendChunks({ chunks: table }: Work, chain: RunKey, chunks: readonly NewChunk[]): void {
  const nextOffsets = new Map<string, number>();
  for (const chunk of chunks) {
    const { stream, writer, number } = chunk;
    if (number > 0 && number <= table.lastNumber(chain, stream, writer)) continue;
    const offset = nextOffsets.get(stream) ?? table.nextOffset(chain, stream);
    table.insert(chain, offset, chunk);
    nextOffsets.set(stream, offset + 1);
  }
}

export function applyAppend(work: Work, { on, chunks }: AppendOperation): AppendOutcome {
  const task = "task" in on ? work.tasks.byKey(on.task) : undefined;
  const run = work.runs.byKey("run" in on ? on.run : (task?.run ?? 0));
  const held = "run" in on ? run : task;
  if (run === undefined || !isOpenRow(run) || held === undefined || held.owner === null || held.epoch !== on.epoch) {
    return { status: "fenced" };
  }
  appendChunks(work, run.chain, chunks);
  return { status: "appended" };
}

export function readEntries(
  { runs, entries }: Tables,
  { target, names }: Parameters<Store["readEntries"]>[0],
): Awaited<ReturnType<Store["readEntries"]>> {
  const run = runs.find(target);
  return run === undefined ? null : names.map((name) => entries.read(run.chain, name) ?? null);
}

export function readChunks(
  { runs, chunks }: Tables,
  { target, stream, from, limit }: Parameters<Store["readChunks"]>[0],
): Awaited<ReturnType<Store["readChunks"]>> {
  const run = runs.find(target);
  if (run === undefined) return null;
  // In this order: the other way round, the last chunks could be missing from a stream that is said to be closed.
  const newest = run.status === continuedStatus && "runId" in target ? runs.find({ chainOf: target.runId }) : run;
  return { isOpen: newest !== undefined && isOpenRow(newest), chunks: chunks.read(run.chain, stream, from, limit) };
}

export function readStreamTail(
  { runs, chunks }: Tables,
  { key, stream, writer }: Parameters<Store["readStreamTail"]>[0],
): Awaited<ReturnType<Store["readStreamTail"]>> {
  return chunks.tail(runs.byKey(key)?.chain ?? 0, stream, writer);
}
