import { expect } from "vitest";
import { workflow, type Backend, type Engine } from "perdure";
import { launchWith } from "../../src/api/launch.js";
import { systemRuntime, type Runtime } from "../../src/platform/runtime.js";
import { keepingLogger, pause } from "./workload.js";

const hourMs = 3_600_000;
const leaseMs = 1000;
/** What a worker may believe too early: it takes the bounds of the server's clock from round trips, and those of a busy machine are long. */
const roundTripMs = 100;

/** This process, but for its wall clock. */
const runtimeOff = (offMs: number): Runtime => {
  const system = systemRuntime();
  return { ...system, now: () => system.now() + offMs };
};

interface Nap {
  readonly slept: number;
  readonly from: number;
  readonly to: number;
}

export interface SkewedWork {
  /** How often the two steps of each run were executed: in all runs alike, `[2]`. */
  readonly executions: readonly number[];
  /** What was logged: nothing, if nobody was taken for dead. */
  readonly said: string;
}

/** Workers whose wall clocks are two hours apart share a store, for several times the length of a lease: no timer and no deadline comes early, or an hour late. */
export async function workOnSkewedClocks(backend: Backend): Promise<SkewedWork> {
  const system = systemRuntime();
  const executed = new Map<string, number>();
  const nap = workflow("nap", async (ctx, ms: number): Promise<Nap> => {
    const note = (): number => {
      executed.set(ctx.info.runId, (executed.get(ctx.info.runId) ?? 0) + 1);
      return system.monotonicMs();
    };
    const before = await ctx.step("before", note);
    const from = ctx.now().getTime();
    await ctx.sleep(ms);
    const to = ctx.now().getTime();
    return { slept: (await ctx.step("after", note)) - before, from, to };
  });
  const { logger, said } = keepingLogger();
  const engines: Engine[] = [];
  try {
    for (const offMs of [hourMs, -hourMs, 0])
      engines.push(await launchWith({ backend, workflows: [nap], logger, lease: leaseMs, warmRuns: 0 }, runtimeOff(offMs)));
    const sleeps = Array.from({ length: 60 }, (_, index) => 200 + 60 * index);
    const startedMs = Date.now();
    const naps = Promise.all(
      sleeps.map((ms, index) => engines[index % engines.length]!.execute(nap, ms, { id: `nap ${index}`, timeout: "1 minute" })),
    );
    const delayed = engines.map((engine, index) => engine.execute(nap, 100, { id: `delayed ${index}`, delay: 1500 }));
    const delayedMs = await Promise.all(delayed.map((result) => result.then(() => Date.now() - startedMs)));
    for (const [index, { slept, from, to }] of (await naps).entries()) {
      expect(slept).toBeGreaterThan(sleeps[index]! - roundTripMs);
      expect(to - from).toBeGreaterThanOrEqual(sleeps[index]!);
      expect(Math.abs(from - startedMs)).toBeLessThan(20_000);
    }
    expect(Math.min(...delayedMs)).toBeGreaterThan(1600 - roundTripMs);
    // Peers look for the dead all the while; a few more looks, with nothing else to do.
    await pause(2 * leaseMs);
    return { executions: [...new Set(executed.values())], said: said.join("\n") };
  } finally {
    for (const engine of engines) await engine.close();
  }
}
