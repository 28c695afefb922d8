import { chains } from "./chains.js";
import { claims } from "./claims.js";
import { concurrency } from "./concurrency.js";
import { ending } from "./ending.js";
import { fencing } from "./fencing.js";
import { hints } from "./hints.js";
import { idempotency } from "./idempotency.js";
import { inbox } from "./inbox.js";
import { isolation } from "./isolation.js";
import { openLab, type Checks, type ConformanceTarget } from "./lab.js";
import { leases } from "./leases.js";
import { listing } from "./listing.js";
import { parking } from "./parking.js";
import { pulses } from "./pulses.js";
import { recovery } from "./recovery.js";
import { reuse } from "./reuse.js";
import { routes } from "./routes.js";
import { shelf } from "./shelf.js";
import { starts } from "./starts.js";
import { taskOutcomes } from "./task-outcomes.js";
import { tasks } from "./tasks.js";
import { terminate } from "./terminate.js";
import { turns } from "./turns.js";
import { values } from "./values.js";

/** What {@link backendConformance} needs to know: how to make an empty store, and the test runner's two words. */
export interface ConformanceOptions {
  /** Heads the report, e.g. "sqlite on a file". */
  readonly name: string;
  /** Makes an empty store; called before every check, `dispose` after it. */
  readonly create: () => Promise<ConformanceTarget>;
  /** The test runner's way to group tests: `describe` of vitest, node:test, jest, … */
  readonly describe: (name: string, body: () => void) => void;
  /** The test runner's way to state a test. One check may take several seconds on a store with a real clock. */
  readonly it: (name: string, body: () => Promise<void>) => void;
  /** Must hints between two stores of one process arrive? They are optional, so default false: then only that they do no harm. */
  readonly expectHints?: boolean;
}

/**
 * The proof that a store holds the contract of `perdure/backend`: states some two hundred tests in your test runner. They use nothing but the contract,
 * fail by `node:assert` and need no particular runner. Run it beside your backend's own tests; it does not test speed or durability against crashes.
 * @example
 * import { describe, it } from "node:test";
 * import { backendConformance } from "perdure/testing";
 *
 * backendConformance({
 *   name: "my store",
 *   describe,
 *   it,
 *   create: async () => {
 *     const database = await emptyDatabase();
 *     return { backend: myStore(database.url), dispose: () => database.drop() };
 *   },
 * });
 */
export function backendConformance(options: ConformanceOptions): void {
  const { name, create, describe, it } = options;
  const themes: Readonly<Record<string, Checks>> = {
    starts,
    turns,
    chains,
    reuse,
    terminate,
    shelf,
    fencing,
    parking,
    inbox,
    ending,
    tasks,
    "task outcomes": taskOutcomes,
    claims,
    routes,
    leases,
    pulses,
    recovery,
    listing,
    values,
    isolation,
    idempotency,
    concurrency,
    hints: hints({ areExpected: options.expectHints ?? false }),
  };
  describe(`${name} holds the backend contract`, () => {
    for (const [theme, checks] of Object.entries(themes)) {
      describe(theme, () => {
        for (const [check, run] of Object.entries(checks)) {
          it(check, async () => {
            const lab = await openLab(create);
            try {
              await run(lab);
            } finally {
              await lab.close();
            }
          });
        }
      });
    }
  });
}
