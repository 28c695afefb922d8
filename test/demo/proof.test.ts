// The proof must be able to fail: each case doctors good evidence in one way and names the claim that has to notice.
import type { HistoryEvent } from "perdure";
import { describe, expect, it } from "vitest";
import { profileColumn } from "../../demo/data/profile-column.js";
import type { Demands, Evidence, RunEvidence } from "../../demo/proof/evidence.js";
import { prove } from "../../demo/proof/prove.js";
import { type Effect, parseEffects } from "../../demo/run/effect-log.js";
import type { FileResult } from "../../demo/run/pipeline.js";
import type { Kill } from "../../demo/run/worker-pool.js";

const demands: Demands = { killsMin: 1, takeoverGoalMs: 1000, takeoverMaxMs: 5000 };
const run = "a.csv";

function lines(body: string, pid: number, from: number, until: number | undefined, more: Partial<Effect> = {}): Effect[] {
  const base = { pid, run, kind: "step", body, key: `${run}/${body}`, attempt: 1, execution: `${pid}#${from}`, ...more } as const;
  const start: Effect = { ...base, phase: "start", at: from };
  return until === undefined ? [start] : [start, { ...base, phase: "end", at: until }];
}

let last = 0;
const event = (at: number, kind: HistoryEvent["kind"], more: Partial<HistoryEvent> = {}): HistoryEvent => ({
  seq: (last += 1),
  at: new Date(at),
  kind,
  commands: [],
  ...more,
});
const asks = (number: number, kind: "step" | "activity" | "sleep", name: string, dueAt?: number) => ({
  commands: [{ number, kind, name, ...(dueAt === undefined ? {} : { dueAt: new Date(dueAt) }) }],
});
const made = (command: number, by: string) => ({ command, data: { by, value: 1 } });

const history: readonly HistoryEvent[] = [
  event(1000, "started", asks(1, "step", "load")),
  event(1100, "operation_completed", { ...made(1, "1#1000"), ...asks(2, "step", "parse") }),
  event(1800, "operation_completed", { ...made(2, "2#1700"), ...asks(3, "activity", "profile-column") }),
  event(1900, "operation_completed", { ...made(3, "3#1800"), ...asks(4, "step", "check") }),
  event(2000, "operation_completed", { ...made(4, "2#1900"), ...asks(5, "sleep", "", 3000) }),
  event(3050, "timer_fired", { command: 5, ...asks(6, "step", "report") }),
  event(3200, "operation_completed", made(6, "2#3100")),
  event(3200, "run_completed"),
];

const profiles = [profileColumn({ name: "x", cells: [1] })];

const good: Evidence = {
  torn: 0,
  effects: [
    ...lines("load", 1, 1000, 1100),
    ...lines("parse", 1, 1100, undefined, { saw: ["1#1000"] }),
    ...lines("parse", 2, 1700, 1800, { saw: ["1#1000"] }),
    ...lines("profile x", 3, 1800, 1900, { kind: "activity", saw: ["2#1700"] }),
    ...lines("check", 2, 1900, 2000, { saw: ["1#1000", "2#1700", "3#1800"] }),
    ...lines("report", 2, 3100, 3200, { saw: ["1#1000", "2#1700", "3#1800", "2#1900"] }),
  ],
  kills: [{ at: 1200, pid: 1, workerId: "w1", signal: "SIGKILL", replacedBy: 3, replacedAt: 1500 }],
  expected: [{ id: run, file: run, answer: undefined }],
  runs: [
    {
      id: run,
      status: "completed",
      unreadMessages: 0,
      result: {
        file: run,
        format: "CSV",
        bytes: 1,
        rows: 1,
        facts: [],
        profiles,
        findings: [],
        verdict: "clean",
        reviewer: undefined,
        executions: ["1#1000", "2#1700", "3#1800", "2#1900", "2#3100"],
        waitedMs: undefined,
      },
      history,
    },
  ],
};

