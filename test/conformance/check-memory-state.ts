import assert from "node:assert/strict";
import { isOpen } from "perdure/backend";
import type { DueIndex } from "../../src/backends/memory/due-index.js";
import type { MemoryState, RunRow, TaskRow } from "../../src/backends/memory/state.js";

/** Do the indexes of the memory store say the same as its rows? Each index is compared with what a scan of the table gives. */
export function checkMemoryState(state: MemoryState): void {
  const runs = [...state.runs.values()];
  const tasks = [...state.tasks.values()];

  for (const run of runs) checkRun(state, run);
  for (const task of tasks) checkTask(state, task);
  checkChains(state, runs);
  checkShelf(state);
  assertSame(
    heapsOf(state.dueRuns),
    runs.filter((run) => isDue(run) && run.crashCount < 2),
    "runs by due time",
  );
  assertSame(
    heapsOf(state.dueSuspects),
    runs.filter((run) => isDue(run) && run.crashCount >= 2),
    "suspects by due time",
  );
  assertSame(
    heapsOf(state.dueTasks),
    tasks.filter((task) => task.owner === null && !task.isDetached),
    "tasks by due time",
  );
  assertSame(
    valuesOf(state.runsByOwner),
    runs.filter((run) => run.owner !== null),
    "runs by owner",
  );
  assertSame(
    valuesOf(state.tasksByOwner),
    tasks.filter((task) => task.owner !== null),
    "tasks by owner",
  );
  assertSame(
    valuesOf(state.parkedByRoute),
    runs.filter((run) => run.status === "parked"),
    "parked runs by route",
  );
  assertSame(
    [...state.expiringTasks],
    tasks.filter((task) => task.expiresAt !== null),
    "tasks that expire",
  );
  assertSame(
    valuesOf(state.runsByParent),
    runs.filter((run) => run.parentRunId !== null),
    "runs by parent",
  );
  assertSame(
    [...state.tasksByRun.values()].flatMap((ofRun) => [...ofRun.values()]),
    tasks,
    "tasks by run",
  );
}

function checkRun(state: MemoryState, run: RunRow): void {
  const name = run.workflowId;
  const history = state.histories.get(run.key);
  const inbox = state.inboxes.get(run.chain);
  assert.ok(history !== undefined && inbox !== undefined, `${name} has a history and an inbox`);
  assert.deepEqual(
    history.map(({ seq }) => seq),
    Array.from({ length: run.lastSeq }, (_, index) => index + 1),
    `history of ${name}`,
  );
  // Of a chain that went on, the inbox is its newest run's.
  if (run.nextInChain !== null) return assert.deepEqual([run.owner, run.dueAt], [null, null], `${name} goes on`);
  assert.equal(inbox.unread, inbox.rows.filter((row) => !row.consumed).length, `unread items of ${name}`);
  assert.ok(
    inbox.rows.every((row) => !row.consumed || row.payload === null),
    `${name} keeps the payload of what it has taken`,
  );
  assert.equal(inbox.rows.length, isOpen(run.status) ? inbox.count : inbox.unread, `items that ${name} keeps`);
  if (run.owner !== null) assert.equal(run.dueAt, null, `${name} is due while it is driven`);
  if (isOpen(run.status)) assert.equal(run.endedAt, null, `${name} is open and has an end`);
  else assert.deepEqual([run.owner, run.dueAt, inbox.dedupeKeys.size], [null, null, 0], `${name} has ended`);
}

function checkTask(state: MemoryState, task: TaskRow): void {
  assert.equal(task.dueAt === null, task.owner !== null || task.isDetached, "a task is due, claimed or detached");
  assert.ok(state.runs.has(task.runKey), "a task has a run");
  assert.ok(state.tasksByRun.get(task.runKey)?.get(task.command) === task, "a task is found by its run and command");
  if (task.owner !== null || task.isDetached)
    assert.equal(task.expiresAt === null, task.heartbeatMs === null, "a task that was claimed expires by its heartbeat alone");
}

/** Of each workflow id at most one run is open, the newest; of each chain, one run follows the other. */
function checkChains(state: MemoryState, runs: readonly RunRow[]): void {
  for (const [index, run] of runs.entries()) {
    const name = `${run.workflowId}, ${run.runId}`;
    assert.equal(state.runByRunId.get(run.runId), run, `${name} is found by its run id`);
    const newest = runs.findLast(({ workflowId }) => workflowId === run.workflowId);
    assert.equal(state.newestRunByWorkflowId.get(run.workflowId), newest, `the newest of ${run.workflowId}`);
    assert.ok(run === newest || !isOpen(run.status), `${name} is open beside a newer one`);
    const following = runs.slice(index + 1).find(({ chain }) => chain === run.chain);
    assert.equal(run.nextInChain, following ?? null, `the run after ${name}`);
    assert.equal(run.status === "continued", following !== undefined, `${name} goes on`);
    assert.equal(run.inboxCountAtEnd === null, following === undefined, `the inbox of ${name} is with the next run`);
    if (following !== undefined) {
      const inbox = state.inboxes.get(run.chain);
      assert.ok(inbox !== undefined && (run.inboxCountAtEnd ?? 0) < inbox.count, `the input of the run after ${name}`);
    }
    if (state.runs.get(run.chain)?.workflowId !== run.workflowId) assert.fail(`${name} is in the chain of another workflow id`);
  }
}

function checkShelf({ inboxes, entries, streams, attributes }: MemoryState): void {
  for (const chain of [...entries.keys(), ...streams.keys(), ...attributes.keys()])
    assert.ok(inboxes.has(chain), "what is on the shelf is of a chain");
  for (const table of entries.values())
    for (const [name, entry] of table) assert.ok(entry.name === name && entry.version > 0, `entry ${name}`);
  for (const [stream, { chunks, lastNumbers }] of [...streams.values()].flatMap((table) => [...table])) {
    assert.deepEqual(
      chunks.map(({ offset }) => offset),
      chunks.map((_, index) => index),
      `offsets of ${stream}`,
    );
    for (const [writer, lastNumber] of lastNumbers)
      assert.equal(chunks.filter((chunk) => chunk.writer === writer).length, lastNumber, `chunks of ${writer} in ${stream}`);
  }
}

const isDue = (run: RunRow): boolean => isOpen(run.status) && run.owner === null && run.dueAt !== null;

const heapsOf = <Row>(index: DueIndex<Row>): readonly Row[] =>
  [...index.values()].flatMap(({ ready, sleeping }) => [...ready, ...sleeping]);

const valuesOf = <Key, Row>(index: Map<Key, Set<Row>>): readonly Row[] => [...index.values()].flatMap((rows) => [...rows]);

function assertSame(actual: readonly { readonly key: number }[], expected: readonly { readonly key: number }[], what: string): void {
  const keys = (rows: readonly { readonly key: number }[]): readonly number[] => rows.map(({ key }) => key).toSorted((a, b) => a - b);
  assert.deepEqual(keys(actual), keys(expected), `the index of ${what} differs from the rows`);
}
