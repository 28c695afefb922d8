import { activity, connect, launch, workflow } from "perdure";
import type { Message } from "../children.js";
import { inFlight, stopwatch } from "../measure.js";
import { sharedBackends } from "../sites.js";
import { stepResult } from "../values.js";
import type { Role, Workload } from "../workload.js";

let doneHere = 0;

const work = activity("work", async (order: number) => {
  doneHere++;
  return stepResult(order);
});

const width = 100;

const spread = workflow("spread", async (ctx, base: number) => {
  const results = await Promise.all(Array.from({ length: width }, (_, index) => ctx.activity(work, base + index)));
  return results.reduce((sum, result) => sum + result.order, 0);
});

interface Usage extends Message {
  readonly type: "usage";
  readonly cpuMs: number;
  readonly done: number;
}

/** W8: queued activities, executed by two worker processes. */
export const activityQueue: Workload = {
  name: "W8",
  title: "queued activities, two workers",
  backends: sharedBackends,
  async run(bench) {
    const runCount = bench.quick ? 40 : 200;
    const workers = [bench.spawn("worker"), bench.spawn("worker")];
    await Promise.all(workers.map((each) => each.hear("ready")));
    const client = await connect({ backend: bench.openBackend() });
    const execute = async (index: number): Promise<void> => {
      const base = index * width;
      const sum = await client.execute(spread, base);
      if (sum !== width * base + (width * (width - 1)) / 2) throw new Error(`activities gave ${sum}`);
    };
    await inFlight(20, 20, execute);
    for (const each of workers) each.tell({ type: "reset" });
    const elapsed = stopwatch(bench.serverPid);
    await inFlight(runCount, 20, execute);
    const { wallMs, serverCpuMs } = elapsed();
    for (const each of workers) each.tell({ type: "report" });
    const usages = await Promise.all(workers.map((each) => each.hear<Usage>("usage")));
    await client.close();
    await Promise.all(workers.map((each) => each.stop()));
    const total = runCount * width;
    const done = usages.map((usage) => usage.done);
    const ran = done.reduce((sum, count) => sum + count, 0);
    return {
      figures: {
        activities: total,
        activitiesPerSec: (total / wallMs) * 1000,
        workersCpuMsPer1000: (usages.reduce((sum, usage) => sum + usage.cpuMs, 0) / total) * 1000,
        ...(serverCpuMs !== undefined && { serverCpuMsPer1000: (serverCpuMs / total) * 1000 }),
        smallestShare: Math.min(...done) / ran,
        ranTwice: Math.max(0, ran - total),
      },
      errors: ran < total ? [`only ${ran} of ${total} activities ran`] : [],
    };
  },
  roles: { worker: (...args) => worker(...args) },
};

const worker: Role = async (bench, post) => {
  const engine = await launch({ backend: bench.openBackend(), workflows: [spread], activities: [work] });
  let elapsed = stopwatch();
  post.onEach("reset", () => {
    doneHere = 0;
    elapsed = stopwatch();
  });
  post.onEach("report", () => post.tell({ type: "usage", cpuMs: elapsed().cpuMs, done: doneHere } as Usage));
  post.tell({ type: "ready" });
  await post.hear("stop");
  await engine.close();
};
