/** Rows by route and by the time they are due at: claiming k of n rows costs O(k · (routes + log n)), whatever sleeps beside them. */

/** What a row must carry to be in an index; the last two fields belong to the index. */
export interface Due<Row> {
  readonly key: number;
  readonly route: string;
  dueAt: number | null;
  heap: Row[] | null;
  heapIndex: number;
}

/** The rows of each route. */
export type DueIndex<Row> = Map<string, DueRows<Row>>;

/** Two heaps, earliest first: the rows that were due when they were last looked at, and those that were not. */
export interface DueRows<Row> {
  readonly ready: Row[];
  readonly sleeping: Row[];
  sortedAt: number;
}

export const createDueIndex = <Row>(): DueIndex<Row> => new Map();

/** Enters a row by its `dueAt`, which must not change while it is in. */
export function enterDue<Row extends Due<Row>>(index: DueIndex<Row>, row: Row): void {
  let rows = index.get(row.route);
  if (rows === undefined) index.set(row.route, (rows = { ready: [], sleeping: [], sortedAt: -Infinity }));
  push(rows.sleeping, row);
}

/** Takes a row out; nothing happens if it is in no index. */
export function leaveDue<Row extends Due<Row>>(row: Row): void {
  if (row.heap !== null) removeAt(row.heap, row.heapIndex);
}

/** The row of these routes that is due for the longest time, left in the index; null if none is due. */
export function firstDue<Row extends Due<Row>>(index: DueIndex<Row>, routes: readonly string[], now: number): Row | null {
  let first: Row | null = null;
  for (const route of routes) {
    const row = rowsAt(index, route, now)?.ready[0];
    if (row !== undefined && (first === null || isBefore(row, first))) first = row;
  }
  return first;
}

/** The earliest time at which a row of these routes was or will be due. */
export function firstDueAt<Row extends Due<Row>>(index: DueIndex<Row>, routes: readonly string[], now: number): number | null {
  return firstDue(index, routes, now)?.dueAt ?? nextDueAt(index, routes, now);
}

/** The earliest time after `now` at which a row of these routes is due. */
export function nextDueAt<Row extends Due<Row>>(index: DueIndex<Row>, routes: readonly string[], now: number): number | null {
  let next: number | null = null;
  for (const route of routes) {
    next = earlier(next, rowsAt(index, route, now)?.sleeping[0]?.dueAt ?? null);
  }
  return next;
}

export function earlier(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.min(a, b);
}

/** The rows of a route, sorted into the two heaps by what is due at `now`. */
function rowsAt<Row extends Due<Row>>(index: DueIndex<Row>, route: string, now: number): DueRows<Row> | undefined {
  const rows = index.get(route);
  if (rows === undefined) return undefined;
  const { ready, sleeping } = rows;
  // The clock was set back: what was due may not be any more.
  if (now < rows.sortedAt) for (const row of ready.splice(0)) push(sleeping, row);
  rows.sortedAt = now;
  for (let row = sleeping[0]; row !== undefined && dueTime(row) <= now; row = sleeping[0]) {
    removeAt(sleeping, 0);
    push(ready, row);
  }
  return rows;
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
