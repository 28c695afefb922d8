// What a timeline shows, as data: rows of spans over time. Drawing it is svg.ts's business.
import type { Execution } from "../proof/executions.js";
import type { Kill } from "../run/worker-pool.js";
import { secondsText } from "./markdown.js";
import type { FinishedRun } from "./summary.js";

export interface Span {
  readonly from: number;
  readonly until: number;
  readonly look: "body" | "cut" | "wait" | "sleep";
  /** Which process it ran in; the same process has the same colour in all timelines. */
  readonly process: number | undefined;
  /** Shown while pointing at it. */
  readonly title: string;
}

export interface Row {
  readonly label: string;
  readonly spans: readonly Span[];
}

export interface Mark {
  readonly at: number;
  readonly label: string;
}

/** Work that a kill cut off, and where it went on. */
export interface Link {
  readonly fromRow: number;
  readonly from: number;
  readonly untilRow: number;
  readonly until: number;
  readonly label: string;
}

export interface Timeline {
  readonly title: string;
  readonly from: number;
  readonly until: number;
  readonly rows: readonly Row[];
  readonly kills: readonly Mark[];
  readonly links: readonly Link[];
}

/** The colours' numbers: processes in the order in which they first did anything. */
export function processNumbers(executions: readonly Execution[]): ReadonlyMap<number, number> {
  const pids = [...new Set(executions.map(({ pid }) => pid))];
  return new Map(pids.map((pid, index) => [pid, index]));
}

/** The timeline of one run: its steps, its activities side by side, its waits and sleeps, and the kills that hit it. */
export function runTimeline(run: FinishedRun, all: readonly Execution[], kills: readonly Kill[], processes: ReadonlyMap<number, number>): Timeline {
  const mine = all.filter((execution) => execution.run === run.id);
  const killOf = new Map(kills.map((kill) => [kill.pid, kill]));
  const spanOf = (execution: Execution): Span => {
    const until = execution.endedAt ?? killOf.get(execution.pid)?.at ?? execution.startedAt;
    const fate = execution.outcome === "done" ? secondsText(until - execution.startedAt) : execution.outcome;
    const title = `${execution.kind} ${execution.body}, attempt ${execution.attempt}, process ${execution.pid}: ${fate}`;
    return { from: execution.startedAt, until, look: execution.outcome === "done" ? "body" : "cut", process: processes.get(execution.pid), title };
  };
  const step = (name: string): Placed[] => mine.filter(({ kind, body }) => kind === "step" && body === name).map((execution) => ({ execution, span: spanOf(execution) }));
  const activities = mine.filter(({ kind }) => kind === "activity").map((execution) => ({ execution, span: spanOf(execution) }));
  const { askedAt, answeredAt, sleptFrom, sleptUntil } = run.result.times;
  const wait = askedAt === undefined || answeredAt === undefined ? [] : [rest("waits for a person", "wait", askedAt, answeredAt)];
  const lanes: readonly Lane[] = [
    { label: "load", placed: step("load") },
    { label: "parse", placed: step("parse") },
    ...pack(activities).map((placed, index) => ({ label: index === 0 ? `profile ${run.result.profiles.length} columns` : "", placed })),
    { label: "check", placed: step("check") },
    ...wait,
    rest("sleeps", "sleep", sleptFrom, sleptUntil),
    { label: "report", placed: step("report") },
  ];
  const hits = new Set(mine.filter(({ outcome }) => outcome === "cut short").map(({ pid }) => pid));
  return {
    title: `${run.result.file}: ${run.result.verdict}`,
    from: run.createdAt,
    until: run.endedAt,
    rows: lanes.map(({ label, placed }) => ({ label, spans: placed.map(({ span }) => span) })),
    kills: kills.filter(({ pid }) => hits.has(pid)).map(({ at, pid }) => ({ at, label: `process ${pid} killed` })),
    links: linksOf(lanes),
  };
}

interface Placed {
  readonly execution: Execution | undefined;
  readonly span: Span;
}

interface Lane {
  readonly label: string;
  readonly placed: readonly Placed[];
}

