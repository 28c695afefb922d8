import { activity, connect, launch, workflow } from "perdure";
import { inFlight, median } from "../measure.js";
import { sharedBackends } from "../sites.js";
import { stepResult } from "../values.js";
import type { Role, Workload } from "../workload.js";

const work = activity("work", async (order: number) => stepResult(order));

const width = 1_000;

const spread = workflow("spread", async (ctx) => {
  const results = await Promise.all(Array.from({ length: width }, (_, index) => ctx.activity(work, index)));
  return results.reduce((sum, result) => sum + result.order, 0);
});

/** One run that queues 1,000 activities at once for two worker processes, from its start to its result. */
export const activityFanOut: Workload = {
  name: "activity-fan-out",
  title: "1,000 queued activities of one run, two workers",
  backends: sharedBackends,
  async run(bench) {
    const workers = [bench.spawn("worker"), bench.spawn("worker")];
    await Promise.all(workers.map((each) => each.hear("ready")));
    const client = await connect({ backend: bench.openBackend() });
    const execute = async (): Promise<void> => {
      const sum = await client.execute(spread);
      if (sum !== (width * (width - 1)) / 2) throw new Error(`activities gave ${sum}`);
    };
    await inFlight(3, 1, execute);
    const latencies = await inFlight(bench.quick ? 3 : 9, 1, execute);
    await client.close();
    await Promise.all(workers.map((each) => each.stop()));
    return { figures: { fanOut1000P50Ms: median(latencies), fanOut1000MaxMs: Math.max(...latencies) } };
  },
  roles: { worker: (...args) => worker(...args) },
};

const worker: Role = async (bench, post) => {
  const engine = await launch({ backend: bench.openBackend(), workflows: [spread], activities: [work] });
  post.tell({ type: "ready" });
  await post.hear("stop");
  await engine.close();
};
