/** Workflows that run while the database changes hands, and what must be true of them afterwards. */
import { launch, workflow, type Backend, type Engine, type Handle, type Logger } from "perdure";

const stepCount = 6;
const stepMs = 15;
const openMax = 100;

export interface FailoverWork {
  /** Resolves when so many more runs have completed. */
  progress(runs: number): Promise<void>;
  /** No more runs; resolves when all of them have ended. */
  finish(): Promise<FailoverReport>;
  close(): Promise<void>;
}

export interface FailoverReport {
  readonly runs: number;
  /** Runs whose start was acknowledged and that failed, are unknown, or came to another sum. */
  readonly lost: readonly string[];
  /** Steps that ran again although what came after them had begun: they had been acknowledged as recorded. */
  readonly forgotten: readonly string[];
  /** Histories with gaps or with more than one line for a step. */
  readonly doubled: readonly string[];
  /** Workers that were told that they had lost their lease. */
  readonly leasesLost: number;
  /** The longest time in which no step of any run began. */
  readonly longestPauseMs: number;
}

/** Two workers, and a client of the first that starts runs all the time. */
export async function failoverWork(backends: readonly [Backend, Backend], leaseMs = 10_000): Promise<FailoverWork> {
  const begun = new Map<string, number>();
  const forgotten: string[] = [];
  let leasesLost = 0;
  let lastMs = performance.now();
  let longestPauseMs = 0;
  let completed = 0;

  const began = (id: string, step: number): void => {
    const nowMs = performance.now();
    longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs);
    lastMs = nowMs;
    // The body of a step begins only after the step before it was committed.
    if ((begun.get(id) ?? 0) > step) forgotten.push(`${id}, step ${step}`);
    begun.set(id, step);
  };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));
  const sum = workflow("sum", async (ctx, n: number) => {
    let total = 0;
    for (let step = 1; step <= stepCount; step += 1) {
      total += await ctx.step(`step ${step}`, async () => {
        began(ctx.info.id, step);
        await pause(stepMs);
        return n + step;
      });
      // Gives the run up, so that now one worker and now the other goes on with it.
      if (step === stepCount / 2) await ctx.sleep(10);
    }
    return total;
  });
  const sumOf = (n: number): number => stepCount * n + (stepCount * (stepCount + 1)) / 2;
  const logger: Logger = {
    debug: () => {},
    info: () => {},
    warn: (message) => void (leasesLost += message.includes("lease was lost") ? 1 : 0),
    error: () => {},
  };
  const engines: Engine[] = [];
  for (const backend of backends) engines.push(await launch({ backend, workflows: [sum], logger, lease: leaseMs }));
  const [first] = engines as [Engine, Engine];

  let isOver = false;
  const lost: string[] = [];
  const handles: Handle<number>[] = [];
  const ends: Promise<void>[] = [];
  const follow = async (id: string, n: number): Promise<void> => {
    try {
      const handle = await first.start(sum, n, { id });
      handles.push(handle);
      const result = await handle.result();
      completed += 1;
      if (result !== sumOf(n)) lost.push(`${id}: ${result}`);
    } catch (error) {
      lost.push(`${id}: ${String(error)}`);
    }
  };
  const feeding = (async () => {
    for (let n = 0; !isOver; n += 1) {
      ends.push(follow(`run ${n}`, n));
      await pause(5);
      // While nothing moves, enough are waiting.
      while (!isOver && ends.length - completed - lost.length > openMax) await pause(5);
    }
  })();

  return {
    async progress(runs) {
      for (const target = completed + runs; completed < target;) await pause(10);
    },
    async finish() {
      isOver = true;
      await feeding;
      await Promise.all(ends);
      const doubled: string[] = [];
      for (const handle of handles) {
        const history = await handle.history();
        const steps = history.filter(({ kind }) => kind === "operation_completed");
        const isWhole = history.every(({ seq }, index) => seq === index + 1) && history.at(-1)?.kind === "run_completed";
        if (!isWhole || new Set(steps.map(({ command }) => command)).size !== steps.length) doubled.push(handle.id);
      }
      return { runs: ends.length, lost, forgotten, doubled, leasesLost, longestPauseMs };
    },
    close: async () => void (await Promise.all(engines.map((engine) => engine.close({ grace: 0 })))),
  };
}
