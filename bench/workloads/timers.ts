import { openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { connect, launch, workflow, type Client } from "perdure";
import type { Message } from "../children.js";
import { delay, inFlight, percentile, stopwatch } from "../measure.js";
import type { Measurement } from "../report.js";
import { sharedBackends } from "../sites.js";
import type { Bench, Role, Workload } from "../workload.js";

let noteDelivery: (order: number) => void = () => {};
const begun = new Set<number>();

interface Alarm {
  readonly order: number;
  readonly dueMs: number;
}

const alarm = workflow("alarm", async (ctx, { order, dueMs }: Alarm) => {
  begun.add(order);
  await ctx.sleepUntil(new Date(dueMs));
  await ctx.step("ring", () => noteDelivery(order));
  return order;
});

interface Begun extends Message {
  readonly type: "begun";
  readonly count: number;
}

interface Usage extends Message {
  readonly type: "usage";
  readonly cpuMs: number;
}

/** As many timers as an hour's end or a batch job leaves, all due in the same millisecond, and two workers to deliver them. */
export const timers: Workload = {
  name: "timers",
  title: "10,000 timers due at once, delivered by two workers",
  backends: sharedBackends,
  async run(bench) {
    const total = bench.quick ? 2_000 : 10_000;
    const workers = [bench.spawn("worker"), bench.spawn("worker")];
    const client = await connect({ backend: bench.openBackend() });
    const counts = workers.map(() => 0);
    workers.forEach((each, index) => each.onEach<Begun>("begun", ({ count }) => void (counts[index] = count)));
    await Promise.all(workers.map((each) => each.hear("ready")));
    // Time enough to start them and to have all of them asleep, on a slow machine too.
    const dueMs = Date.now() + 3_000 + total / 0.7;
    await inFlight(total, 200, (order) => client.start(alarm, { order, dueMs }, { id: `alarm-${order}` }));
    while (counts.reduce((sum, count) => sum + count, 0) < total && Date.now() < dueMs) await delay(50);
    const spareMs = dueMs - Date.now();
    for (const each of workers) each.tell({ type: "reset" });
    const elapsed = stopwatch(bench.serverPid);
    const finished = await untilDelivered(client, total);
    const { serverCpuMs } = elapsed();
    for (const each of workers) each.tell({ type: "report" });
    const usages = await Promise.all(workers.map((each) => each.hear<Usage>("usage")));
    const workersCpuMs = usages.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
    await client.close();
    await Promise.all(workers.map((each) => each.stop()));
    return summarize({ bench, total, dueMs, spareMs, finished, workersCpuMs, serverCpuMs });
  },
  roles: { worker: (...args) => worker(...args) },
};

/** How many gave their result within a minute after they were due. */
async function untilDelivered(client: Client, total: number): Promise<number> {
  const outcomes = await Promise.allSettled(
    Array.from({ length: total }, (_, order) => client.get(alarm, `alarm-${order}`).result({ timeout: "90 seconds" })),
  );
  return outcomes.filter((outcome, order) => outcome.status === "fulfilled" && outcome.value === order).length;
}

interface Evidence {
  readonly bench: Bench;
  readonly total: number;
  readonly dueMs: number;
  readonly spareMs: number;
  readonly finished: number;
  readonly workersCpuMs: number;
  readonly serverCpuMs: number | undefined;
}

function summarize({ bench, total, dueMs, spareMs, finished, workersCpuMs, serverCpuMs }: Evidence): Measurement {
  const deliveries = readDeliveries(logFile(bench));
  const lateMs = deliveries.map(({ atMs }) => atMs - dueMs);
  const distinct = new Set(deliveries.map(({ order }) => order)).size;
  const early = lateMs.filter((ms) => ms < 0).length;
  const twice = deliveries.length - distinct;
  const byWorker = new Map<number, number>();
  for (const { pid } of deliveries) byWorker.set(pid, (byWorker.get(pid) ?? 0) + 1);
  const shares = [...byWorker.values()];
  return {
    figures: {
      timers: total,
      deliveredMs: percentile(lateMs, 1),
      lateP50Ms: percentile(lateMs, 0.5),
      early,
      twice,
      workersCpuMsPer1000: (workersCpuMs / total) * 1000,
      ...(serverCpuMs !== undefined && { serverCpuMsPer1000: (serverCpuMs / total) * 1000 }),
      smallestShare: shares.length < 2 ? 0 : Math.min(...shares) / deliveries.length,
      spareMs,
    },
    errors: [
      ...(spareMs <= 0 ? ["the timers were due before all of them were set: what was measured is something else"] : []),
      ...(finished < total || distinct < total ? [`of ${total} timers ${distinct} were delivered, and ${finished} runs completed`] : []),
      ...(early > 0 ? [`${early} timers were delivered early, by up to ${-Math.min(...lateMs)} ms`] : []),
      ...(twice > 0 ? [`${twice} timers were delivered twice`] : []),
    ],
  };
}

const logFile = (bench: Bench): string => join(bench.folder, "deliveries.log");

interface Delivery {
  readonly pid: number;
  readonly atMs: number;
  readonly order: number;
}

const readDeliveries = (file: string): readonly Delivery[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [pid, atMs, order] = line.split(" ").map(Number);
      return { pid: pid ?? Number.NaN, atMs: atMs ?? Number.NaN, order: order ?? Number.NaN };
    });

const worker: Role = async (bench, post) => {
  const log = openSync(logFile(bench), "a");
  // On the clock that timers are due by: the database is on this machine.
  noteDelivery = (order) => void writeSync(log, `${process.pid} ${Date.now()} ${order}\n`);
  const engine = await launch({ backend: bench.openBackend(), workflows: [alarm] });
  const ticker = setInterval(() => post.tell({ type: "begun", count: begun.size } as Begun), 100);
  let elapsed = stopwatch();
  post.onEach("reset", () => void (elapsed = stopwatch()));
  post.onEach("report", () => post.tell({ type: "usage", cpuMs: elapsed().cpuMs } as Usage));
  post.tell({ type: "ready" });
  await post.hear("stop");
  clearInterval(ticker);
  await engine.close();
};
