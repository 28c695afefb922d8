import { connect, launch, workflow, type Backend } from "perdure";
import type { Child, Message } from "../children.js";
import { inFlight, stopwatch } from "../measure.js";
import type { Figures } from "../report.js";
import { sharedBackends } from "../sites.js";
import { watchStalls, type Stalls } from "../stall-probe.js";
import { stepResult } from "../values.js";
import type { Role, Workload } from "../workload.js";

let ranHere = 0;

const small = workflow("small", async (ctx, order: number) => {
  const result = await ctx.step("only", () => {
    ranHere++;
    return stepResult(order);
  });
  return result.order;
});

interface Order extends Message {
  readonly starts: number;
  readonly prefix: string;
}

interface Report extends Message {
  readonly type: "report";
  /** Starts that were accepted (client) or step bodies that ran (worker). */
  readonly done: number;
  readonly rejected: number;
  readonly failed: number;
  readonly firstError: string;
  readonly wallMs: number;
  readonly stalls: Stalls;
}

interface Progress extends Message {
  readonly type: "progress";
  readonly done: number;
}

/** Two workers and two clients, each a process, on one database. */
export const fourProcesses: Workload = {
  name: "four-processes",
  title: "two workers and two clients in four processes on one database, 10,000 starts",
  backends: sharedBackends,
  async run(bench) {
    const starts = bench.quick ? 1_000 : 5_000;
    const workers = [bench.spawn("worker"), bench.spawn("worker")];
    await Promise.all(workers.map((each) => each.hear("ready")));
    const elapsed = stopwatch();
    const clients = ["a", "b"].map((prefix) => bench.spawn("client", { type: "order", starts, prefix } as Order));
    const progress = clients.map(() => 0);
    clients.forEach((client, index) => client.onEach<Progress>("progress", ({ done }) => (progress[index] = done)));
    // When the first client is done, the other should not be far behind.
    const clientReports = clients.map((each) => each.hear<Report>("report"));
    await Promise.race(clientReports);
    const behind = Math.min(...progress) / Math.max(...progress, 1);
    const fromClients = await Promise.all(clientReports);
    const { wallMs } = elapsed();
    for (const each of workers) each.tell({ type: "ask" });
    const fromWorkers = await Promise.all(workers.map((each) => each.hear<Report>("report")));
    const left = await countOpen(bench.openBackend());
    await Promise.all([...workers, ...clients].map((each: Child) => each.stop()));
    return summarize({ fromClients, fromWorkers, behind, left, wallMs, starts: starts * clients.length });
  },
  roles: { worker: (...args) => worker(...args), client: (...args) => client(...args) },
};

interface Outcome {
  readonly fromClients: readonly Report[];
  readonly fromWorkers: readonly Report[];
  readonly behind: number;
  readonly left: number;
  readonly wallMs: number;
  readonly starts: number;
}

function summarize({ fromClients, fromWorkers, behind, left, wallMs, starts }: Outcome): {
  readonly figures: Figures;
  readonly errors: readonly string[];
} {
  const sum = (reports: readonly Report[], of: (report: Report) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const rejected = sum(fromClients, (report) => report.rejected);
  const failed = sum(fromClients, (report) => report.failed);
  const ran = sum(fromWorkers, (report) => report.done);
  const workerShare = Math.min(...fromWorkers.map((report) => report.done)) / ran;
  // Of two equals each has half; of the clients we know how far the slower one was when the faster one ended.
  const clientShare = behind / (1 + behind);
  const stalls = [...fromClients, ...fromWorkers].map((report) => report.stalls);
  const wrong = fromClients.find((report) => report.rejected + report.failed > 0);
  return {
    figures: {
      starts,
      rejected,
      failed,
      left,
      workflowsPerSec: (starts / wallMs) * 1000,
      bodiesRunTwice: Math.max(0, ran - starts),
      workerShare,
      clientShare,
      smallestShare: Math.min(workerShare, clientShare),
      maxStallMs: Math.max(...stalls.map((stall) => stall.maxMs)),
      maxOwnStallMs: Math.max(...stalls.map((stall) => stall.maxOwnMs)),
      workerStallsMs: fromWorkers.map((report) => report.stalls.maxMs.toFixed(0)).join(" "),
      clientStallsMs: fromClients.map((report) => report.stalls.maxMs.toFixed(0)).join(" "),
    },
    errors:
      rejected + failed + left === 0
        ? []
        : [`${rejected} starts rejected, ${failed} runs failed, ${left} left open; first error: ${wrong?.firstError ?? "none"}`],
  };
}

async function countOpen(backend: Backend): Promise<number> {
  const client = await connect({ backend });
  let open = 0;
  for await (const run of client.list({ name: small.name })) if (run.endedAt === undefined) open++;
  await client.close();
  return open;
}

const worker: Role = async (bench, post) => {
  const engine = await launch({ backend: bench.openBackend(), workflows: [small] });
  const stopWatching = watchStalls();
  const elapsed = stopwatch();
  post.tell({ type: "ready" });
  await post.hear("ask");
  post.tell({
    type: "report",
    done: ranHere,
    rejected: 0,
    failed: 0,
    firstError: "",
    wallMs: elapsed().wallMs,
    stalls: stopWatching(),
  } as Report);
  await post.hear("stop");
  await engine.close();
};

const client: Role = async (bench, post, input) => {
  const { starts, prefix } = input as Order;
  const connection = await connect({ backend: bench.openBackend() });
  const stopWatching = watchStalls();
  const elapsed = stopwatch();
  let [done, rejected, failed, firstError] = [0, 0, 0, ""];
  const ticker = setInterval(() => post.tell({ type: "progress", done } as Progress), 50);
  await inFlight(starts, 100, async (index) => {
    const handle = await connection.start(small, index, { id: `${prefix}-${index}` }).catch((error: unknown) => {
      rejected++;
      firstError ||= String(error);
    });
    const result = await handle?.result({ timeout: "2 minutes" }).catch((error: unknown) => void (firstError ||= String(error)));
    if (handle !== undefined && result !== index) failed++;
    done++;
  });
  clearInterval(ticker);
  post.tell({ type: "progress", done } as Progress);
  post.tell({ type: "report", done, rejected, failed, firstError, wallMs: elapsed().wallMs, stalls: stopWatching() } as Report);
  await connection.close();
  await post.hear("stop");
};
