import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

/** Sources by path relative to `src`, with forward slashes. */
export type SourceTree = ReadonlyMap<string, string>;

export interface Import {
  readonly specifier: string;
  /** Erased by the compiler: `import type`, `export type … from`, `typeof import()`. */
  readonly typeOnly: boolean;
}

export interface SourceFile {
  readonly path: string;
  readonly lines: number;
  /** The text with comments and the contents of strings, templates and regular expressions replaced by spaces. */
  readonly code: string;
  readonly imports: readonly Import[];
}

export const repositoryRoot = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Every TypeScript file below `src`, without tests. */
export function readSourceTree(): SourceTree {
  const folder = join(repositoryRoot, "src");
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  const sources = names.map((name) => name.replaceAll("\\", "/")).filter((name) => name.endsWith(".ts") && !/\.test(-d)?\.ts$/.test(name));
  return new Map(sources.toSorted().map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

/** Paths below `src` that package.json makes public. */
export function publicEntryPoints(): readonly string[] {
  const manifest = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as {
    readonly exports: Readonly<Record<string, unknown>>;
  };
  return Object.values(manifest.exports).flatMap((target) => {
    const file = typeof target === "object" && target !== null && "default" in target ? String(target.default) : "";
    return file.startsWith("./dist/") ? [file.replace("./dist/", "").replace(/\.js$/, ".ts")] : [];
  });
}

const regexMayFollow = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|throw|await|yield|void))$/;

/**
 * Blanks whatever is not code. A scanner of four token kinds instead of a parser, because the compiler in use has no JavaScript API; it is exact for code
 * that the formatter accepts, and the tests of the rules below hold it to that.
 */
export function blankNonCode(text: string): string {
  const blank = (part: string) => part.replaceAll(/[^\n]/g, " ");
  let code = "";
  let at = 0;
  /** For every open `${`, how many braces are open inside it. */
  const templates: number[] = [];
  while (at < text.length) {
    const rest = text.slice(at);
    const char = text.charAt(at);
    const last = templates.length - 1;
    let token: string | undefined;
    if (char === "/") {
      token = /^(?:\/\/[^\n]*|\/\*[^]*?\*\/)/.exec(rest)?.[0];
      if (token !== undefined) {
        code += blank(token);
        at += token.length;
        continue;
      }
      if (regexMayFollow.test(code.trimEnd())) token = /^\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/.exec(rest)?.[0];
    } else if (char === '"' || char === "'") {
      token = /^(["'])(?:(?!\1)[^\\\n]|\\[^])*\1/.exec(rest)?.[0];
    } else if (char === "`" || (char === "}" && templates[last] === 0)) {
      if (char === "}") templates.pop();
      token = /^[`}](?:[^`\\$]|\\[^]|\$(?!\{))*(?:`|\$\{)/.exec(rest)?.[0];
      if (token?.endsWith("${") === true) templates.push(0);
    } else if (last >= 0 && (char === "{" || char === "}")) {
      templates[last] = (templates[last] ?? 0) + (char === "{" ? 1 : -1);
    }
    if (token === undefined) {
      code += char;
      at += 1;
    } else {
      code += token.charAt(0) + blank(token.slice(1, -1)) + token.slice(-1);
      at += token.length;
    }
  }
  return code;
}

const importPattern =
  /(?<![.\w$])(?:(?:import|export)\b(?<clause>[\w\s{},*$]*?\bfrom)?\s*|(?<before>typeof\s+)?import\(\s*)(?=["'](?<blank> +)["'])/dg;

export function scanSource(path: string, text: string): SourceFile {
  const code = blankNonCode(text);
  const imports: Import[] = [];
  for (const match of code.matchAll(importPattern)) {
    const [start, end] = match.indices?.groups?.["blank"] ?? [0, 0];
    const typeOnly = /^\s*type\s/.test(match.groups?.["clause"] ?? "") || match.groups?.["before"] !== undefined;
    imports.push({ specifier: text.slice(start, end), typeOnly });
  }
  return { path, lines: text.trimEnd().split("\n").length, code, imports };
}

/** The path below `src` of a relative import, undefined for packages. */
export function resolveImport(from: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? posix.join(posix.dirname(from), specifier).replace(/\.js$/, ".ts") : undefined;
}
