import { launch, workflow } from "perdure";
import { inFlight, median, percentile } from "../measure.js";
import { backendNames } from "../sites.js";
import { stepResult } from "../values.js";
import type { Workload } from "../workload.js";

const fan = workflow("fan-out", async (ctx, width: number) => {
  const results = await Promise.all(Array.from({ length: width }, (_, index) => ctx.step("part", () => stepResult(index))));
  return results.reduce((sum, result) => sum + result.order, 0);
});

/** W3: many inline steps at once, in one run. */
export const fanOut: Workload = {
  name: "W3",
  title: "a fan-out of 100 and of 1,000 parallel steps",
  backends: backendNames,
  async run(bench) {
    const engine = await launch({ backend: bench.openBackend(), workflows: [fan] });
    const measure = async (width: number, times: number): Promise<readonly number[]> =>
      await inFlight(times, 1, async () => {
        const sum = await engine.execute(fan, width);
        if (sum !== (width * (width - 1)) / 2) throw new Error(`a fan-out of ${width} gave ${sum}`);
      });
    await measure(100, 20);
    await measure(1_000, 2);
    const narrow = await measure(100, bench.quick ? 30 : 100);
    const wide = await measure(1_000, bench.quick ? 11 : 31);
    await engine.close();
    return {
      figures: {
        fanOut100P50Ms: median(narrow),
        fanOut100P99Ms: percentile(narrow, 0.99),
        fanOut1000P50Ms: median(wide),
        fanOut1000MaxMs: percentile(wide, 1),
      },
    };
  },
};
