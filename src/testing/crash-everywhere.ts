import { AssertionError } from "node:assert";
import { inspect, isDeepStrictEqual } from "node:util";
import { openTestEngine, type KillSwitch, type TestEngine, type TestEngineOptions } from "./test-engine.js";

/** What {@link crashEverywhere} has found. */
export interface CrashReport<T> {
  /** What the scenario resolves with, every time. */
  readonly result: T;
  /** How often the engine writes to its store when nothing is killed. */
  readonly writes: number;
  /** How often the scenario was run with a kill. */
  readonly crashes: number;
}

type Outcome<T> = { readonly resolved: T } | { readonly rejected: string };

/** Of what is compared, errors are texts: their stacks differ. */
interface Played<T> {
  readonly outcome: Outcome<T>;
  readonly error?: unknown;
}

interface Place {
  readonly side: "before" | "after";
  readonly what: string;
}

interface Difference {
  readonly where: string;
  readonly outcome: Outcome<unknown>;
}

const shownMax = 5;

/**
 * Runs a scenario once as it is, and then once for every write to the store, before it and after it, with the worker killed there and another one started on
 * the same data. Each time it must resolve with the same value. It gets a fresh engine each time, which is closed for it.
 * A step or activity that was under way when its process died runs again, so count effects by their idempotency key.
 * @throws AssertionError that says after which kills the scenario gave something else
 * @example
 * await crashEverywhere({ workflows: [fulfil], activities: [printLabel] }, async (engine) => {
 *   const shop = fakeShop();
 *   engine.mockStep(fulfil, "charge", ({ idempotencyKey }) => shop.charge(idempotencyKey));
 *   const result = await engine.execute(fulfil, order);
 *   return { result, charges: shop.charges.size };
 * });
 */
export async function crashEverywhere<T>(
  options: TestEngineOptions,
  scenario: (engine: TestEngine) => Promise<T>,
): Promise<CrashReport<T>> {
  const places: Place[] = [];
  const { outcome: undisturbed, error } = await play(options, scenario, (side, what) => {
    places.push({ side, what: what() });
    return false;
  });
  if ("rejected" in undisturbed) throw new Error(`The scenario fails without any crash: ${undisturbed.rejected}`, { cause: error });
  const differences: Difference[] = [];
  for (const [index, { side, what }] of places.entries()) {
    let passed = 0;
    const { outcome } = await play(options, scenario, () => passed++ === index);
    if (passed > index && isDeepStrictEqual(outcome, undisturbed)) continue;
    const nowhere = passed > index ? "" : ", a place that this run did not come to: the scenario is not the same each time";
    differences.push({ where: `killed ${side} write ${writeNumber(places, index)} (${what})${nowhere}`, outcome });
  }
  const [first] = differences;
  if (first === undefined) return { result: undisturbed.resolved, writes: writeNumber(places, places.length - 1), crashes: places.length };
  const shown = differences.slice(0, shownMax).map(({ where, outcome }) => `- ${where}: it ${told(outcome)}`);
  const rest = differences.length > shownMax ? `\n- and ${differences.length - shownMax} more` : "";
  throw new AssertionError({
    message: `The scenario came out differently after ${differences.length} of ${places.length} crashes. Undisturbed it ${told(undisturbed)}\n${shown.join("\n")}${rest}`,
    expected: undisturbed,
    actual: first.outcome,
  });
}

async function play<T>(options: TestEngineOptions, scenario: (engine: TestEngine) => Promise<T>, kills: KillSwitch): Promise<Played<T>> {
  let isOver = false;
  const engine = await openTestEngine(options, (...write) => !isOver && kills(...write));
  try {
    return { outcome: { resolved: await scenario(engine) } };
  } catch (error) {
    return { outcome: { rejected: String(error) }, error };
  } finally {
    // What is written by the close is no part of the scenario.
    isOver = true;
    await engine.close();
  }
}

/** Places before and after one write have its number; some writes have only one place. */
function writeNumber(places: readonly Place[], index: number): number {
  const upTo = places.slice(0, index + 1);
  return upTo.filter(({ side }) => side === "after").length + (upTo.at(-1)?.side === "before" ? 1 : 0);
}

const told = (outcome: Outcome<unknown>): string =>
  "resolved" in outcome ? `resolves with ${inspect(outcome.resolved, { depth: 4 })}` : `rejects with ${outcome.rejected}`;
