import { launch, workflow } from "perdure";
import { collectGarbage, cpuPer1000, delay, inFlight, liveBytes, stopwatch } from "../measure.js";
import type { Figures } from "../report.js";
import { openProbe, type Probe } from "../server-probe.js";
import { backendNames } from "../sites.js";
import { counted, type StoreCounts } from "../store-counts.js";
import type { Bench, Workload } from "../workload.js";

const sleep = workflow("sleeper", async (ctx, order: number) => {
  await ctx.sleep("1 day");
  return order;
});

const megabyte = 1024 * 1024;

/** W4: runs that sleep cost a row, not memory nor time. */
export const sleepers: Workload = {
  name: "W4",
  title: "10,000 sleeping workflows (or --sleepers N)",
  backends: backendNames,
  async run(bench) {
    const idleMs = bench.quick ? 2_000 : 8_000;
    const probe = await openProbe(bench.place);
    const { backend, counts } = counted(bench.openBackend());
    const watched: Watched = { counts, probe, serverPid: bench.serverPid };
    const engine = await launch({ backend, workflows: [sleep] });
    // Some of them first: compiled code and caches belong to the idle worker that the growth is measured against.
    await inFlight(200, 100, (index) => engine.start(sleep, index));
    await delay(500);
    await collectGarbage();
    const before = { live: liveBytes(), resident: process.memoryUsage().rss };
    const idleBefore = await idle(watched, idleMs);
    const elapsed = stopwatch(bench.serverPid);
    await inFlight(bench.sleepers, 100, (index) => engine.start(sleep, index));
    const starting = elapsed();
    await delay(1_000);
    await collectGarbage();
    const after = { live: liveBytes(), resident: process.memoryUsage().rss };
    const idleAfter = await idle(watched, idleMs);
    await engine.close();
    await probe?.close();
    return {
      figures: {
        sleepers: bench.sleepers,
        startsPerSec: (bench.sleepers / starting.wallMs) * 1000,
        ...cpuPer1000(starting, bench.sleepers),
        memoryGrowthMb: (after.live - before.live) / megabyte,
        residentGrowthMb: (after.resident - before.resident) / megabyte,
        ...idleAfter,
        idleCpuPercentWithout: Number(idleBefore["idleCpuPercent"]),
        storeCallsPerSecWithout: Number(idleBefore["storeCallsPerSec"]),
        ...(await relaunch(bench, bench.backend === "memory" ? 0 : idleMs)),
      },
    };
  },
};

interface Watched {
  readonly counts: StoreCounts;
  readonly probe: Probe | undefined;
  readonly serverPid: number | undefined;
}

/** What a worker costs while nothing happens. */
async function idle({ counts, probe, serverPid }: Watched, idleMs: number): Promise<Figures> {
  const [calls, before] = [counts.calls, await probe?.read()];
  const elapsed = stopwatch(serverPid);
  await delay(idleMs);
  const { wallMs, cpuMs, serverCpuMs } = elapsed();
  const [callsAfter, after] = [counts.calls, await probe?.read()];
  const statements = (after?.statements ?? Number.NaN) - (before?.statements ?? Number.NaN);
  return {
    idleCpuPercent: (cpuMs / wallMs) * 100,
    storeCallsPerSec: ((callsAfter - calls) / wallMs) * 1000,
    ...(Number.isNaN(statements) ? {} : { statementsPerSec: (statements / wallMs) * 1000 }),
    ...(serverCpuMs !== undefined && { idleServerCpuPercent: (serverCpuMs / wallMs) * 100 }),
  };
}

/** What a worker that finds the sleepers in the database, and never drove one, costs. */
async function relaunch({ openBackend, serverPid }: Bench, idleMs: number): Promise<Figures> {
  if (idleMs === 0) return {};
  const { backend, counts } = counted(openBackend());
  const elapsed = stopwatch();
  const engine = await launch({ backend, workflows: [sleep] });
  const { wallMs } = elapsed();
  await delay(500);
  const { idleCpuPercent } = await idle({ counts, probe: undefined, serverPid }, idleMs / 2);
  await engine.close();
  return { relaunchMs: wallMs, relaunchedIdleCpuPercent: Number(idleCpuPercent) };
}
