import type { HistoryRecord, RunKey, RunOutcome, RunRecord, Store } from "../../backend/index.js";
import { isOpen } from "../../backend/index.js";
import { statusNumber } from "./run-row.js";
import type { Tables } from "./tables.js";

export const loadHistory = ({ history }: Tables, { key, fromSeq, limit }: Parameters<Store["loadHistory"]>[0]): readonly HistoryRecord[] =>
  history.read(key, fromSeq, limit);

export function findRuns({ records, history }: Tables, targets: Parameters<Store["findRuns"]>[0]): readonly (RunOutcome | null)[] {
  return targets.map((target) => {
    const run = records.find(target);
    if (run === undefined) return null;
    const last = isOpen(run.status) ? undefined : history.read(run.key, run.lastSeq, 1)[0];
    return { run, last: last ?? null };
  });
}

type ListOptions = Parameters<Store["listRuns"]>[0];

/** How many runs one piece of a listing looks at: a few milliseconds. */
const pieceSize = 5000;

/**
 * One piece of a listing: the matching ones among the next runs, and where to go on (undefined at the end). There is no index for what one may filter by:
 * it would slow every start down for the sake of a rare question, so a listing walks, and lets the event loop turn between pieces.
 */
export function listPiece(
  { records, names }: Tables,
  { name, status, workflowIdPrefix = "", limit }: ListOptions,
  before: RunKey | undefined,
): { readonly found: readonly RunRecord[]; readonly next: RunKey | undefined } {
  const newest = records.newestKey();
  const end = Math.min(before ?? Infinity, newest + 1);
  const nameId = name === undefined ? undefined : names.find(name);
  if (limit <= 0 || end <= 1 || (name !== undefined && nameId === undefined)) return { found: [], next: undefined };
  const from = Math.max(1, end - pieceSize);
  const filter = {
    before: end,
    from,
    name: nameId,
    status: status === undefined ? undefined : statusNumber(status),
    prefix: workflowIdPrefix,
  };
  const found = records.list({ ...filter, limit });
  return { found, next: found.length >= limit || from === 1 ? undefined : from };
}
