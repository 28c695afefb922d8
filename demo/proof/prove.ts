// The proof: claims about what happened, each decided from evidence that could contradict it. Pure, so that a test can feed it doctored evidence.
import type { Demands, Evidence, ExpectedRun, RunEvidence } from "./evidence.js";
import { historyProblems, operationsOf } from "./operations.js";
import { type Execution, executionsOf, type Rerun, rerunsOf, type Takeover, takeoversOf } from "./executions.js";

/** What the workflow sleeps. */
const sleepMs = 1000;

export interface Claim {
  readonly claim: string;
  readonly holds: boolean;
  /** Figures if it holds, what contradicts it if not. */
  readonly detail: string;
}

export interface Proof {
  readonly holds: boolean;
  readonly claims: readonly Claim[];
  readonly executions: readonly Execution[];
  readonly takeovers: readonly Takeover[];
  readonly reruns: readonly Rerun[];
  /** Different bodies that ran, whether once or more often. */
  readonly bodies: number;
}

export function prove(evidence: Evidence, demands: Demands): Proof {
  const { kills, effects } = evidence;
  const executions = executionsOf(effects);
  const reruns = rerunsOf(executions, kills, recordedIn(evidence.runs));
  const takeovers = takeoversOf(executions, kills);
  const claims = [
    logIsWhole(evidence),
    killsHappened(evidence, demands),
    everyRunFinished(evidence),
    verdictsAreRight(evidence),
    historiesAreWhole(evidence.runs),
    recordedOnce(evidence.runs, executions),
    allSawTheSame(evidence.runs, executions),
    nothingRanForNobody(evidence.runs, executions),
    rerunsAreExplained(reruns),
    rerunsWereInFlight(reruns, takeovers),
    takeoversAreFast(takeovers, demands),
    nothingWasEarly(evidence.runs, executions),
  ];
  const bodies = new Set(executions.map(({ key }) => key)).size;
  return { holds: claims.every(({ holds }) => holds), claims, executions, takeovers, reruns, bodies };
}

/** The executions whose results are in a history. */
const recordedIn = (runs: readonly RunEvidence[]): ReadonlySet<string> =>
  new Set(runs.flatMap(({ history }) => operationsOf(history).flatMap(({ settlements }) => settlements.flatMap(({ by }) => by ?? []))));

/** A claim that holds if nothing contradicts it. */
function claimOf(claim: string, contradictions: readonly string[], figures: string): Claim {
  const shown = contradictions.slice(0, 3).join("; ");
  const more = contradictions.length > 3 ? `; and ${contradictions.length - 3} more` : "";
  return { claim, holds: contradictions.length === 0, detail: contradictions.length === 0 ? figures : `${shown}${more}` };
}

function logIsWhole({ effects, torn }: Evidence): Claim {
  const wrong = [...(torn > 0 ? [`${torn} lines cannot be read`] : []), ...(effects.length === 0 ? ["it is empty"] : [])];
  return claimOf("The effect log is whole", wrong, `${effects.length} lines`);
}

function killsHappened({ kills }: Evidence, { killsMin }: Demands): Claim {
  const wrong = kills
    .filter(({ signal }) => signal !== "SIGKILL")
    .map(({ pid, signal }) => `process ${pid} ended by itself (${signal ?? "exit"})`);
  if (kills.length < killsMin) wrong.push(`${kills.length} kills where ${killsMin} were asked for`);
  return claimOf("Worker processes were killed, and nothing else ended them", wrong, `${kills.length} × SIGKILL`);
}

function everyRunFinished({ expected, runs }: Evidence): Claim {
  const byId = groupById(runs);
  const wrong = expected.flatMap(({ id }) => {
    const found = byId.get(id) ?? [];
    if (found.length !== 1) return [`${id} is there ${found.length} times`];
    return found[0]?.status === "completed" && found[0].result !== undefined ? [] : [`${id} is ${found[0]?.status ?? "gone"}`];
  });
  const strangers = runs.filter(({ id }) => !expected.some((run) => run.id === id)).map(({ id }) => `${id} was never started`);
  return claimOf(
    "Every workflow that was started has completed, once",
    [...wrong, ...strangers],
    `${expected.length} of ${expected.length}`,
  );
}

function groupById(runs: readonly RunEvidence[]): ReadonlyMap<string, readonly RunEvidence[]> {
  const groups = new Map<string, RunEvidence[]>();
  for (const run of runs) groups.set(run.id, [...(groups.get(run.id) ?? []), run]);
  return groups;
}

