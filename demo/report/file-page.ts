// The report of one file, written by its run's last step.
import { figure, share } from "../data/check-file.js";
import type { ColumnProfile } from "../data/profile-column.js";
import type { FileResult, Verdict } from "../run/pipeline.js";
import { findingLines } from "./findings.js";
import { bytesText, cell, plain, secondsText, table } from "./markdown.js";

export const verdictText: Readonly<Record<Verdict, string>> = {
  clean: "passed all checks",
  approved: "let pass by a person",
  rejected: "rejected by a person",
  expired: "failed a check, and nobody answered in time",
};

export function renderFilePage(result: Omit<FileResult, "executions">, version: string): string {
  const { file, format, bytes, rows, facts, findings, profiles, verdict, reviewer, waitedMs } = result;
  const waited = waitedMs === undefined ? "" : `, after ${secondsText(waitedMs)}`;
  const verdictLine = `${verdictText[verdict]}${reviewer === undefined ? "" : ` (${reviewer})`}${waited}`;
  const lines = findingLines(findings);
  const sections = [
    `# ${plain(file)}`,
    [
      `- Verdict: **${verdictLine}**`,
      `- ${[format, bytesText(bytes), `${figure(rows)} rows`, `${profiles.length} columns`].join(", ")}`,
      ...facts.map((fact) => `- ${plain(fact)}`),
      `- From vega-datasets ${version}`,
    ].join("\n"),
    "## Findings",
    lines.length === 0 ? "Nothing to complain about." : lines.map((line) => `- ${line}`).join("\n"),
    ...(profiles.length === 0 ? [] : ["## Columns", columnTable(profiles)]),
  ];
  return `${sections.join("\n\n")}\n`;
}

function columnTable(profiles: readonly ColumnProfile[]): string {
  const rows = profiles.map((profile) => [
    plain(profile.name),
    profile.type,
    share(profile.missing, profile.count),
    figure(profile.distinct),
    rangeOf(profile),
    profile.common.map(({ value, count }) => `\`${cell(value.replaceAll("`", "'"))}\` × ${figure(count)}`).join(", "),
  ]);
  return table(["column", "type", "missing", "distinct", "min … median … max", "most frequent"], rows, [2, 3]);
}

function rangeOf({ numbers }: ColumnProfile): string {
  if (numbers === undefined) return "";
  const outliers = numbers.outliers === 0 ? "" : ` (${figure(numbers.outliers)} far out)`;
  return `${figure(numbers.min)} … ${figure(numbers.median)} … ${figure(numbers.max)}${outliers}`;
}
