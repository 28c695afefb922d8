import type { InboxRecord, RunOutcome, RunRecord, Store } from "../../backend/index.js";
import type { Link } from "./link.js";
import { indexForm } from "./names.js";
import type { Statements } from "./statements.js";
import { inboxRecordOf, lineOf, recordOf, statusNumber } from "./values.js";

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

export async function findRuns(
  link: Link,
  statements: Statements,
  targets: Parameters<Store["findRuns"]>[0],
): Promise<readonly (RunOutcome | null)[]> {
  const found: (RunOutcome | null)[] = targets.map(() => null);
  if (targets.length === 0) return found;
  const workflowIds = targets.map((target) => ("workflowId" in target ? indexForm(target.workflowId) : null));
  const runIds = targets.map((target) => ("runId" in target ? indexForm(target.runId) : null));
  for (const row of await link.rows<unknown[]>(statements.find, [workflowIds, runIds], "read")) {
    const last = row[1] === null ? null : lineOf(row.slice(1, 6));
    found[(row[0] as number) - 1] = { run: recordOf(row.slice(6)), last };
  }
  return found;
}

/** How many runs one piece of a listing looks at: a few milliseconds. */
const pieceSize = 5000;

/**
 * There is no index for what one may filter by: it would slow every start down for the sake of a rare question. So a listing walks, in pieces, between which
 * the connection is free for others.
 */
export async function listRuns(
  link: Link,
  statements: Statements,
  options: Parameters<Store["listRuns"]>[0],
): Promise<readonly RunRecord[]> {
  const { name, status, workflowIdPrefix = "", limit } = options;
  const [row] = await link.rows<[number]>(statements.newestKey, [], "read");
  let before = Math.min(options.before ?? Infinity, (row?.[0] ?? 0) + 1);
  const filter = [name === undefined ? null : indexForm(name), status === undefined ? null : statusNumber(status), workflowIdPrefix];
  const listed: RunRecord[] = [];
  while (before > 1 && listed.length < limit) {
    const from = Math.max(1, before - pieceSize);
    const rows = await link.rows<unknown[]>(statements.list, [before, from, ...filter, limit - listed.length], "read");
    listed.push(...rows.map(recordOf));
    before = from;
  }
  return listed;
}
