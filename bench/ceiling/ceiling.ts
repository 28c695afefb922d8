import { stampMs, stopwatch, type Span } from "../measure.js";
import type { Place } from "../sites.js";
import { stepResult } from "../values.js";
import { openMysqlWriter } from "./mysql-ceiling.js";
import { openPostgresWriter } from "./postgres-ceiling.js";
import { openSqliteWriter } from "./sqlite-ceiling.js";

/** An engine-less writer: what the same driver, server and disk can do if nobody thinks. */
export interface Ceiling {
  readonly driver: string;
  /** Ten-step workflows, 100 in lock-step: one commit writes one step of each. Gives the time of `workflows` (a multiple of 100) of them. */
  steps(workflows: number): Promise<Span & { readonly steps: number }>;
  /** The time of single commits of one step, one after the other. */
  commits(count: number): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Writes in the best layout and by the best statements that were found for its database: one commit a call. */
export interface Writer {
  readonly driver: string;
  /** Inserts runs with their first lines. */
  start(heads: readonly Head[], lines: readonly HistoryLine[]): Promise<void>;
  /** Appends the lines and brings their runs up to date, each on condition that it is where the line before left it. */
  step(lines: readonly HistoryLine[]): Promise<void>;
  close(): Promise<void>;
}

export interface Head {
  readonly key: number;
  readonly workflowId: string;
  readonly runId: string;
  readonly name: string;
}

export interface HistoryLine {
  readonly key: number;
  readonly seq: number;
  readonly at: number;
  readonly event: string;
  readonly payload: string;
}

const lockStep = 100;
const stepsPerWorkflow = 10;

function openWriter(place: Place, folder: string): Promise<Writer> | undefined {
  switch (place.backend) {
    case "memory":
      return undefined;
    case "sqlite":
      return openSqliteWriter(folder);
    case "postgres":
      return openPostgresWriter(place.target);
    case "mysql":
      return openMysqlWriter(place.target);
    default:
      return place.backend satisfies never;
  }
}

/** Opens a ceiling on tables of its own beside those of the engine, or on a file in `folder`. Undefined for a place in memory. */
export async function openCeiling(place: Place, folder: string, serverPid: number | undefined): Promise<Ceiling | undefined> {
  const writer = await openWriter(place, folder);
  if (writer === undefined) return undefined;
  let lastKey = 0;
  const keysFrom = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => lastKey + index + 1);
  return {
    driver: writer.driver,
    async steps(workflows) {
      const elapsed = stopwatch(serverPid);
      for (let done = 0; done < workflows; done += lockStep) {
        const keys = keysFrom(lockStep);
        await writer.start(keys.map(headOf), keys.map(firstLine));
        for (let seq = 2; seq <= stepsPerWorkflow + 1; seq++) await writer.step(keys.map((key) => stepLine(key, seq)));
        lastKey += lockStep;
      }
      return { ...elapsed(), steps: workflows * stepsPerWorkflow };
    },
    async commits(count) {
      const [key = 0] = keysFrom(1);
      lastKey += 1;
      await writer.start([headOf(key)], [firstLine(key)]);
      const latencies: number[] = [];
      for (let seq = 2; seq < count + 2; seq++) {
        const startMs = stampMs();
        await writer.step([stepLine(key, seq)]);
        latencies.push(stampMs() - startMs);
      }
      return latencies;
    },
    close: () => writer.close(),
  };
}

const headOf = (key: number): Head => ({ key, workflowId: `workflow-${key}`, runId: `run-${key}`, name: "ten-steps" });

const firstLine = (key: number): HistoryLine => ({
  key,
  seq: 1,
  at: Date.now(),
  event: '{"type":"started","commands":[[1,"step","step 0"]]}',
  payload: JSON.stringify({ order: key }),
});

const stepLine = (key: number, seq: number): HistoryLine => ({
  key,
  seq,
  at: Date.now(),
  event: `{"type":"step_completed","command":${seq - 1},"commands":[[${seq},"step","step ${seq}"]]}`,
  payload: JSON.stringify(stepResult(key)),
});
