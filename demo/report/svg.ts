// Draws a timeline. Plain SVG with its own styles, light or dark as the reader's system is; every span tells its story to whoever points at it.
import type { Link, Mark, Row, Span, Timeline } from "./timeline.js";

// No red, which is for what was killed, and no yellow, which is for waiting.
const hues = [212, 152, 262, 184, 300, 100, 232, 130, 285, 196];
const layout = { width: 1000, labels: 190, right: 24, top: 46, row: 20, bar: 12, axis: 26 } as const;

const style = `
.ink{fill:#1f2328}.soft{fill:#59636e}.paper{fill:#ffffff}.rule{stroke:#d1d9e0}.wait{fill:#d4a72c}.sleep{fill:#afb8c1}.asked{fill:#afb8c1}.cut{fill:#cf222e}.kill{stroke:#cf222e}.killed{fill:#cf222e}.link{stroke:#cf222e}
@media (prefers-color-scheme: dark){.ink{fill:#e6edf3}.soft{fill:#9198a1}.paper{fill:#0d1117}.rule{stroke:#3d444d}.wait{fill:#bb8009}.sleep{fill:#656c76}.asked{fill:#656c76}.cut{fill:#f85149}.kill{stroke:#f85149}.killed{fill:#f85149}.link{stroke:#f85149}}
text{font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}`;

export const escapeXml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0) ?? 0};`).replaceAll(/\p{Cc}/gu, " ");

export function drawTimeline(timeline: Timeline): string {
  const { rows, title, from } = timeline;
  const until = Math.max(timeline.until, from + 1);
  const x = (at: number): number =>
    layout.labels + ((Math.min(Math.max(at, from), until) - from) / (until - from)) * (layout.width - layout.labels - layout.right);
  const y = (row: number): number => layout.top + row * layout.row;
  const bottom = y(rows.length);
  const height = bottom + layout.axis;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${layout.width} ${height}" width="${layout.width}" height="${height}" role="img" aria-label="${escapeXml(title)}">`,
    `<style>${style}</style>`,
    `<rect class="paper" width="${layout.width}" height="${height}"/>`,
    `<text class="ink title" x="12" y="22">${escapeXml(title)}</text>`,
    ...axis(from, until, x, bottom),
    ...timeline.kills.map((kill) => drawKill(kill, x, bottom)),
    ...rows.flatMap((row, index) => drawRow(row, x, y(index))),
    ...timeline.links.map((link) => drawLink(link, x, y)),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

type Scale = (value: number) => number;

function axis(from: number, until: number, x: Scale, bottom: number): readonly string[] {
  const step = tickMs(until - from);
  const ticks = Array.from({ length: Math.floor((until - from) / step) + 1 }, (_, index) => index * step);
  return ticks.map((tick) => {
    const at = round(x(from + tick));
    return `<line class="rule" x1="${at}" x2="${at}" y1="${layout.top - 6}" y2="${bottom}"/><text class="soft" x="${at}" y="${bottom + 17}" text-anchor="middle">${tick / 1000} s</text>`;
  });
}

/** A round step that gives about ten ticks. */
export function tickMs(span: number): number {
  const rough = span / 10;
  const base = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  return [1, 2, 5, 10].map((factor) => factor * base).find((step) => step >= rough) ?? base * 10;
}

function drawRow(row: Row, x: Scale, top: number): readonly string[] {
  const middle = top + layout.row / 2;
  const label =
    row.label === ""
      ? []
      : [
          `<text class="soft" x="12" y="${middle + 4}">${escapeXml(row.label.length > 26 ? `${row.label.slice(0, 25)}…` : row.label)}</text>`,
        ];
  return [...label, ...row.spans.map((span) => drawSpan(span, x, middle - layout.bar / 2))];
}

function drawSpan(span: Span, x: Scale, top: number): string {
  const left = x(span.from);
  const width = Math.max(x(span.until) - left, 2);
  const look = span.look === "body" ? `fill="hsl(${hues[(span.process ?? 0) % hues.length] ?? 0} 60% 52%)"` : `class="${span.look}"`;
  const [y, height] = span.look === "asked" ? [top + layout.bar / 2 - 1, 2] : [top, layout.bar];
  return `<rect ${look} x="${round(left)}" y="${y}" width="${round(width)}" height="${height}" rx="${span.look === "asked" ? 1 : 2}"><title>${escapeXml(span.title)}</title></rect>`;
}

function drawKill({ at, label }: Mark, x: Scale, bottom: number): string {
  const place = round(x(at));
  const text = `<text class="killed" x="${place}" y="${layout.top - 9}" text-anchor="middle">✕<title>${escapeXml(label)}</title></text>`;
  return `<line class="kill" x1="${place}" x2="${place}" y1="${layout.top - 6}" y2="${bottom}" stroke-dasharray="3 3"><title>${escapeXml(label)}</title></line>${text}`;
}

/** An arrow along the row, from where the work was cut off to where it went on. */
function drawLink(link: Link, x: Scale, y: Scale): string {
  const [from, until, middle] = [x(link.from), x(link.until), y(link.row) + layout.row / 2].map(round) as [number, number, number];
  const head = `M${until - 5} ${middle - 3}L${until} ${middle}L${until - 5} ${middle + 3}`;
  return `<path class="link" d="M${from} ${middle}L${until} ${middle}${head}" fill="none" stroke-width="1.5"><title>${escapeXml(link.label)}</title></path>`;
}

const round = (value: number): number => Math.round(value * 10) / 10;
