import type { HistoryEvent } from "perdure";
import { describe, expect, it } from "vitest";
import type { Finding } from "../../demo/data/check-file.js";
import { profileColumn } from "../../demo/data/profile-column.js";
import { executionsOf } from "../../demo/proof/executions.js";
import { prove } from "../../demo/proof/prove.js";
import { renderFilePage } from "../../demo/report/file-page.js";
import { findingLines } from "../../demo/report/findings.js";
import { renderIndexPage } from "../../demo/report/index-page.js";
import { type FinishedRun, renderSummary } from "../../demo/report/summary.js";
import { drawTimeline, tickMs } from "../../demo/report/svg.js";
import { overviewTimeline, processNumbers, runTimeline, type Scene } from "../../demo/report/timeline.js";
import type { Effect } from "../../demo/run/effect-log.js";

const at = (ms: number) => new Date(ms);
const base = { run: "a&b.csv", kind: "step", body: "load", key: "k", attempt: 1 } as const;
const effects: readonly Effect[] = [
  { ...base, phase: "start", at: 1000, pid: 1, execution: "1#1" },
  { ...base, phase: "start", at: 1500, pid: 2, execution: "2#1" },
  { ...base, phase: "end", at: 1600, pid: 2, execution: "2#1" },
];
const kills = [{ at: 1200, pid: 1, workerId: "w", signal: "SIGKILL", replacedBy: 3, replacedAt: 1400 }];
const history: readonly HistoryEvent[] = [
  { seq: 1, at: at(1000), kind: "started", commands: [{ number: 1, kind: "step", name: "load" }] },
  {
    seq: 2,
    at: at(1700),
    kind: "operation_completed",
    command: 1,
    data: { by: "2#1", value: 1 },
    commands: [{ number: 2, kind: "receive", name: "reviewed", dueAt: at(3000) }],
  },
  {
    seq: 3,
    at: at(2000),
    kind: "message_received",
    command: 2,
    name: "reviewed",
    commands: [{ number: 3, kind: "sleep", name: "", dueAt: at(3000) }],
  },
  { seq: 4, at: at(3000), kind: "timer_fired", command: 3, commands: [] },
  { seq: 5, at: at(3100), kind: "run_completed", commands: [] },
];
const error: Finding = { severity: "error", check: "type mix", column: "x|y", message: "holds `a|b`" };
const finished: FinishedRun = {
  id: "a&b.csv",
  createdAt: 900,
  endedAt: 3100,
  history,
  result: {
    file: "a&b.csv",
    format: "CSV",
    bytes: 1234,
    rows: 3,
    facts: [],
    profiles: [profileColumn({ name: "x|y", cells: [1, 2, 2] })],
    findings: [error, { severity: "warning", check: "constant", message: "one" }],
    verdict: "approved",
    reviewer: "Robin",
    waitedMs: 300,
    executions: ["2#1"],
  },
};
const executions = executionsOf(effects);
const scene: Scene = { executions, kills, processes: processNumbers(executions) };

describe("the timeline of a run", () => {
  const timeline = runTimeline(finished, scene);

  it("has a row for each operation of the history, with the bodies of the effect log in it", () => {
    expect(timeline.rows.map(({ label, spans }) => [label, spans.map(({ look, from, until }) => [look, from, until])])).toEqual([
      [
        "load",
        [
          ["asked", 1000, 1700],
          ["cut", 1000, 1200],
          ["body", 1500, 1600],
        ],
      ],
      ["wait for reviewed", [["wait", 1700, 2000]]],
      ["sleep", [["sleep", 2000, 3000]]],
    ]);
  });

  it("shows the kill that hit it, and where the work went on", () => {
    expect(timeline.kills).toEqual([{ at: 1200, label: "process 1 killed" }]);
    expect(timeline.links).toEqual([{ row: 0, from: 1200, until: 1500, label: "goes on in process 2 300 ms after process 1 was killed" }]);
  });

  it("is drawn as well-formed SVG with everything in it", () => {
    const svg = drawTimeline(timeline);
    expect(svg).toContain("a&#38;b.csv: approved");
    expect(svg.match(/<rect /g)).toHaveLength(1 + 5);
    expect(svg).toContain("<title>goes on in process 2 300 ms after");
    for (const tag of ["svg", "text", "rect", "line", "path", "title"]) {
      const opened = svg.match(new RegExp(`<${tag}[ >]`, "g"))?.length ?? 0;
      const closed = (svg.match(new RegExp(`</${tag}>`, "g"))?.length ?? 0) + (svg.match(new RegExp(`<${tag} [^>]*/>`, "g"))?.length ?? 0);
      expect([tag, opened]).toEqual([tag, closed]);
    }
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });
});

describe("the overview", () => {
  it("shows the processes of one place in one row, above all runs", () => {
    const overview = overviewTimeline([finished], scene);
    expect(overview.rows.map(({ label, spans }) => [label, spans.length])).toEqual([
      ["worker 1", 2],
      ["worker 2", 1],
      ["a&b.csv", 4],
    ]);
    expect(drawTimeline(overview)).not.toMatch(/NaN|undefined|Infinity/);
  });
});

describe("the reports", () => {
  const proof = prove({ effects, torn: 0, kills, expected: [], runs: [] }, { killsMin: 1, takeoverGoalMs: 1000, takeoverMaxMs: 5000 });
  const summary = { version: "3.2.1", seed: 7, elapsedMs: 12_345, runs: [finished], proof };

  it("tell a file's findings and columns, and cannot be broken by what is in them", () => {
    const page = renderFilePage(finished.result, "3.2.1");
    expect(page).toContain("- Verdict: **let pass by a person (Robin), after 0.3 s**");
    expect(page).toContain(String.raw`**error**, type mix: **x\|y** holds ` + "`a" + String.raw`\|` + "b`");
    expect(page).toContain(String.raw`| x\|y | number | 0 % | 2 | 1 … 2 … 2 | ` + "`2` × 2 |");
  });

  it("merge what many columns share into one line", () => {
    const many = Array.from({ length: 6 }, (_, index): Finding => ({ ...error, column: `c${index}`, message: "holds text" }));
    expect(findingLines(many)).toEqual(["**error**, type mix: in 6 columns (c0, c1, c2, …); c0: holds text"]);
    expect(findingLines(many.slice(0, 4))).toHaveLength(4);
  });

  it("sum up and say whether the proof holds", () => {
    const report = renderSummary(summary);
    expect(report).toContain("- **1 files** of vega-datasets 3.2.1: 1.2 kB, 3 rows, 1 columns, in 12.3 s");
    expect(report).toContain("- **Proof:** **does not hold**");
    expect(report).toContain("[a&b.csv](files/a%26b.csv.md)");
    expect(renderIndexPage(summary)).toContain("<strong>a&#38;b.csv</strong>");
  });
});

it("ticks are round", () => {
  expect([tickMs(100), tickMs(3000), tickMs(34_000)]).toEqual([10, 500, 5000]);
});
