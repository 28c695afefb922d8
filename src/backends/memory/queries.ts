import type { HistoryRecord, InboxRecord, RunOutcome, RunRecord, Store } from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { copyLine, inboxRecordOf, runRecordOf } from "./copies.js";
import { findTarget } from "./messages.js";
import { rowOf, type MemoryState } from "./state.js";

export function loadHistory(state: MemoryState, options: Parameters<Store["loadHistory"]>[0]): readonly HistoryRecord[] {
  const from = Math.max(options.fromSeq, 1) - 1;
  return (state.histories.get(options.key) ?? []).slice(from, from + options.limit).map(copyLine);
}

export function loadInboxes(state: MemoryState, runs: Parameters<Store["loadInboxes"]>[0]): readonly (readonly InboxRecord[])[] {
  return runs.map(({ key, above }) => {
    const run = state.runs.get(key);
    // The inbox has gone on with the chain.
    if (run === undefined || run.nextInChain !== null) return [];
    const { rows } = rowOf(state.inboxes, run.chain);
    // While the run is open, a row's index is its position less one.
    const candidates = isOpen(run.status) ? rows.slice(above) : rows.filter((row) => row.position > above);
    return candidates.filter((row) => !row.consumed).map(inboxRecordOf);
  });
}

export function findRuns(state: MemoryState, targets: Parameters<Store["findRuns"]>[0]): readonly (RunOutcome | null)[] {
  return targets.map((target) => {
    const row = findTarget(state, target);
    if (row === undefined) return null;
    const last = isOpen(row.status) ? undefined : state.histories.get(row.key)?.at(-1);
    return { run: runRecordOf(state, row), last: last === undefined ? null : copyLine(last) };
  });
}

export function listRuns(state: MemoryState, options: Parameters<Store["listRuns"]>[0]): readonly RunRecord[] {
  const { name, status, workflowIdPrefix = "", before, limit, parentRunId, attributes = [] } = options;
  const children = parentRunId === undefined ? undefined : (state.runsByParent.get(parentRunId) ?? new Set());
  const found: RunRecord[] = [];
  const newest = before === undefined ? state.lastKeys.run : Math.min(before - 1, state.lastKeys.run);
  for (let key = newest; key >= 1 && found.length < limit; key -= 1) {
    const row = state.runs.get(key);
    if (row === undefined || (name !== undefined && row.name !== name) || (status !== undefined && row.status !== status)) continue;
    if (children?.has(row) === false) continue;
    const held = state.attributes.get(row.chain);
    if (!attributes.every((one) => held?.get(one.name) === one.value)) continue;
    if (row.workflowId.startsWith(workflowIdPrefix)) found.push(runRecordOf(state, row));
  }
  return found;
}
