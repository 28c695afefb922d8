// Small pieces of Markdown.

/** Text that means itself, also inside a table cell. */
export const plain = (text: string): string => text.replaceAll(/[\\`*_{}[\]<>|#]/g, String.raw`\$&`).replaceAll(/\s+/g, " ");

/** Keeps the `code` marks that messages use, and makes them safe inside a table cell. */
export const cell = (text: string): string =>
  text
    .replaceAll("|", String.raw`\|`)
    .replaceAll(/\s+/g, " ")
    .trim();

export function table(header: readonly string[], rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const rule = header.map((_, index) => (right.includes(index) ? "---:" : "---"));
  return [header, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export const secondsText = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
