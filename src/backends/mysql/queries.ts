import type { Attribute, HistoryRecord, InboxRecord, RunKey, RunOutcome, RunRecord, RunTarget, Store } from "../../backend/index.js";
import { itemKindOf } from "./changes.js";
import type { Hall } from "./claims.js";
import { mapOf } from "./locks.js";
import { factColumns, factOf, factWidth } from "./run-fact.js";
import { continuedStatus, isOpenRow, recordOf, rowColumns, rowOf, rowWidth, statusNumber } from "./run-row.js";
import type { Row } from "./session.js";
import { attributeList } from "./shelf.js";
import { bytes, hexOf, idKey, idOf, keyLiteral, nullableNumberOf, nullableTextOf, number, numberOf, payloadOf, pieces } from "./sql.js";
import { chainStatement, keyLiterals } from "./targets.js";

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
  // What a run has taken is gone from its inbox, so there is little that is not above. That of a continued run has gone on with its chain.
  const statements = pieces([...new Set(runs.map(({ key }) => key))]).map(
    (piece) =>
      `SELECT r.id, i.position, i.kind, i.name, i.command, i.attempt, i.payload_text, i.payload_bytes, i.options FROM ${tables.run} r FORCE INDEX (PRIMARY)
STRAIGHT_JOIN ${tables.inbox} i FORCE INDEX (PRIMARY) ON i.chain=r.chain WHERE r.id IN (${piece.join(",")}) AND r.status<>${continuedStatus}`,
  );
  const items = new Map<number, InboxRecord[]>();
  for (const { rows } of await lanes.transact((work) => work.run(statements))) {
    for (const [run, position, kind, name, command, attempt, asText, asBytes, options] of rows) {
      const item: InboxRecord = {
        position: numberOf(position),
        kind: itemKindOf(numberOf(kind)),
        name: String(name),
        command: nullableNumberOf(command),
        attempt: nullableNumberOf(attempt),
        payload: payloadOf(asText, asBytes),
        options: nullableTextOf(options),
      };
      const ofRun = items.get(numberOf(run));
      if (ofRun === undefined) items.set(numberOf(run), [item]);
      else ofRun.push(item);
    }
  }
  // Sorted here: the server would sort the payloads with them, in a file.
  return runs.map(({ key, above }) =>
    (items.get(key) ?? []).filter(({ position }) => position > above).toSorted((a, b) => a.position - b.position),
  );
}

/** What a record is made of. `from` says where its fact, `f`, comes from. */
const recordSelect = ({ tables }: Hall, from: string, others: readonly string[] = []): string =>
  `SELECT ${rowColumns},${factColumns},w.worker_key,w.worker_long,(SELECT COUNT(*) FROM ${tables.inbox} i WHERE i.chain=r.chain),
(SELECT COUNT(*) FROM ${tables.attribute} a WHERE a.chain=r.chain)${others.map((column) => `,${column}`).join("")}
FROM ${from} STRAIGHT_JOIN ${tables.run} r ON r.id=f.id LEFT JOIN ${tables.worker} w ON w.id=r.owner`;
const recordWidth = rowWidth + factWidth + 4;

async function recordsOf(hall: Hall, rows: readonly Row[]): Promise<readonly RunRecord[]> {
  const { names } = hall;
  const parts = rows.map((row) => {
    const [workerKey, workerLong, unread, attributeCount] = row.slice(rowWidth + factWidth, recordWidth);
    return { row: rowOf(row), fact: factOf(row.slice(rowWidth, rowWidth + factWidth)), workerKey, workerLong, unread, attributeCount };
  });
  await names.learn(parts.flatMap(({ row, fact }) => [row.route, fact.name]));
  const withAttributes = parts.filter(({ attributeCount }) => numberOf(attributeCount) > 0).map(({ row }) => row.chain);
  const attributes = await attributesOf(hall, [...new Set(withAttributes)]);
  return parts.map(({ row, fact, workerKey, workerLong, unread }) =>
    recordOf(row, fact, names, {
      ownerId: row.owner === null || workerKey === null ? null : idOf(workerKey, workerLong),
      inboxUnread: numberOf(unread),
      attributes: attributeList(attributes.get(row.chain)),
    }),
  );
}

/** Few runs have any, so they are asked for apart. */
async function attributesOf({ lanes, tables }: Hall, chains: readonly RunKey[]): Promise<ReadonlyMap<RunKey, ReadonlyMap<string, string>>> {
  const attributes = new Map<RunKey, Map<string, string>>();
  if (chains.length === 0) return attributes;
  const select = pieces(chains).map(
    (piece) =>
      `SELECT chain, name_key, name_long, value_key, value_long FROM ${tables.attribute} FORCE INDEX (PRIMARY) WHERE chain IN (${piece.join(",")})`,
  );
  for (const { rows } of await lanes.transact((work) => work.run(select))) {
    for (const [chain, nameKey, nameLong, valueKey, valueLong] of rows)
      mapOf(attributes, numberOf(chain)).set(idOf(nameKey, nameLong), idOf(valueKey, valueLong));
  }
  return attributes;
}