function verdictsAreRight({ expected, runs }: Evidence): Claim {
  const counts = new Map<string, number>();
  const wrong = expected.flatMap((run) => {
    const found = runs.find(({ id }) => id === run.id);
    if (found?.result === undefined) return [`${run.id} has no result`];
    counts.set(found.result.verdict, (counts.get(found.result.verdict) ?? 0) + 1);
    return verdictProblems(run, found);
  });
  return claimOf(
    "Every run ended with the verdict that its checks and the person gave it",
    wrong,
    [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", "),
  );
}

function verdictProblems(expected: ExpectedRun, { result, unreadMessages }: RunEvidence): readonly string[] {
  if (result === undefined) return [];
  const problems: string[] = [];
  const failed = result.findings.some(({ severity }) => severity === "error");
  const right = failed ? (expected.answer ?? "expired") : "clean";
  if (result.file !== expected.file) problems.push(`${expected.id} is about ${result.file}`);
  if (result.verdict !== right) problems.push(`${expected.id} is ${result.verdict} and should be ${right}`);
  if (unreadMessages > 0) problems.push(`${expected.id} never took ${unreadMessages} messages`);
  return problems;
}

function historiesAreWhole(runs: readonly RunEvidence[]): Claim {
  const wrong = runs.flatMap(({ id, history }) => historyProblems(history).map((problem) => `${id}: ${problem}`));
  const lines = runs.reduce((sum, { history }) => sum + history.length, 0);
  return claimOf("Every history is gap-free, in order of time, has one end, and settles each operation once", wrong, `${lines} lines`);
}

/** Of all executions of a body, exactly one is in the history and was given to the code: a second one may have happened, but left no trace there. */
function recordedOnce(runs: readonly RunEvidence[], executions: readonly Execution[]): Claim {
  const byId = new Map(executions.map((execution) => [execution.id, execution]));
  const wrong: string[] = [];
  let recorded = 0;
  for (const { id, result, history } of runs) {
    const keys = new Set<string>();
    const makers = new Set<string>();
    for (const { kind, name, settlements } of operationsOf(history)) {
      if (kind !== "step" && kind !== "activity") continue;
      for (const { by = "" } of settlements) {
        recorded += 1;
        makers.add(by);
        const execution = byId.get(by);
        if (execution === undefined || execution.run !== id) wrong.push(`${id} records ${name} by ${by}, which never ran for it`);
        else if (execution.outcome !== "done") wrong.push(`${id} records ${by} (${execution.body}), which was ${execution.outcome}`);
        else if (keys.has(execution.key)) wrong.push(`${id} records ${execution.body} twice`);
        else keys.add(execution.key);
      }
    }
    const given = result?.executions ?? [];
    if (given.length !== makers.size || given.some((by) => !makers.has(by)))
      wrong.push(`${id} was given other results than its history holds`);
  }
  return claimOf("Every step and activity is recorded exactly once, from an execution that ended well", wrong, `${recorded} records`);
}

/** Later bodies, in whatever process and after however many replays, were handed the same results as the run's end. */
function allSawTheSame(runs: readonly RunEvidence[], executions: readonly Execution[]): Claim {
  const results = new Map(runs.map(({ id, result }) => [id, new Set(result?.executions)]));
  let looks = 0;
  const wrong = executions.flatMap(({ run, body, saw }) => {
    looks += saw.length;
    const recorded = results.get(run);
    const others = saw.filter((by) => recorded?.has(by) !== true);
    return others.length === 0 ? [] : [`${body} of ${run} was handed ${others.join(", ")}, which is not what was recorded`];
  });
  return claimOf("Every replay handed on the recorded results and no others", wrong, `${looks} results handed on`);
}

function nothingRanForNobody(runs: readonly RunEvidence[], executions: readonly Execution[]): Claim {
  const done = new Set(runs.flatMap(({ result }) => result?.executions ?? []));
  const recordedKeys = new Set(executions.filter(({ id }) => done.has(id)).map(({ key }) => key));
  const wrong = [
    ...new Set(
      executions.filter(({ key }) => !recordedKeys.has(key)).map(({ run, body }) => `${body} of ${run} ran and was never recorded`),
    ),
  ];
  return claimOf("No body ran whose result is missing", wrong, `${recordedKeys.size} bodies`);
}

