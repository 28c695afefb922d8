import type { HistoryRecord, RunOutcome, RunTarget } from "perdure/backend";
import { chainOf, plainPayload, plainRun, runLabel, workflowIdOf, type Side } from "./side.js";
import { attributeNames, attributeValues, bodyWriter, entryNames, runCount, streams } from "./step-plans.js";

/** What can be read of the newest run of each workflow id, and of what the workers hold. Learns how far bodies have appended. */
export async function readSide(side: Side): Promise<object> {
  const targets = Array.from({ length: runCount }, (_, run) => ({ workflowId: workflowIdOf(run) }));
  const found = (await side.store.findRuns(targets)).filter((outcome) => outcome !== null);
  const shelves = await Promise.all(found.map(({ run }) => readShelf(side, run.runId, streams[0])));
  for (const { run } of found) {
    const { lastNumber, firstOffset } = await side.store.readStreamTail({ key: run.key, stream: streams[0], writer: bodyWriter });
    side.tails.set(chainOf(side, run.runId), { lastNumber, firstOffset });
  }
  const listed = await side.store.listRuns({ limit: 100 });
  return {
    runs: await readRuns(side, found),
    shelves,
    tails: [...side.tails],
    listed: listed.map((run) => plainRun(side, run)),
    owned: await readOwned(side),
  };
}

/** The rest of what can be read: the runs before, other streams, and every way to list. */
export async function readAll(side: Side): Promise<object> {
  const listed = await side.store.listRuns({ limit: 100 });
  const found = (await side.store.findRuns(listed.map(({ runId }) => ({ runId })))).filter((outcome) => outcome !== null);
  const chains = await side.store.findRuns(listed.map(({ runId }) => ({ chainOf: runId })));
  const ids = async (options: object): Promise<readonly string[]> =>
    (await side.store.listRuns({ ...options, limit: 100 })).map(({ runId }) => runId);
  const narrowed = [
    ...attributeNames.flatMap((name) => attributeValues.map((value) => ({ attributes: [{ name, value }] }))),
    { attributes: attributeNames.map((name) => ({ name, value: attributeValues[0] })) },
    ...Array.from({ length: runCount }, (_, run) => ({ parentRunId: `run 0 of workflow ${run}` })),
  ];
  return {
    runs: await readRuns(side, found),
    chains: chains.map((outcome) => outcome?.run.runId ?? null),
    shelves: await Promise.all(listed.map(({ runId }) => readShelf(side, runId, streams[1]))),
    pieces: await Promise.all(listed.map(({ runId }) => readShelf(side, runId, streams[0], { from: 1, limit: 2 }))),
    ownTails: await Promise.all(listed.map(({ key }) => side.store.readStreamTail({ key, stream: streams[0], writer: "" }))),
    narrowed: await Promise.all(narrowed.map(ids)),
  };
}

async function readRuns(side: Side, found: readonly RunOutcome[]): Promise<readonly object[]> {
  const inboxes = await side.store.loadInboxes(found.map(({ run }) => ({ key: run.key, above: 0 })));
  const histories = await Promise.all(found.map(({ run }) => side.store.loadHistory({ key: run.key, fromSeq: 1, limit: 1000 })));
  return found.map(({ run, last }, index) => ({
    run: plainRun(side, run),
    last: last?.seq ?? null,
    history: histories[index]?.map(plainLine),
    unread: inboxes[index]?.map((item) => ({ ...item, payload: plainPayload(item.payload) })),
  }));
}

/** The time of a line that the store itself wrote is of its clock; of it both sides can say only that it does not go back. */
function plainLine(line: HistoryRecord, index: number, lines: readonly HistoryRecord[]): object {
  const isOfStore = line.event.includes("run_terminated");
  return { ...line, at: isOfStore ? line.at >= (lines[index - 1]?.at ?? 0) : line.at, payload: plainPayload(line.payload) };
}

async function readShelf(side: Side, runId: string, stream: string, piece = { from: 0, limit: 1000 }): Promise<object> {
  const target: RunTarget = { runId };
  const entries = await side.store.readEntries({ target, names: entryNames });
  const read = await side.store.readChunks({ target, stream, ...piece });
  return {
    runId,
    entries: entries?.map((entry) => entry && { ...entry, payload: plainPayload(entry.payload) }),
    chunks: read?.chunks.map((chunk) => ({ ...chunk, payload: plainPayload(chunk.payload) })),
    isOpen: read?.isOpen,
  };
}

async function readOwned(side: Side): Promise<readonly object[]> {
  const owned = await Promise.all(side.workers.map(({ key }) => side.store.inspectOwned(key)));
  const labelOf = (key: number): string => side.claimedTasks.findLast((task) => task.key === key)?.label ?? "unknown task";
  return owned.map(({ runs, tasks }) => ({
    runs: runs.map(({ key, ...rest }) => ({ ...rest, run: runLabel(side, key) })).toSorted((a, b) => (a.run < b.run ? -1 : 1)),
    tasks: tasks.map(({ key, cancelRequested }) => `${labelOf(key)} ${cancelRequested}`).toSorted(),
  }));
}
