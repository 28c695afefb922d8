import type { Store } from "../../backend/index.js";
import type { Lab } from "./lab.js";

/** Runs `count` calls at once, alternating between two stores on the same data. */
export async function race<Result>(
  lab: Lab,
  count: number,
  call: (store: Store, index: number) => Promise<Result>,
): Promise<readonly Result[]> {
  const stores = [lab.store, await lab.open()] as const;
  return Promise.all(Array.from({ length: count }, (_, index) => call(stores[index % 2 === 0 ? 0 : 1], index)));
}

export const countOf = (outcomes: readonly { readonly status: string }[], status: string): number =>
  outcomes.filter((outcome) => outcome.status === status).length;
