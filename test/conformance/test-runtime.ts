import { systemRuntime, type Runtime } from "../../src/platform/runtime.js";

/** The real event loop with a wall clock that only moves when it is told to. */
export function createTestRuntime(start = 1_700_000_000_000): {
  readonly runtime: Runtime;
  readonly advance: (ms: number) => Promise<void>;
} {
  let now = start;
  const system = systemRuntime();
  return {
    runtime: { ...system, now: () => now, monotonicMs: () => now - start },
    advance: async (ms) => {
      now += ms;
      await new Promise<void>((resolve) => system.yieldToLoop(resolve));
    },
  };
}
