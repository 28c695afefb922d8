interface DueTime {
  readonly dueAt: number;
  readonly number: number;
}

const before = (one: DueTime, other: DueTime): boolean =>
  one.dueAt < other.dueAt || (one.dueAt === other.dueAt && one.number < other.number);

/**
 * Commands of a run for which something is due at a time, the earliest first: a heap. A scan would be made after every turn, and n timers of one run take n²
 * looks.
 * What was removed lies in the heap until it comes up, or until most of the heap is of that kind.
 */
export class DueTimes {
  #heap: DueTime[] = [];
  readonly #live = new Map<number, number>();

  /** How many there are. */
  get size(): number {
    return this.#live.size;
  }

  add(number: number, dueAt: number): void {
    this.#live.set(number, dueAt);
    this.#push({ number, dueAt });
  }

  has(number: number): boolean {
    return this.#live.has(number);
  }

  remove(number: number): void {
    if (!this.#live.delete(number) || this.#heap.length <= 2 * this.#live.size + 64) return;
    const kept = this.#heap.filter((one) => this.#isLive(one));
    this.#heap = [];
    for (const one of kept) this.#push(one);
  }

  /** The earliest; of several at one time, the command that was issued first. */
  first(): DueTime | undefined {
    let top = this.#heap[0];
    while (top !== undefined && !this.#isLive(top)) {
      this.#dropTop();
      top = this.#heap[0];
    }
    return top;
  }

  /** A number may have been removed, and come back with another time. */
  #isLive(one: DueTime): boolean {
    return this.#live.get(one.number) === one.dueAt;
  }

  #push(one: DueTime): void {
    const heap = this.#heap;
    let index = heap.length;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as DueTime;
      if (!before(one, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = one;
  }

  #dropTop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      const [left, right] = [heap[below], heap[below + 1]];
      if (left === undefined) break;
      if (right !== undefined && before(right, left)) below++;
      const child = heap[below] as DueTime;
      if (!before(child, last)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = last;
  }
}
