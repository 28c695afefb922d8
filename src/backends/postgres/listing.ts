import type { RunRecord, Store } from "../../backend/index.js";
import type { Link } from "./link.js";
import { indexForm } from "./names.js";
import type { Statements } from "./statements.js";
import { recordOf, statusNumber } from "./values.js";

type ListOptions = Parameters<Store["listRuns"]>[0];

/** How many runs one piece of a listing looks at: a few milliseconds. */
const pieceSize = 5000;

/**
 * The runs of a parent, and those whose chains share an attribute with few, are found by an index. There is none for what else one may filter by: it would
 * slow every start down for the sake of a rare question. Such a listing walks, in pieces, between which the connection is free for others.
 */
export async function listRuns(link: Link, statements: Statements, options: ListOptions): Promise<readonly RunRecord[]> {
  const { parentRunId, attributes = [], before = Number.MAX_SAFE_INTEGER } = options;
  const list = async (statement: keyof Statements, below: number, limit: number, among: unknown): Promise<readonly RunRecord[]> => {
    const values = [below, ...filtersOf(options), limit, among];
    return (await link.rows<unknown[]>(statements[statement], values, "read")).map(recordOf);
  };
  if (parentRunId !== undefined) return list("listChildren", before, options.limit, indexForm(parentRunId));
  for (const { name, value } of attributes) {
    // Who has no value is in no table.
    if (value === null) return [];
    const asked = [indexForm(name), indexForm(value), pieceSize + 1];
    const chains = (await link.rows<[number]>(statements.chainsWith, asked, "read")).map(([chain]) => chain);
    if (chains.length <= pieceSize) return list("listChains", before, options.limit, chains);
  }

  const [row] = await link.rows<[number]>(statements.newestKey, [], "read");
  let below = Math.min(before, (row?.[0] ?? 0) + 1);
  const listed: RunRecord[] = [];
  while (below > 1 && listed.length < options.limit) {
    const from = Math.max(1, below - pieceSize);
    listed.push(...(await list("list", below, options.limit - listed.length, from)));
    below = from;
  }
  return listed;
}

/** The values of what all listings filter by. */
function filtersOf({ name, status, workflowIdPrefix = "", attributes = [] }: ListOptions): readonly unknown[] {
  const names = attributes.map((attribute) => indexForm(attribute.name));
  const values = attributes.map(({ value }) => (value === null ? null : indexForm(value)));
  return [name ?? null, status === undefined ? null : statusNumber(status), workflowIdPrefix, names, values];
}
