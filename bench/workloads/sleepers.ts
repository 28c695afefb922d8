import { launch, workflow } from "perdure";
import { collectGarbage, delay, inFlight, liveBytes, stopwatch } from "../measure.js";
import type { Figures } from "../report.js";
import { counted, type StoreCounts } from "../store-counts.js";
import type { Workload } from "../workload.js";

const sleep = workflow("sleeper", async (ctx, order: number) => {
  await ctx.sleep("1 day");
  return order;
});

const megabyte = 1024 * 1024;

/** W4: runs that sleep cost a row, not memory nor time. */
export const sleepers: Workload = {
  name: "W4",
  title: "10,000 sleeping workflows (or --sleepers N)",
  backends: ["sqlite", "memory"],
  async run(bench) {
    const idleMs = bench.quick ? 2_000 : 8_000;
    const { backend, counts } = counted(bench.openBackend());
    const engine = await launch({ backend, workflows: [sleep] });
    // Some of them first: compiled code and caches belong to the idle worker that the growth is measured against.
    await inFlight(200, 100, (index) => engine.start(sleep, index));
    await delay(500);
    await collectGarbage();
    const before = { live: liveBytes(), resident: process.memoryUsage().rss };
    const idleBefore = await idle(counts, idleMs);
    const elapsed = stopwatch();
    await inFlight(bench.sleepers, 100, (index) => engine.start(sleep, index));
    const { wallMs, cpuMs } = elapsed();
    await delay(1_000);
    await collectGarbage();
    const after = { live: liveBytes(), resident: process.memoryUsage().rss };
    const idleAfter = await idle(counts, idleMs);
    await engine.close();
    return {
      figures: {
        sleepers: bench.sleepers,
        startsPerSec: (bench.sleepers / wallMs) * 1000,
        nodeCpuMsPer1000: (cpuMs / bench.sleepers) * 1000,
        memoryGrowthMb: (after.live - before.live) / megabyte,
        residentGrowthMb: (after.resident - before.resident) / megabyte,
        idleCpuPercent: idleAfter.cpuPercent,
        storeCallsPerSec: idleAfter.callsPerSec,
        idleCpuPercentWithout: idleBefore.cpuPercent,
        storeCallsPerSecWithout: idleBefore.callsPerSec,
        ...(await relaunch(bench.openBackend(), bench.backend === "memory" ? 0 : idleMs)),
      },
    };
  },
};

async function idle(counts: StoreCounts, idleMs: number): Promise<{ readonly cpuPercent: number; readonly callsPerSec: number }> {
  const calls = counts.calls;
  const elapsed = stopwatch();
  await delay(idleMs);
  const { wallMs, cpuMs } = elapsed();
  return { cpuPercent: (cpuMs / wallMs) * 100, callsPerSec: ((counts.calls - calls) / wallMs) * 1000 };
}

/** What a worker that finds the sleepers in the database, and never drove one, costs. */
async function relaunch(inner: Parameters<typeof counted>[0], idleMs: number): Promise<Figures> {
  if (idleMs === 0) return {};
  const { backend, counts } = counted(inner);
  const elapsed = stopwatch();
  const engine = await launch({ backend, workflows: [sleep] });
  const { wallMs } = elapsed();
  await delay(500);
  const { cpuPercent } = await idle(counts, idleMs / 2);
  await engine.close();
  return { relaunchMs: wallMs, relaunchedIdleCpuPercent: cpuPercent };
}
