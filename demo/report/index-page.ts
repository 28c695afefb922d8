// The page that links everything: proof, overview, and each run with its timeline.
import { figure } from "../data/check-file.js";
import { verdictText } from "./file-page.js";
import { findingsText, type FinishedRun, type Summary } from "./summary.js";
import { escapeXml as escape } from "./svg.js";
import { bytesText, secondsText } from "./markdown.js";

const style = `
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;text-align:left;border-bottom:1px solid #8884;vertical-align:top}
td.n{text-align:right;white-space:nowrap}img{max-width:100%}summary{cursor:pointer;padding:.3rem 0}summary span{opacity:.7}
.bad{color:#cf222e}.good{color:#1a7f37}
.key{display:inline-block;width:.9em;height:.9em;border-radius:2px;margin:0 .3em 0 1em;vertical-align:-.1em}`;

export function renderIndexPage(summary: Summary): string {
  const { proof, runs, version, seed, elapsedMs } = summary;
  const sorted = runs.toSorted((a, b) => a.createdAt - b.createdAt);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>perdure demo</title><style>${style}</style></head>
<body>
<h1>Data quality of vega-datasets ${escape(version)}</h1>
<p>${runs.length} files, one durable workflow each, finished in ${secondsText(elapsedMs)} while worker processes were killed ${proof.takeovers.length} times (seed ${seed}).
The findings are in <a href="report.md">report.md</a>.</p>
<h2>Proof: <span class="${proof.holds ? "good" : "bad"}">${proof.holds ? "holds" : "does not hold"}</span></h2>
<table>
${proof.claims.map(({ claim, holds, detail }) => `<tr><td class="${holds ? "good" : "bad"}">${holds ? "✓" : "✗"}</td><td>${escape(claim)}</td><td>${escape(detail)}</td></tr>`).join("\n")}
</table>
<h2>All runs</h2>
<p>Each colour is one worker process.<span class="key" style="background:#cf222e"></span>cut short by a kill<span class="key" style="background:#d4a72c"></span>waits for a message<span class="key" style="background:#afb8c1"></span>sleeps</p>
<p><a href="timelines/overview.svg"><img src="timelines/overview.svg" alt="All runs over time"></a></p>
<h2>Each run</h2>
${sorted.map(runSection).join("\n")}
</body>
</html>
`;
}

function runSection({ id, result, createdAt, endedAt }: FinishedRun): string {
  const timeline = `timelines/${encodeURIComponent(id)}.svg`;
  const facts = [
    verdictText[result.verdict],
    result.format,
    bytesText(result.bytes),
    `${figure(result.rows)} rows`,
    `findings: ${findingsText(result)}`,
    secondsText(endedAt - createdAt),
  ];
  return `<details><summary><strong>${escape(result.file)}</strong> <span>${escape(facts.join(" · "))}</span></summary>
<p><a href="files/${encodeURIComponent(result.file)}.md">findings and columns</a></p>
<a href="${timeline}"><img loading="lazy" src="${timeline}" alt="Timeline of ${escape(result.file)}"></a></details>`;
}
