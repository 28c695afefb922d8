import { launch, message, update, workflow } from "perdure";
import { delay, median, percentile, stampMs } from "../measure.js";
import { backendNames } from "../sites.js";
import type { Workload } from "../workload.js";

const add = update<number, number>("add");
const done = message("done");

const counter = workflow("counter", async (ctx) => {
  let sum = 0;
  ctx.on(add, (amount) => (sum += amount));
  await ctx.receive(done);
  return sum;
});

/** From asking a run at rest for an update to its answer: the request, and then what it led to, are durable. */
export const updates: Workload = {
  name: "updates",
  title: "an update's round trip, in one process",
  backends: backendNames,
  async run(bench) {
    const [warmUp, total] = bench.quick ? [20, 60] : [50, 300];
    const engine = await launch({ backend: bench.openBackend(), workflows: [counter] });
    const handle = await engine.start(counter);
    const latencies: number[] = [];
    for (let index = 0; index < warmUp + total; index++) {
      const startMs = stampMs();
      const sum = await handle.update(add, 1);
      if (index >= warmUp) latencies.push(stampMs() - startMs);
      if (sum !== index + 1) throw new Error(`update ${index} was answered ${sum}`);
      // The next one finds the run at rest, as those of people do.
      await delay(5);
    }
    await handle.send(done);
    await handle.result();
    await engine.close();
    return { figures: { updateP50Ms: median(latencies), updateP99Ms: percentile(latencies, 0.99) } };
  },
};
