/** Rows by name and by the time they are due at: claiming k of n rows costs O(k · (names + log n)), whatever sleeps beside them. */

/** What a row must carry to be in an index; the last two fields belong to the index. */
export interface Due<Row> {
  readonly key: number;
  readonly name: string;
  dueAt: number | null;
  heap: Row[] | null;
  heapIndex: number;
}

export interface DueIndex<Row> {
  /** Rows that were not due when they were last looked at, and rows that were; one heap each per name, earliest first. */
  readonly sleeping: Map<string, Row[]>;
  readonly ready: Map<string, Row[]>;
}

export const createDueIndex = <Row>(): DueIndex<Row> => ({ sleeping: new Map(), ready: new Map() });

/** Enters a row by its `dueAt`, which must not change while it is in. */
export function enterDue<Row extends Due<Row>>(index: DueIndex<Row>, row: Row): void {
  push(heapOf(index.sleeping, row.name), row);
}

/** Takes a row out; nothing happens if it is in no index. */
export function leaveDue<Row extends Due<Row>>(row: Row): void {
  if (row.heap !== null) removeAt(row.heap, row.heapIndex);
}

/** The row of these names that is due for the longest time, left in the index; null if none is due. */
export function firstDue<Row extends Due<Row>>(index: DueIndex<Row>, names: readonly string[], now: number): Row | null {
  let first: Row | null = null;
  for (const name of names) {
    sortByDueness(index, name, now);
    const row = index.ready.get(name)?.[0];
    if (row !== undefined && (first === null || isBefore(row, first))) first = row;
  }
  return first;
}

/** The earliest time after `now` at which a row of these names is due. */
export function nextDueAt<Row extends Due<Row>>(index: DueIndex<Row>, names: readonly string[], now: number): number | null {
  let next: number | null = null;
  for (const name of names) {
    sortByDueness(index, name, now);
    next = earlier(next, index.sleeping.get(name)?.[0]?.dueAt ?? null);
  }
  return next;
}

export function earlier(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.min(a, b);
}

/** Moves rows between the two heaps of a name until they fit `now`. Both ways: the clock may have been set back. */
function sortByDueness<Row extends Due<Row>>(index: DueIndex<Row>, name: string, now: number): void {
  const sleeping = index.sleeping.get(name);
  if (sleeping === undefined) return;
  for (let row = sleeping[0]; row !== undefined && dueTime(row) <= now; row = sleeping[0]) {
    removeAt(sleeping, 0);
    push(heapOf(index.ready, name), row);
  }
  const ready = index.ready.get(name);
  if (ready === undefined) return;
  for (let row = ready[0]; row !== undefined && dueTime(row) > now; row = ready[0]) {
    removeAt(ready, 0);
    push(sleeping, row);
  }
}

function heapOf<Row>(heaps: Map<string, Row[]>, name: string): Row[] {
  let heap = heaps.get(name);
  if (heap === undefined) heaps.set(name, (heap = []));
  return heap;
}

// A binary heap in which each row knows its place, so that any row can leave in O(log n).

const dueTime = (row: { readonly dueAt: number | null }): number => row.dueAt ?? Infinity;

function isBefore<Row extends Due<Row>>(a: Row, b: Row): boolean {
  const difference = dueTime(a) - dueTime(b);
  return difference === 0 ? a.key < b.key : difference < 0;
}

function push<Row extends Due<Row>>(heap: Row[], row: Row): void {
  row.heap = heap;
  heap.push(row);
  siftUp(heap, heap.length - 1, row);
}

function removeAt<Row extends Due<Row>>(heap: Row[], index: number): void {
  const removed = heap[index];
  const last = heap.pop();
  if (removed === undefined || last === undefined) return;
  removed.heap = null;
  if (removed === last) return;
  siftUp(heap, siftDown(heap, index, last), last);
}

function siftUp<Row extends Due<Row>>(heap: Row[], from: number, row: Row): void {
  let index = from;
  while (index > 0) {
    const parentIndex = (index - 1) >> 1;
    const parent = heap[parentIndex];
    if (parent === undefined || !isBefore(row, parent)) break;
    place(heap, index, parent);
    index = parentIndex;
  }
  place(heap, index, row);
}

function siftDown<Row extends Due<Row>>(heap: Row[], from: number, row: Row): number {
  let index = from;
  for (;;) {
    const left = heap[2 * index + 1];
    const right = heap[2 * index + 2];
    if (left === undefined) break;
    const rightIsFirst = right !== undefined && isBefore(right, left);
    const child = rightIsFirst ? right : left;
    if (!isBefore(child, row)) break;
    place(heap, index, child);
    index = 2 * index + (rightIsFirst ? 2 : 1);
  }
  place(heap, index, row);
  return index;
}

function place<Row extends Due<Row>>(heap: Row[], index: number, row: Row): void {
  heap[index] = row;
  row.heapIndex = index;
}
