import type { Finding } from "../data/check-file.js";
import { cell, plain } from "./markdown.js";

const namedMax = 3;

/** A finding that many columns share is one line, not one for each. */
export function findingLines(findings: readonly Finding[]): readonly string[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = `${finding.severity} ${finding.check}`;
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  return [...groups.values()].flatMap((group) => (group.length > namedMax + 1 ? [mergedLine(group)] : group.map(line)));
}

const mark = (finding: Finding): string => (finding.severity === "error" ? "**error**" : "warning");

function line(finding: Finding): string {
  const subject = finding.column === undefined ? "" : `**${plain(finding.column)}** `;
  return `${mark(finding)}, ${finding.check}: ${subject}${cell(finding.message)}`;
}

function mergedLine(group: readonly Finding[]): string {
  const first = group[0] as Finding;
  const names = group.slice(0, namedMax).map(({ column }) => plain(column ?? ""));
  return `${mark(first)}, ${first.check}: in ${group.length} columns (${names.join(", ")}, …); ${names[0] ?? ""}: ${cell(first.message)}`;
}
