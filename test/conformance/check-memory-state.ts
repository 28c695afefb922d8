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
  if (run.nextInChain !== null) return assert.deepEqual([run.status, run.owner, run.dueAt], ["continued", null, null], `${name} goes on`);
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
}

const isDue = (run: RunRow): boolean => isOpen(run.status) && run.owner === null && run.dueAt !== null;

const heapsOf = <Row>(index: DueIndex<Row>): readonly Row[] =>
  [...index.values()].flatMap(({ ready, sleeping }) => [...ready, ...sleeping]);

const valuesOf = <Key, Row>(index: Map<Key, Set<Row>>): readonly Row[] => [...index.values()].flatMap((rows) => [...rows]);

function assertSame(actual: readonly { readonly key: number }[], expected: readonly { readonly key: number }[], what: string): void {
  const keys = (rows: readonly { readonly key: number }[]): readonly number[] => rows.map(({ key }) => key).toSorted((a, b) => a - b);
  assert.deepEqual(keys(actual), keys(expected), `the index of ${what} differs from the rows`);
}
