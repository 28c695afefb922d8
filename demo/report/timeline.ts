// What a timeline shows, as data: rows of spans over time. What was asked for and recorded comes from the run's history, who worked on it and was
// cut short from the effect log. Drawing it is svg.ts's business.
import type { Execution } from "../proof/executions.js";
import { type Operation, operationsOf } from "../proof/operations.js";
import type { Kill } from "../run/worker-pool.js";
import { secondsText } from "./markdown.js";
import type { FinishedRun } from "./summary.js";

export interface Span {
  readonly from: number;
  readonly until: number;
  /** `asked`: from the moment the code asked for it until its outcome was recorded. */
  readonly look: "asked" | "body" | "cut" | "wait" | "sleep";
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
  readonly row: number;
  readonly from: number;
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

/** What the timelines of all runs have in common. */
export interface Scene {
  readonly executions: readonly Execution[];
  readonly kills: readonly Kill[];
  readonly processes: ReadonlyMap<number, number>;
}

/** The timeline of one run: its steps, activities, waits and sleeps, and the kills that hit it. */
export function runTimeline(run: FinishedRun, scene: Scene): Timeline {
  const mine = scene.executions.filter((execution) => execution.run === run.id);
  const lanes = operationsOf(run.history).map((operation) => laneOf(operation, mine, scene));
  const hits = new Set(mine.filter(({ outcome }) => outcome === "cut short").map(({ pid }) => pid));
  return {
    title: `${run.result.file}: ${run.result.verdict}`,
    from: run.createdAt,
    until: run.endedAt,
    rows: lanes.map(({ row }) => row),
    kills: scene.kills.filter(({ pid }) => hits.has(pid)).map(killMark),
    links: lanes.flatMap(({ bodies }, row) => linksOf(bodies, row, scene.kills)),
  };
}

const killMark = ({ at, pid }: Kill): Mark => ({ at, label: `process ${pid} killed` });

interface Lane {
  readonly row: Row;
  readonly bodies: readonly Execution[];
}

function laneOf(operation: Operation, mine: readonly Execution[], scene: Scene): Lane {
  const { kind, name, askedAt, settlements } = operation;
  const settled = settlements[0]?.at ?? askedAt;
  const rest = (label: string, look: Span["look"], outcome: string): Lane => {
    const title = `${label}: ${secondsText(settled - askedAt)}, then ${outcome}`;
    return { row: { label, spans: [{ from: askedAt, until: settled, look, process: undefined, title }] }, bodies: [] };
  };
  switch (kind) {
    case "sleep":
      return rest("sleep", "sleep", "it was over");
    case "receive":
      return rest(`wait for ${name}`, "wait", settlements[0]?.kind === "message_received" ? "the message came" : "the time was up");
    case "scope_timeout":
      return rest("scope", "wait", "it was over");
    case "transaction":
    case "child":
    case "child_result":
    case "send":
    case "cancel_run":
    case "patch":
      return rest(`${kind.replace("_", " ")} ${name}`, "wait", "it was done");
    case "step":
    case "activity": {
      const key = mine.find(({ id }) => id === settlements[0]?.by)?.key;
      const bodies = mine.filter((execution) => execution.key === key);
      const label = bodies[0]?.body ?? name;
      const title = `${kind} ${label}: recorded ${settled - askedAt} ms after the workflow asked for it`;
      const asked: Span = { from: askedAt, until: settled, look: "asked", process: undefined, title };
      return { row: { label, spans: [asked, ...bodies.map((execution) => bodySpan(execution, scene))] }, bodies };
    }
    default:
      return kind satisfies never;
  }
}

const endOf = ({ endedAt, pid, startedAt }: Execution, kills: readonly Kill[]): number =>
  endedAt ?? kills.find((kill) => kill.pid === pid)?.at ?? startedAt;

function bodySpan(execution: Execution, { kills, processes }: Scene): Span {
  const { run, kind, body, attempt, pid, startedAt, outcome } = execution;
  const until = endOf(execution, kills);
  const fate = outcome === "done" ? `${until - startedAt} ms` : outcome;
  const title = `${kind} ${body} of ${run}, attempt ${attempt}, process ${pid}: ${fate}`;
  return { from: startedAt, until, look: outcome === "done" ? "body" : "cut", process: processes.get(pid), title };
}

function linksOf(bodies: readonly Execution[], row: number, kills: readonly Kill[]): readonly Link[] {
  return bodies.flatMap((cut, index) => {
    const next = bodies[index + 1];
    if (next === undefined) return [];
    const from = endOf(cut, kills);
    const label = `goes on in process ${next.pid} ${next.startedAt - from} ms after process ${cut.pid} ${cut.outcome === "failed" ? "failed" : "was killed"}`;
    return [{ row, from, until: next.startedAt, label }];
  });
}

/** All runs under each other, below the lives of the worker processes. */
export function overviewTimeline(runs: readonly FinishedRun[], scene: Scene): Timeline {
  const { executions, kills } = scene;
  const sorted = runs.toSorted((a, b) => a.createdAt - b.createdAt);
  const workers = lanesOfLives(scene);
  const rows = [
    ...workers.map((spans, index): Row => ({ label: `worker ${index + 1}`, spans })),
    ...sorted.map((run): Row => ({ label: run.result.file, spans: phasesOf(run, scene) })),
  ];
  const from = Math.min(...sorted.map(({ createdAt }) => createdAt), ...executions.map(({ startedAt }) => startedAt));
  const until = Math.max(...sorted.map(({ endedAt }) => endedAt), from + 1);
  return { title: "All runs", from, until, rows, kills: kills.map(killMark), links: [] };
}

/** The processes that followed each other in one place share a row. */
function lanesOfLives({ executions, kills, processes }: Scene): readonly (readonly Span[])[] {
  const lanes: Span[][] = [];
  const laneOfPid = new Map<number, Span[]>();
  const successors = new Map(kills.map(({ replacedBy, pid }) => [replacedBy, pid]));
  const ends = new Map(kills.map(({ pid, at }) => [pid, at]));
  const begins = new Map(kills.map(({ replacedBy, replacedAt }) => [replacedBy, replacedAt]));
  const last = Math.max(...executions.map(({ startedAt, endedAt }) => endedAt ?? startedAt));
  // A process that never got to do anything has no number, but a successor.
  const pids = [...new Set([...processes.keys(), ...kills.flatMap(({ pid, replacedBy }) => [pid, replacedBy])])].toSorted(
    (a, b) => (begins.get(a) ?? 0) - (begins.get(b) ?? 0),
  );
  for (const pid of pids) {
    const bodies = executions.filter((execution) => execution.pid === pid);
    const from = begins.get(pid) ?? Math.min(...executions.map(({ startedAt }) => startedAt));
    const title = `process ${pid}: ${bodies.length} bodies${ends.has(pid) ? ", killed" : ""}`;
    const span: Span = { from, until: ends.get(pid) ?? last, look: "body", process: processes.get(pid), title };
    const before = laneOfPid.get(successors.get(pid) ?? Number.NaN);
    const lane = before ?? [];
    if (before === undefined) lanes.push(lane);
    lane.push(span);
    laneOfPid.set(pid, lane);
  }
  return lanes;
}

function phasesOf(run: FinishedRun, scene: Scene): readonly Span[] {
  const mine = scene.executions.filter((execution) => execution.run === run.id);
  const rests = operationsOf(run.history)
    .map((operation) => laneOf(operation, [], scene).row)
    .flatMap(({ spans }) => spans)
    .filter(({ look }) => look === "wait" || look === "sleep");
  return [...rests, ...mine.map((execution) => bodySpan(execution, scene))];
}
