import type { HistoryRecord, InboxRecord, RunOutcome, RunRecord, Store } from "../../backend/index.js";
import { itemKindOf } from "./changes.js";
import type { Hall } from "./claims.js";
import { factColumns, factOf, factWidth, isOpenRow, recordOf, rowColumns, rowOf, rowWidth, statusNumber } from "./run-row.js";
import type { Row } from "./session.js";
import { bytes, idOf, keyLiteral, nullableNumberOf, number, numberOf, payloadOf, pieces } from "./sql.js";

const lineColumns = (alias: string): string =>
  ["seq", "at", "event", "payload_text", "payload_bytes"].map((column) => `${alias}.${column}`).join(",");

const lineOf = ([seq, at, event, asText, asBytes]: Row): HistoryRecord => ({
  seq: numberOf(seq),
  at: numberOf(at),
  event: String(event),
  payload: payloadOf(asText, asBytes),
});

export async function loadHistory(
  { lanes, tables }: Hall,
  { key, fromSeq, limit }: Parameters<Store["loadHistory"]>[0],
): Promise<readonly HistoryRecord[]> {
  const sql = `SELECT ${lineColumns("h")} FROM ${tables.history} h FORCE INDEX (PRIMARY) WHERE h.run=${key} AND h.seq>=${number(fromSeq)} ORDER BY h.seq LIMIT ${limit}`;
  return ((await lanes.transact((work) => work.run([sql])))[0]?.rows ?? []).map(lineOf);
}

export async function loadInboxes(
  { lanes, tables }: Hall,
  runs: Parameters<Store["loadInboxes"]>[0],
): Promise<readonly (readonly InboxRecord[])[]> {
  if (runs.length === 0) return [];
  // What a run has taken is gone from its inbox, so there is little that is not above.
  const statements = pieces([...new Set(runs.map(({ key }) => key))]).map(
    (piece) =>
      `SELECT r.id, i.position, i.kind, i.name, i.command, i.attempt, i.payload_text, i.payload_bytes FROM ${tables.run} r FORCE INDEX (PRIMARY)
STRAIGHT_JOIN ${tables.inbox} i FORCE INDEX (PRIMARY) ON i.chain=r.chain WHERE r.id IN (${piece.join(",")}) ORDER BY r.id, i.position`,
  );
  const items = new Map<number, InboxRecord[]>();
  for (const { rows } of await lanes.transact((work) => work.run(statements))) {
    for (const [run, position, kind, name, command, attempt, asText, asBytes] of rows) {
      const item: InboxRecord = {
        position: numberOf(position),
        kind: itemKindOf(numberOf(kind)),
        name: String(name),
        command: nullableNumberOf(command),
        attempt: nullableNumberOf(attempt),
        payload: payloadOf(asText, asBytes),
      };
      const ofRun = items.get(numberOf(run));
      if (ofRun === undefined) items.set(numberOf(run), [item]);
      else ofRun.push(item);
    }
  }
  return runs.map(({ key, above }) => (items.get(key) ?? []).filter(({ position }) => position > above));
}

const recordSelect = ({ tables }: Hall, index: string): string =>
  `SELECT ${rowColumns},${factColumns},w.worker_key,w.worker_long,(SELECT COUNT(*) FROM ${tables.inbox} i WHERE i.chain=r.chain)
FROM ${tables.fact} f FORCE INDEX (${index}) STRAIGHT_JOIN ${tables.run} r ON r.id=f.id LEFT JOIN ${tables.worker} w ON w.id=r.owner`;

async function recordsOf({ names }: Hall, rows: readonly Row[]): Promise<readonly RunRecord[]> {
  await names.learn(rows.map((row) => numberOf(row[2])));
  return rows.map((row) => {
    const [workerKey, workerLong, unread] = row.slice(rowWidth + factWidth);
    const run = rowOf(row);
    return recordOf(run, factOf(row.slice(rowWidth, rowWidth + factWidth)), {
      name: names.nameOf(run.name),
      ownerId: run.owner === null || workerKey === null ? null : idOf(workerKey, workerLong),
      inboxUnread: numberOf(unread),
    });
  });
}

export async function findRuns(hall: Hall, targets: Parameters<Store["findRuns"]>[0]): Promise<readonly (RunOutcome | null)[]> {
  if (targets.length === 0) return [];
  const { lanes, tables } = hall;
  const select = (index: string): string =>
    recordSelect(hall, index)
      .replace("\nFROM", `,${lineColumns("h")}\nFROM`)
      .concat(` LEFT JOIN ${tables.history} h ON h.run=r.id AND h.seq=r.last_seq AND r.status>1`);
  const workflows = [...new Set(targets.flatMap((target) => ("workflowId" in target ? [keyLiteral(target.workflowId)] : [])))];
  const runs = [...new Set(targets.flatMap((target) => ("runId" in target ? [keyLiteral(target.runId)] : [])))];
  const statements = [
    ...pieces(workflows).map(
      (keys) => `${select("by_workflow")} WHERE f.workflow_key IN (${keys.join(",")}) ORDER BY f.workflow_key, f.generation`,
    ),
    ...pieces(runs).map((keys) => `${select("by_run")} WHERE f.run_key IN (${keys.join(",")})`),
  ];
  const rows = (await lanes.transact((work) => work.run(statements))).flatMap((answer) => answer.rows);
  const records = await recordsOf(hall, rows);
  const byWorkflow = new Map<string, RunOutcome>();
  const byRunId = new Map<string, RunOutcome>();
  for (const [index, row] of rows.entries()) {
    const run = records[index];
    if (run === undefined) continue;
    const line = row.slice(rowWidth + factWidth + 3);
    const outcome: RunOutcome = { run, last: isOpenRow(rowOf(row)) || line[0] === null ? null : lineOf(line) };
    byRunId.set(run.runId, outcome);
    // The newest run of a workflow id has the largest key.
    if ((byWorkflow.get(run.workflowId)?.run.key ?? 0) <= run.key) byWorkflow.set(run.workflowId, outcome);
  }
  return targets.map((target) => ("runId" in target ? byRunId.get(target.runId) : byWorkflow.get(target.workflowId)) ?? null);
}

/** There is no index for what one may filter by: it would slow every start down for the sake of a rare question, so a listing walks. */
export async function listRuns(hall: Hall, options: Parameters<Store["listRuns"]>[0]): Promise<readonly RunRecord[]> {
  const { name, status, workflowIdPrefix = "", before, limit } = options;
  if (limit <= 0) return [];
  const prefix = Buffer.from(workflowIdPrefix, "utf8");
  const conditions = [
    ...(before === undefined ? [] : [`f.id<${number(before)}`]),
    ...(name === undefined ? [] : [`r.name=COALESCE((SELECT n.id FROM ${hall.tables.name} n WHERE n.name_key=${keyLiteral(name)}),-1)`]),
    ...(status === undefined ? [] : [`r.status=${statusNumber(status)}`]),
    ...(prefix.length === 0 ? [] : [`LEFT(COALESCE(CAST(f.workflow_long AS BINARY),f.workflow_key),${prefix.length})=${bytes(prefix)}`]),
  ];
  const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
  const sql = `${recordSelect(hall, "PRIMARY")}${where} ORDER BY f.id DESC LIMIT ${limit}`;
  return recordsOf(hall, (await hall.lanes.transact((work) => work.run([sql])))[0]?.rows ?? []);
}