const rest = (label: string, look: Span["look"], from: number, until: number): Lane => ({
  label,
  placed: [{ execution: undefined, span: { from, until, look, process: undefined, title: `${label}: ${secondsText(until - from)}` } }],
});

/** Puts what overlaps into different lanes, as few as it takes. */
function pack(items: readonly Placed[]): readonly (readonly Placed[])[] {
  const lanes: Placed[][] = [];
  for (const item of items.toSorted((a, b) => a.span.from - b.span.from)) {
    const free = lanes.find((lane) => (lane.at(-1)?.span.until ?? 0) <= item.span.from);
    if (free === undefined) lanes.push([item]);
    else free.push(item);
  }
  return lanes.length === 0 ? [[]] : lanes;
}

function linksOf(lanes: readonly Lane[]): readonly Link[] {
  const placed = lanes.flatMap((lane, row) => lane.placed.flatMap(({ execution, span }) => (execution === undefined ? [] : [{ execution, span, row }])));
  return placed.flatMap((cut) => {
    if (cut.execution.outcome !== "cut short") return [];
    const next = placed
      .filter(({ execution }) => execution.key === cut.execution.key && execution.startedAt > cut.execution.startedAt)
      .toSorted((a, b) => a.execution.startedAt - b.execution.startedAt)[0];
    if (next === undefined) return [];
    const label = `goes on in process ${next.execution.pid} after ${next.span.from - cut.span.until} ms`;
    return [{ fromRow: cut.row, from: cut.span.until, untilRow: next.row, until: next.span.from, label }];
  });
}

/** All runs under each other, below the lives of the worker processes. */
export function overviewTimeline(runs: readonly FinishedRun[], executions: readonly Execution[], kills: readonly Kill[]): Timeline {
  const processes = processNumbers(executions);
  const sorted = runs.toSorted((a, b) => a.createdAt - b.createdAt);
  const lives = [...processes].map(([pid, process]): Span => {
    const of = executions.filter((execution) => execution.pid === pid);
    const kill = kills.find((one) => one.pid === pid);
    const until = kill?.at ?? Math.max(...of.map(({ startedAt, endedAt }) => endedAt ?? startedAt));
    const from = kills.find(({ replacedBy }) => replacedBy === pid)?.replacedAt ?? Math.min(...of.map(({ startedAt }) => startedAt));
    return { from, until, look: "body", process, title: `process ${pid}: ${of.length} bodies${kill === undefined ? "" : ", killed"}` };
  });
  const workers = pack(lives.map((span) => ({ execution: undefined, span })));
  const rows: Row[] = workers.map((lane, index) => ({ label: `worker ${index + 1}`, spans: lane.map(({ span }) => span) }));
  for (const run of sorted) rows.push({ label: run.result.file, spans: phasesOf(run, executions, processes) });
  const from = Math.min(...sorted.map(({ createdAt }) => createdAt), ...lives.map((span) => span.from));
  const until = Math.max(...sorted.map(({ endedAt }) => endedAt), from + 1);
  return { title: "All runs", from, until, rows, kills: kills.map(({ at, pid }) => ({ at, label: `process ${pid} killed` })), links: [] };
}

function phasesOf({ id, result }: FinishedRun, executions: readonly Execution[], processes: ReadonlyMap<number, number>): readonly Span[] {
  const { askedAt, answeredAt, sleptFrom, sleptUntil } = result.times;
  const spans: Span[] = executions
    .filter(({ run }) => run === id)
    .map(({ startedAt, endedAt, outcome, pid, body }) => ({
      from: startedAt,
      until: endedAt ?? startedAt + 50,
      look: outcome === "done" ? "body" : "cut",
      process: processes.get(pid),
      title: `${result.file}: ${body}, process ${pid}, ${outcome}`,
    }));
  if (askedAt !== undefined && answeredAt !== undefined) {
    spans.push({ from: askedAt, until: answeredAt, look: "wait", process: undefined, title: `${result.file} waits for a person` });
  }
  spans.push({ from: sleptFrom, until: sleptUntil, look: "sleep", process: undefined, title: `${result.file} sleeps` });
  return spans;
}
