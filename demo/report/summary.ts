// The report of the whole demo: what was found in the files, and what became of the runs while their workers were killed.
import type { HistoryEvent } from "perdure";
import type { Proof } from "../proof/prove.js";
import type { FileResult, Verdict } from "../run/pipeline.js";
import { figure } from "../data/check-file.js";
import { findingLines } from "./findings.js";
import { verdictText } from "./file-page.js";
import { bytesText, cell, plain, secondsText, table } from "./markdown.js";

/** A run with what it came to. */
export interface FinishedRun {
  readonly id: string;
  readonly result: FileResult;
  readonly createdAt: number;
  readonly endedAt: number;
  readonly history: readonly HistoryEvent[];
}

export interface Summary {
  readonly version: string;
  readonly seed: number;
  readonly elapsedMs: number;
  readonly runs: readonly FinishedRun[];
  readonly proof: Proof;
}

const order: readonly Verdict[] = ["expired", "rejected", "approved", "clean"];

export function renderSummary(summary: Summary): string {
  const runs = summary.runs.toSorted(
    (a, b) => order.indexOf(a.result.verdict) - order.indexOf(b.result.verdict) || a.id.localeCompare(b.id),
  );
  const attention = runs.filter(({ result }) => result.verdict !== "clean");
  const sections = [
    "# Data quality of vega-datasets",
    overview(summary),
    "[Timelines of all runs](index.html) open in a browser.",
    `## What needed a person (${attention.length})`,
    ...(attention.length === 0 ? ["Nothing."] : attention.map(attentionSection)),
    `## All files (${runs.length})`,
    filesTable(runs),
    "## What was killed, and what became of it",
    killsTable(summary.proof),
    "## The proof",
    "From a log that the step and activity bodies keep outside the database, compared with what the database says through the public API.",
    proofTable(summary.proof),
  ];
  return `${sections.join("\n\n")}\n`;
}

function overview({ version, seed, elapsedMs, runs, proof }: Summary): string {
  const total = (of: (result: FileResult) => number): number => runs.reduce((sum, { result }) => sum + of(result), 0);
  const errors = total(({ findings }) => findings.filter(({ severity }) => severity === "error").length);
  const warnings = total(({ findings }) => findings.length) - errors;
  const verdicts = order.flatMap((verdict) => {
    const count = runs.filter(({ result }) => result.verdict === verdict).length;
    return count === 0 ? [] : [`${count} ${verdictText[verdict]}`];
  });
  return [
    `- **${runs.length} files** of vega-datasets ${version}: ${bytesText(total(({ bytes }) => bytes))}, ${figure(total(({ rows }) => rows))} rows, ${figure(total(({ profiles }) => profiles.length))} columns, in ${secondsText(elapsedMs)}`,
    `- **Verdicts:** ${verdicts.join(", ")}`,
    `- **Findings:** ${errors} errors, ${warnings} warnings`,
    `- **Workers:** two processes, killed ${proof.takeovers.length} times with SIGKILL (seed ${seed})`,
    `- **Proof:** ${proof.holds ? "holds" : "**does not hold**"} (${proof.claims.filter(({ holds }) => holds).length} of ${proof.claims.length} claims)`,
  ].join("\n");
}

function attentionSection({ id, result }: FinishedRun): string {
  const { file, verdict, waitedMs, findings } = result;
  const waited = waitedMs === undefined ? "" : ` after ${secondsText(waitedMs)}`;
  const heading = `### ${plain(file)}: ${verdict}${waited}`;
  const lines = findingLines(findings.filter(({ severity }) => severity === "error")).map((line) => `- ${line}`);
  const warnings = findings.filter(({ severity }) => severity === "warning").length;
  const links = `[details](files/${encodeURIComponent(file)}.md) · [timeline](timelines/${encodeURIComponent(id)}.svg)${warnings === 0 ? "" : ` · ${counted(warnings, "warning")} besides`}`;
  return [heading, [...lines].join("\n"), links].join("\n\n");
}

function filesTable(runs: readonly FinishedRun[]): string {
  const rows = runs.map(({ id, result, createdAt, endedAt, history }) => [
    `[${plain(result.file)}](files/${encodeURIComponent(result.file)}.md)`,
    cell(result.format),
    bytesText(result.bytes),
    figure(result.rows),
    String(result.profiles.length),
    findingsText(result),
    result.verdict,
    `[${secondsText(endedAt - createdAt)}](timelines/${encodeURIComponent(id)}.svg)`,
    String(history.length),
  ]);
  return table(["file", "format", "size", "rows", "columns", "findings", "verdict", "took", "history"], rows, [2, 3, 4, 7, 8]);
}

const counted = (number: number, word: string): string => `${number} ${word}${number === 1 ? "" : "s"}`;

export function findingsText({ findings }: FileResult): string {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  const some = [errors > 0 ? counted(errors, "error") : "", warnings > 0 ? counted(warnings, "warning") : ""];
  return some.filter((text) => text !== "").join(", ") || "none";
}

function killsTable({ takeovers, bodies, executions, reruns }: Proof): string {
  const first = takeovers[0]?.kill.at ?? 0;
  const rows = takeovers.map(({ kill, cutShort, firstMs, lastMs }, index) => [
    String(index + 1),
    index === 0 ? "0.0 s" : `+${secondsText(kill.at - first)}`,
    String(kill.pid),
    String(cutShort),
    firstMs === undefined ? "–" : `${firstMs} ms`,
    lastMs === undefined ? "–" : `${lastMs} ms`,
    `${kill.replacedAt - kill.at} ms`,
  ]);
  const twice = new Set(reruns.map(({ again }) => again.key)).size;
  return [
    table(
      ["kill", "when", "process", "bodies cut short", "first of them goes on elsewhere", "all of them", "process replaced"],
      rows,
      [0, 1, 2, 3, 4, 5, 6],
    ),
    `${figure(bodies)} step and activity bodies ran ${figure(executions.length)} times: ${twice} of them more than once, all others exactly once.`,
  ].join("\n\n");
}

export function proofTable({ claims }: Proof): string {
  return table(
    ["", "claim", "evidence"],
    claims.map(({ claim, holds, detail }) => [holds ? "✓" : "✗", plain(claim), plain(detail)]),
  );
}
