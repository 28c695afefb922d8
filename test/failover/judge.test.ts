// The verdict of a failover trial must be able to be bad: each kind of harm is forged into good evidence once.
import { expect, it } from "vitest";
import type { HistoryEvent } from "perdure";
import type { Effect } from "../../failover/effect-log.js";
import type { Evidence, RunEvidence } from "../../failover/evidence.js";
import { judge } from "../../failover/judge.js";
import { summaryOf } from "../../failover/summary.js";
import { stepCount, valueOf } from "../../failover/ten-steps.js";

const [victim, survivor] = [11, 22];
const [struckMs, movedMs, resumedMs] = [1000, 3000, 4000];
/** The step that the victim was in. */
const caught = 4;
const steps = Array.from({ length: stepCount }, (_, index) => index + 1);
const tokenOf = (pid: number, input: number, step: number): string => `${pid}.${input}-${step}`;
const holderOf = (step: number): number => (step < caught ? victim : survivor);
const at = new Date(0);

const completed = (seq: number, command: number, data: unknown): HistoryEvent => ({
  seq,
  at,
  kind: "operation_completed",
  command,
  data,
  commands: [],
});

function runOf(input: number): RunEvidence {
  const by = steps.map((step) => tokenOf(holderOf(step), input, step));
  const history: HistoryEvent[] = [
    { seq: 1, at, kind: "started", data: input, commands: [] },
    ...steps.map((step) => completed(step + 1, step, { value: valueOf(input, step), by: by[step - 1] })),
    { seq: stepCount + 2, at, kind: "run_completed", commands: [] },
  ];
  return { id: `run-${input}`, input, result: { sum: steps.reduce((sum, step) => sum + valueOf(input, step), 0), by }, history };
}

function effectsOf(input: number): readonly Effect[] {
  const effect = (what: Effect["what"], pid: number, step: number, atMs: number): Effect => ({
    what,
    token: tokenOf(pid, input, step),
    pid,
    run: `run-${input}`,
    step,
    atMs,
  });
  const early = steps.filter((step) => step <= caught).map((step) => effect("began", victim, step, struckMs - 200 + step * 20));
  const late = steps.filter((step) => step >= caught).map((step) => effect("began", survivor, step, movedMs + input + step * 20));
  return [...early, ...late, effect("ended", victim, caught, resumedMs + 1)];
}

/** Two runs of a worker that was stopped in their fourth steps, and whose bodies of these ended when it went on. */
function good(): Evidence {
  const runs = [runOf(0), runOf(1)];
  return {
    kind: "stop",
    victimPid: victim,
    struckMs,
    resumedMs,
    noticedLoss: true,
    effects: [0, 1].flatMap(effectsOf),
    runs,
    before: new Map(runs.map(({ id, history }) => [id, history])),
  };
}

const withRun = (evidence: Evidence, change: Partial<RunEvidence>): Evidence => ({
  ...evidence,
  runs: evidence.runs.map((run, index) => (index === 0 ? { ...run, ...change } : run)),
});
const historyOf = ({ runs }: Evidence): readonly HistoryEvent[] => runs[0]?.history ?? [];
/** As if the victim's own execution of the step had been recorded. */
const writtenByVictim = (evidence: Evidence): readonly HistoryEvent[] =>
  historyOf(evidence).map((event) =>
    event.command === caught ? { ...event, data: { value: valueOf(0, caught), by: tokenOf(victim, 0, caught) } } : event,
  );

it("says how long it took, and nothing bad, when all went well", () => {
  const verdict = judge(good());
  const firstMs = movedMs + caught * 20 - struckMs;
  expect(verdict).toMatchObject({
    takenOver: 2,
    firstMs,
    allMs: firstMs + 1,
    lost: 0,
    doubled: 0,
    rerun: 2,
    zombieWrites: 0,
    lateWrites: 0,
  });
  expect(verdict.problems).toEqual([]);
});

it("finds runs that are lost", () => {
  const evidence = good();
  const [result] = evidence.runs.map((run) => run.result);
  const harms: readonly Partial<RunEvidence>[] = [
    { result: undefined },
    { result: { sum: 1, by: result?.by ?? [] } },
    { result: { sum: result?.sum ?? 0, by: (result?.by ?? []).toReversed() } },
    { history: historyOf(evidence).filter(({ command }) => command !== 7) },
    { history: historyOf(evidence).slice(0, -1) },
    { history: [] },
  ];
  for (const harm of harms) {
    const verdict = judge({ ...withRun(evidence, harm), before: undefined });
    expect(verdict.lost).toBe(1);
    expect(verdict.problems).toHaveLength(1);
  }
});

it("finds checkpoints that are doubled", () => {
  const evidence = good();
  const again = completed(stepCount + 3, caught, { value: valueOf(0, caught), by: tokenOf(victim, 0, caught) });
  const verdict = judge({ ...withRun(evidence, { history: [...historyOf(evidence), again] }), before: undefined });
  expect(verdict.doubled).toBe(1);
  expect(verdict.problems.join()).toContain("more than once");
});

it("finds a change in a run that had ended", () => {
  const evidence = good();
  expect(judge(withRun(evidence, { history: writtenByVictim(evidence) }))).toMatchObject({ zombieWrites: 1 });
});

it("finds what the zombie wrote in a run that another worker had taken over", () => {
  const evidence = good();
  const verdict = judge({ ...withRun(evidence, { history: writtenByVictim(evidence) }), before: undefined });
  expect(verdict).toMatchObject({ zombieWrites: 1, lateWrites: 0 });
  expect(verdict.problems.join()).toContain("no longer its own");
});

it("tells it from what was written in a run that nobody had taken over", () => {
  const evidence = good();
  const effects = evidence.effects.map((effect) => (effect.pid === survivor ? { ...effect, atMs: effect.atMs + 5000 } : effect));
  const verdict = judge({ ...withRun(evidence, { history: writtenByVictim(evidence) }), effects, before: undefined });
  expect(verdict).toMatchObject({ zombieWrites: 0, lateWrites: 1 });
});

it("finds a zombie that noticed nothing, a victim that had nothing, and recorded steps that ran again", () => {
  expect(judge({ ...good(), noticedLoss: false }).problems).toHaveLength(1);
  expect(judge({ ...good(), victimPid: 33 }).problems.join()).toContain("nothing was taken over");
  const evidence: Evidence = { ...good(), kind: "kill", resumedMs: undefined, before: undefined };
  expect(judge(evidence).problems).toEqual([]);
  const again = evidence.effects.filter(({ what, pid, step }) => what === "began" && pid === survivor && step === 5);
  expect(judge({ ...evidence, effects: [...evidence.effects, ...again] }).problems.join()).toContain("4 bodies ran again");
});

it("sums up by kind: the median of the first moves, the longest of all, and every harm", () => {
  const stop = judge(good());
  const kill = { ...stop, kind: "kill" } as const;
  const verdicts = [
    { ...kill, firstMs: 10, allMs: 90 },
    { ...kill, firstMs: 30, allMs: 40, lost: 2 },
    { ...kill, firstMs: 20, allMs: 25, doubled: 1 },
    { ...stop, zombieWrites: 3 },
  ];
  expect(summaryOf(verdicts)).toEqual({
    kill: { trials: 3, p50Ms: 20, maxMs: 90, lost: 2, doubled: 1 },
    stop: { trials: 1, p50Ms: 2080, maxMs: 2081, lost: 0, doubled: 0, zombieWrites: 3 },
  });
});