function rerunsAreExplained(reruns: readonly Rerun[]): Claim {
  const wrong = reruns
    .filter(({ explained }) => !explained)
    .map(({ before, again }) => `${again.body} of ${again.run} ran again in ${again.pid} though ${before.pid} had done it`);
  return claimOf("Nothing ran twice but what a kill cut off", wrong, `${reruns.length} ran again`);
}

function rerunsWereInFlight(reruns: readonly Rerun[], takeovers: readonly Takeover[]): Claim {
  const cutShort = takeovers.reduce((sum, takeover) => sum + takeover.cutShort, 0);
  const unrecorded = reruns.filter(({ kill, before }) => kill !== undefined && before.endedAt !== undefined).length;
  // Retries after a failure are the business of the retry policy.
  const twice = reruns.filter(({ kill, explained }) => kill !== undefined || !explained).length;
  const figures = `${twice} ≤ ${cutShort} cut short + ${unrecorded} done but not yet recorded`;
  const abandoned = takeovers
    .filter((takeover) => takeover.abandoned > 0)
    .map(({ kill, abandoned: count }) => `${count} bodies that ${kill.pid} was running never ran again`);
  return claimOf(
    "Bodies that ran twice are at most those in flight at the kills, and all of these ran again",
    [...abandoned, ...(twice <= cutShort + unrecorded ? [] : [figures])],
    figures,
  );
}

/**
 * From the kill to the first of the dead process's bodies at work in another one. The last of them may take longer: a run that was hit by two kills
 * in a row is a suspect, and suspects are driven one at a time; and the process that takes over may be killed in turn.
 */
function takeoversAreFast(takeovers: readonly Takeover[], { takeoverGoalMs, takeoverMaxMs }: Demands): Claim {
  const firsts = takeovers
    .flatMap(({ kill, firstMs }) => (firstMs === undefined ? [] : [{ pid: kill.pid, firstMs }]))
    .toSorted((a, b) => a.firstMs - b.firstMs);
  const wrong = firsts
    .filter(({ firstMs }) => firstMs > takeoverMaxMs)
    .map(({ pid, firstMs }) => `the work of ${pid} went on after ${firstMs} ms`);
  const median = firsts[Math.floor(firsts.length / 2)]?.firstMs ?? 0;
  if (median > takeoverGoalMs) wrong.push(`the median is ${median} ms`);
  // Without a single one the claim would be empty.
  if (firsts.length === 0 && takeovers.length > 0) wrong.push("no kill found anything in flight");
  const last = Math.max(0, ...takeovers.map(({ lastMs }) => lastMs ?? 0));
  const figures = `first effect elsewhere after ${median} ms (median), ${firsts.at(-1)?.firstMs ?? 0} ms (longest); the last body after ${last} ms; over ${firsts.length} kills`;
  return claimOf(
    `What a killed process was doing went on elsewhere: within ${takeoverGoalMs} ms at the median, ${takeoverMaxMs} ms at most`,
    wrong,
    figures,
  );
}

/** Sleeps by the history's own times, and by the log: the step after the sleep ran at least that much later than the sleep was asked for. */
function nothingWasEarly(runs: readonly RunEvidence[], executions: readonly Execution[]): Claim {
  const lengths: number[] = [];
  const wrong = runs.flatMap(({ id, history }) => {
    const operations = operationsOf(history);
    const early = operations
      .filter(({ dueAt, settlements }) =>
        settlements.some(({ kind, at }) => kind === "timer_fired" && at < (dueAt ?? Number.POSITIVE_INFINITY)),
      )
      .map(({ kind, name }) => `${kind} ${name} of ${id} ended before its time`);
    const sleep = operations.find(({ kind }) => kind === "sleep");
    const after = executions.find(({ run, body }) => run === id && body === "report");
    if (sleep === undefined || after === undefined) return early;
    const slept = after.startedAt - sleep.askedAt;
    lengths.push(slept);
    return slept < sleepMs ? [...early, `${id} slept ${slept} ms`] : early;
  });
  const sorted = lengths.toSorted((a, b) => a - b);
  if (sorted.length < runs.length) wrong.push(`${runs.length - sorted.length} runs did not sleep`);
  return claimOf(
    "No one-second sleep and no time limit was cut short",
    wrong,
    `${sorted.length} sleeps, from ${sorted[0] ?? 0} to ${sorted.at(-1) ?? 0} ms`,
  );
}
