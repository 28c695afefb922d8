import { inspect } from "node:util";
import { expect } from "vitest";
import { activity, launch, message, workflow, type Backend, type Engine, type HistoryEvent, type Logger } from "perdure";
import { systemRuntime } from "../../src/platform/runtime.js";

const runtime = systemRuntime();

/** How often the world is made or looked at anew; never a wait for something that was asked for. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => void runtime.setTimer(resolve, ms, { keepAlive: true }));

/** A logger that keeps what it is told, as text, causes and hidden properties and all. */
export function keepingLogger(): { readonly logger: Logger; readonly said: string[] } {
  const said: string[] = [];
  const keep = (text: string, data?: object): void => void said.push(`${text} ${inspect(data, { depth: 20, showHidden: true })}`);
  return { logger: { debug: keep, info: keep, warn: keep, error: keep }, said };
}

const go = message<number>("go");
const double = activity("double", async (n: number) => 2 * n);
/** Every kind of thing that is asked of a store: starts, turns, messages, activities, timers. */
const varied = workflow("varied", async (ctx, n: number) => {
  let sum = await ctx.step("first", () => n);
  sum += await ctx.receive(go);
  sum += await ctx.activity(double, n);
  await ctx.sleep(20);
  for (let step = 0; step < 3; step += 1) sum += await ctx.step(`step ${step}`, async () => (await pause(3), n));
  return sum;
});
const sumOf = (n: number): number => 7 * n;
const kindsOfAll = ["started", "operation_completed", "message_received", "operation_completed", "timer_fired"].concat(
  Array.from({ length: 3 }, () => "operation_completed"),
  "run_completed",
);

export interface Worked {
  readonly completed: number;
  /** All that was logged. */
  readonly said: string;
}

/** Starts workflows and sends to them all the time while `trouble` is made, and sees each of them through: none fails, and each history holds each event once. */
export async function workThrough(backend: Backend, trouble: () => Promise<void>): Promise<Worked> {
  const { logger, said } = keepingLogger();
  const engine = await launch({ backend, workflows: [varied], activities: [double], logger, lease: "5s" });
  let isOver = false;
  const runs: Promise<void>[] = [];
  const feed = async (): Promise<void> => {
    for (let n = 0; !isOver; n += 1) {
      const run = workOne(engine, n);
      // Looked at in the end; until then its failure is nobody's surprise.
      run.catch(() => undefined);
      runs.push(run);
      await pause(8);
    }
  };
  try {
    const feeding = feed();
    await trouble().finally(() => (isOver = true));
    await feeding;
    const failures = (await Promise.allSettled(runs)).filter(({ status }) => status === "rejected");
    expect(failures).toEqual([]);
    for (let n = 0; n < runs.length; n += 1) expect(kindsOf(await engine.get(idOf(n)).history())).toEqual(kindsOfAll);
    return { completed: runs.length, said: said.join("\n") };
  } finally {
    await engine.close({ grace: 0 });
  }
}

const idOf = (n: number): string => `run ${n}`;
const kindsOf = (history: readonly HistoryEvent[]): readonly string[] => history.map(({ kind }) => kind);

async function workOne(engine: Engine, n: number): Promise<void> {
  const handle = await engine.start(varied, n, { id: idOf(n) });
  await handle.send(go, n, { key: "go" });
  expect(await handle.result()).toBe(sumOf(n));
}

const errand = workflow("errand", async (ctx, n: number) => {
  for (let step = 0; step < 10; step += 1) await ctx.step(`step ${step}`, () => pause(100));
  return n;
});

/** Has runs under way while the store is made to refuse the engine, until that is noticed and the cause removed, and sees them through; returns all that was logged. */
export async function workThroughRefusals(backend: Backend, refuse: () => Promise<unknown>, mend: () => Promise<unknown>): Promise<string> {
  const { logger, said } = keepingLogger();
  const engine = await launch({ backend, workflows: [errand], logger, lease: "2s" });
  try {
    const handles = await Promise.all(Array.from({ length: 5 }, (_, n) => engine.start(errand, n)));
    await refuse();
    try {
      await expect.poll(() => said.filter((text) => text.includes("backend_failed")).length, { timeout: 10_000 }).toBeGreaterThan(0);
    } finally {
      await mend();
    }
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([0, 1, 2, 3, 4]);
    return said.join("\n");
  } finally {
    await engine.close({ grace: 0 });
  }
}