const failing = (evidence: Evidence, asked = demands): readonly string[] => {
  const proof = prove(evidence, asked);
  expect(proof.holds).toBe(proof.claims.every(({ holds }) => holds));
  return proof.claims.filter(({ holds }) => !holds).map(({ claim }) => claim);
};

const withRun = (change: Partial<RunEvidence>): Evidence => ({ ...good, runs: [{ ...good.runs[0]!, ...change }] });
const withResult = (change: Partial<FileResult>): Evidence => withRun({ result: { ...good.runs[0]!.result!, ...change } });
const withKill = (change: Partial<Kill>): Evidence => ({ ...good, kills: [{ ...good.kills[0]!, ...change }] });
const withLine = (wanted: number, change: Partial<HistoryEvent>): Evidence =>
  withRun({ history: history.map((item) => (item.seq === wanted ? { ...item, ...change } : item)) });
const error = { severity: "error", check: "structure", message: "broken" } as const;

describe("the proof", () => {
  it("holds on good evidence, and measures the takeover and what ran twice", () => {
    const proof = prove(good, demands);
    expect(failing(good)).toEqual([]);
    expect(proof.takeovers).toMatchObject([{ cutShort: 1, firstMs: 500, lastMs: 500, abandoned: 0 }]);
    expect(proof.reruns).toHaveLength(1);
    expect(proof.bodies).toBe(5);
  });

  it("holds if a body was done just before the kill and ran again because that was not recorded", () => {
    const effects = good.effects.flatMap((effect) =>
      effect.execution === "1#1100" ? lines("parse", 1, 1100, 1190, { saw: ["1#1000"] }) : [effect],
    );
    const proof = prove({ ...good, effects }, demands);
    // Nothing was cut short, so there is no takeover to measure: that alone is missing.
    expect(proof.claims.filter(({ holds }) => !holds).map(({ detail }) => detail)).toEqual(["no kill found anything in flight"]);
  });

  it("holds if a failed attempt was tried again", () => {
    const failed = lines("check", 2, 1850, 1860, { execution: "2#0", saw: [] }).map((effect) =>
      effect.phase === "end" ? { ...effect, phase: "failed" as const } : effect,
    );
    const retried = good.effects.map((effect) => (effect.body === "check" ? { ...effect, attempt: 2 } : effect));
    expect(failing({ ...good, effects: [...retried, ...failed] })).toEqual([]);
  });

  const recorded = "Every step and activity is recorded exactly once, from an execution that ended well";
  const finished = "Every workflow that was started has completed, once";
  const verdict = "Every run ended with the verdict that its checks and the person gave it";
  const twice = "Nothing ran twice but what a kill cut off";
  const same = "Every replay handed on the recorded results and no others";
  const killed = "Worker processes were killed, and nothing else ended them";
  const fast = "What a killed process was doing went on elsewhere: within 1000 ms at the median, 5000 ms at most";
  const early = "No one-second sleep and no time limit was cut short";
  const whole = "Every history is gap-free, in order of time, has one end, and settles each operation once";
  const again = lines("load", 2, 1600, 1650);
  it.each<[string, Evidence, string]>([
    ["a run that never ended", withRun({ status: "waiting", result: undefined }), finished],
    ["a run that is not there", { ...good, runs: [] }, finished],
    ["a second run of one id", { ...good, runs: [...good.runs, ...good.runs] }, finished],
    ["a run that nobody started", { ...good, expected: [] }, finished],
    ["a wrong verdict", withResult({ verdict: "approved" }), verdict],
    [
      "an answer that was lost",
      { ...withResult({ findings: [error], verdict: "expired" }), expected: [{ id: run, file: run, answer: "approved" }] },
      verdict,
    ],
    ["a message that was never taken", withRun({ unreadMessages: 1 }), verdict],
    ["the result of another file", withResult({ file: "b.csv" }), verdict],
    [
      "a step recorded twice",
      withRun({ history: [...history.slice(0, 7), event(3200, "operation_completed", made(6, "2#3100")), history[7]!] }),
      recorded,
    ],
    ["a step settled twice", withLine(8, { kind: "operation_completed", ...made(6, "2#3100") }), whole],
    ["a step that is never settled", withLine(7, { kind: "attempt_failed" }), whole],
    ["a gap in a history", withRun({ history: history.filter(({ seq }) => seq !== 6) }), whole],
    ["a history that goes back in time", withLine(4, { at: new Date(1) }), whole],
    ["a history without an end", withRun({ history: history.slice(0, 7) }), whole],
    ["two ends", withRun({ history: [...history, { ...history[7]!, seq: 9 }] }), whole],
    [
      "a run that was given what its history does not hold",
      withResult({ executions: ["1#1000", "1#1100", "3#1800", "2#1900", "2#3100"] }),
      recorded,
    ],
    ["a record of a body that never ran", withLine(3, made(2, "9#9")), recorded],
    ["a record of a body that was cut short", withLine(3, made(2, "1#1100")), recorded],
    [
      "a record of a body of another run",
      { ...good, effects: good.effects.map((effect) => (effect.body === "load" ? { ...effect, run: "b.csv" } : effect)) },
      recorded,
    ],
    [
      "a step done again though it was recorded",
      { ...good, effects: [...good.effects, ...again], kills: [{ ...good.kills[0]!, pid: 9 }] },
      twice,
    ],
    [
      "a step done again long after it was done",
      { ...good, effects: [...good.effects, ...again], kills: [{ ...good.kills[0]!, at: 2500 }] },
      twice,
    ],
    [
      "a replay that saw another result",
      { ...good, effects: good.effects.map((effect) => (effect.body === "report" ? { ...effect, saw: ["2#1600"] } : effect)) },
      same,
    ],
    [
      "a body whose result is missing",
      { ...good, effects: [...good.effects, ...lines("extra", 2, 1600, 1650)] },
      "No body ran whose result is missing",
    ],
    ["a process that died by itself", withKill({ signal: null }), killed],
    ["too few kills", { ...good, kills: [] }, killed],
    [
      "a slow takeover",
      { ...good, effects: good.effects.map((effect) => (effect.at >= 1700 ? { ...effect, at: effect.at + 600 } : effect)) },
      fast,
    ],
    [
      "a body that was never taken over",
      { ...good, effects: good.effects.filter(({ execution }) => execution !== "2#1700") },
      "Bodies that ran twice are at most those in flight at the kills, and all of these ran again",
    ],
    ["a sleep that ended before its time by the history", withLine(6, { at: new Date(2990) }), early],
    ["a run that did not sleep", withRun({ history: [] }), early],
    [
      "a sleep that ended early by the effect log",
      { ...good, effects: good.effects.map((effect) => (effect.body === "report" ? { ...effect, at: effect.at - 200 } : effect)) },
      early,
    ],
    ["a torn log", { ...good, torn: 1 }, "The effect log is whole"],
    ["an empty log", { ...good, effects: [] }, "The effect log is whole"],
  ])("notices %s", (_, evidence, claim) => {
    expect(failing(evidence)).toContain(claim);
  });
});

it("limits the longest takeover as well as the median", () => {
  const proof = prove(good, { ...demands, takeoverMaxMs: 499 });
  expect(proof.claims.filter(({ holds }) => !holds).map(({ detail }) => detail)).toEqual(["the work of 1 went on after 500 ms"]);
});

describe("the effect log", () => {
  it("forgives a line in which its process died, and no other", () => {
    const line = JSON.stringify(good.effects[0]);
    expect(parseEffects(`${line}\n${line}\n{"pha`)).toMatchObject({ torn: 0, effects: [{ body: "load" }, { body: "load" }] });
    expect(parseEffects(`${line}\n{"pha\n${line}\n`)).toMatchObject({ torn: 1 });
  });
});
