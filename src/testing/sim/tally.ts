/** Counts by name: how often each fault was injected, how often each rare situation really came up. */
export interface Tally {
  count(name: string, by?: number): void;
  get(name: string): number;
  readonly entries: ReadonlyMap<string, number>;
}

export function createTally(): Tally {
  const entries = new Map<string, number>();
  return {
    entries,
    get: (name) => entries.get(name) ?? 0,
    count(name, by = 1) {
      entries.set(name, (entries.get(name) ?? 0) + by);
    },
  };
}

export const tallyObject = (tally: Tally): Record<string, number> =>
  Object.fromEntries([...tally.entries].toSorted(([a], [b]) => (a < b ? -1 : 1)));