export async function findRuns(hall: Hall, targets: Parameters<Store["findRuns"]>[0]): Promise<readonly (RunOutcome | null)[]> {
  if (targets.length === 0) return [];
  const { tables } = hall;
  const select = (from: string, asked: string): string =>
    `${recordSelect(hall, from, [lineColumns("h"), asked])} LEFT JOIN ${tables.history} h ON h.run=r.id AND h.seq=r.last_seq AND r.status>1`;
  const { workflowKeys, runKeys, chainKeys } = keyLiterals(targets);
  const statements = [
    ...pieces(workflowKeys).map(
      (keys) =>
        `${select(`${tables.fact} f FORCE INDEX (by_workflow)`, "'workflowId',f.workflow_key")} WHERE f.workflow_key IN (${keys.join(",")}) AND f.superseded=0`,
    ),
    ...pieces(runKeys).map(
      (keys) => `${select(`${tables.fact} f FORCE INDEX (by_run)`, "'runId',f.run_key")} WHERE f.run_key IN (${keys.join(",")})`,
    ),
    ...pieces(chainKeys).map((keys) => {
      const tips = `(${chainStatement(tables, keys)}) m STRAIGHT_JOIN ${tables.fact} f FORCE INDEX (PRIMARY) ON f.id=m.tip`;
      return select(tips, "'chainOf',m.run_key");
    }),
  ];
  const rows = (await hall.lanes.transact((work) => work.run(statements))).flatMap((answer) => answer.rows);
  const records = await recordsOf(hall, rows);
  const found = new Map<string, RunOutcome>();
  for (const [index, row] of rows.entries()) {
    const run = records[index];
    if (run === undefined) continue;
    const [seq, at, event, asText, asBytes, kind, key] = row.slice(recordWidth);
    const last = isOpenRow(rowOf(row)) || seq === null ? null : lineOf([seq, at, event, asText, asBytes]);
    found.set(`${String(kind)}:${hexOf(key)}`, { run, last });
  }
  return targets.map((target) => found.get(askedKey(target)) ?? null);
}

function askedKey(target: RunTarget): string {
  if ("workflowId" in target) return `workflowId:${idKey(target.workflowId)}`;
  return "runId" in target ? `runId:${idKey(target.runId)}` : `chainOf:${idKey(target.chainOf)}`;
}

/**
 * Children and attributes are found by an index. For the rest that one may filter by there is none: it would slow every start down for the sake of a rare
 * question, so a listing walks.
 */
export async function listRuns(hall: Hall, options: Parameters<Store["listRuns"]>[0]): Promise<readonly RunRecord[]> {
  const { name, status, workflowIdPrefix = "", before, attributes = [], limit } = options;
  if (limit <= 0 || attributes.some(({ value }) => value === null)) return [];
  const prefix = Buffer.from(workflowIdPrefix, "utf8");
  const { from, where: given, key, order, rest } = listSource(hall, options);
  const conditions = [
    ...given,
    ...(before === undefined ? [] : [`${key}<${number(before)}`]),
    ...(name === undefined ? [] : [`f.name=COALESCE((SELECT n.id FROM ${hall.tables.name} n WHERE n.name_key=${keyLiteral(name)}),-1)`]),
    ...(status === undefined ? [] : [`r.status=${statusNumber(status)}`]),
    ...(prefix.length === 0 ? [] : [`LEFT(COALESCE(CAST(f.workflow_long AS BINARY),f.workflow_key),${prefix.length})=${bytes(prefix)}`]),
    ...rest.map(
      (attribute) =>
        `(SELECT x.value_key FROM ${hall.tables.attribute} x FORCE INDEX (PRIMARY) WHERE x.chain=r.chain AND x.name_key=${keyLiteral(attribute.name)})=${valueLiteral(attribute)}`,
    ),
  ];
  const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
  const sql = `${recordSelect(hall, from)}${where} ORDER BY ${order} DESC LIMIT ${limit}`;
  return recordsOf(hall, (await hall.lanes.transact((work) => work.run([sql])))[0]?.rows ?? []);
}

const valueLiteral = ({ value }: Attribute): string => keyLiteral(value ?? "");

interface ListSource {
  readonly from: string;
  readonly where: readonly string[];
  /** What gives the key of the run, and what is sorted by. */
  readonly key: string;
  readonly order: string;
  /** The attributes that are still to be compared. */
  readonly rest: readonly Attribute[];
}

function listSource({ tables }: Hall, { parentRunId, attributes = [], before }: Parameters<Store["listRuns"]>[0]): ListSource {
  const facts = `STRAIGHT_JOIN ${tables.fact} f FORCE INDEX (PRIMARY) ON f.id=k.run`;
  if (parentRunId !== undefined) {
    const where = [`k.parent_key=${keyLiteral(parentRunId)}`];
    return { from: `${tables.child} k FORCE INDEX (PRIMARY) ${facts}`, where, key: "k.run", order: "k.run", rest: attributes };
  }
  const [first, ...rest] = attributes;
  if (first === undefined) return { from: `${tables.fact} f FORCE INDEX (PRIMARY)`, where: [], key: "f.id", order: "f.id", rest };
  const has = `a.name_key=${keyLiteral(first.name)} AND a.value_key=${valueLiteral(first)}${before === undefined ? "" : ` AND a.chain<${number(before)}`}`;
  const chains = `FROM ${tables.attribute} a FORCE INDEX (by_value)`;
  // The first run of a chain has its key.
  const runs = `(SELECT a.chain AS run ${chains} WHERE ${has} UNION ALL SELECT n.run ${chains} STRAIGHT_JOIN ${tables.follower} n ON n.chain=a.chain WHERE ${has})`;
  // The sum keeps the server from taking the key for that of another table, and from sorting whole records instead of keys.
  return { from: `${runs} k ${facts}`, where: [], key: "k.run", order: "k.run+0", rest };
}
