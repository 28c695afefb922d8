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
/** How many of them it looks up one by one. */
const lookupsMax = 200;
/** Up to how many runs with an attribute are few. */
const fewMax = 5000;

/** Matching runs, and below which key to go on; undefined at the end. */
interface Piece {
  readonly found: readonly RunRecord[];
  readonly next: RunKey | undefined;
}

/**
 * One piece of a listing. There is no index for the name, status or id of runs: it would slow every start down for the sake of a rare question, so a listing
 * walks, and lets the event loop turn between pieces. The children of a run, and the runs with an attribute that few have, are looked up.
 */
export function listPiece(tables: Tables, options: ListOptions, before: RunKey | undefined): Piece {
  const { records, names } = tables;
  const { name, status, workflowIdPrefix = "", parentRunId, attributes = [], limit } = options;
  const end = Math.min(before ?? Infinity, records.newestKey() + 1);
  const nameId = name === undefined ? undefined : names.find(name);
  if (limit <= 0 || end <= 1 || (name !== undefined && nameId === undefined)) return { found: [], next: undefined };
  const filter = {
    name: nameId,
    status: status === undefined ? undefined : statusNumber(status),
    prefix: workflowIdPrefix,
    parentRunId,
    attributes,
  };
  const candidates = candidatesOf(tables, options, end);
  if (candidates !== undefined) {
    const found: RunRecord[] = [];
    for (const key of candidates.keys) {
      if (found.length === limit) break;
      found.push(...records.list({ ...filter, before: key + 1, from: key, limit: 1 }));
    }
    return { found, next: found.length === limit ? undefined : candidates.next };
  }
  const from = Math.max(1, end - pieceSize);
  const found = records.list({ ...filter, before: end, from, limit });
  return { found, next: found.length >= limit || from === 1 ? undefined : from };
}

/** The next runs, the newest first, outside of which none can match; undefined if those are too many to be looked up. */
function candidatesOf(
  { records, attributes: table }: Tables,
  { parentRunId, attributes = [] }: ListOptions,
  before: RunKey,
): { readonly keys: readonly RunKey[]; readonly next: RunKey | undefined } | undefined {
  if (parentRunId !== undefined) return firstOf(records.childrenOf(parentRunId, before, lookupsMax + 1));
  const lists = attributes.map((attribute) => table.runsWith(attribute, fewMax)).filter((keys) => keys.length < fewMax);
  const [shortest] = lists.toSorted((a, b) => a.length - b.length);
  return shortest && firstOf(shortest.filter((key) => key < before).toSorted((a, b) => b - a));
}

function firstOf(keys: readonly RunKey[]): { readonly keys: readonly RunKey[]; readonly next: RunKey | undefined } {
  return { keys: keys.slice(0, lookupsMax), next: keys.length > lookupsMax ? keys[lookupsMax - 1] : undefined };
}
