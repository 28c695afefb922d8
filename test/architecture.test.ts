// Who may import whom, what is banned where, and how long a file may be. The tables are the rules; ARCHITECTURE.md explains them.
// Every rule is first shown to fail on a small tree that breaks it: a rule that cannot fail protects nothing.
import { describe, expect, it } from "vitest";
import { publicEntryPoints, readSourceTree, resolveImport, scanSource, type SourceFile, type SourceTree } from "./support/source-tree.js";

const linesMax = 500;

/** What the files of a room may import besides their own room. `types` are allowed as `import type` only. */
interface Room {
  readonly values: readonly string[];
  readonly types?: readonly string[];
}

const rooms: Readonly<Record<string, Room>> = {
  // Files directly under src except errors.ts are composition roots: they choose what to expose.
  root: {
    values: [
      "errors",
      "platform",
      "core",
      "codec",
      "backend",
      "worker",
      "api",
      "backends/memory",
      "backends/sqlite",
      "backends/postgres",
      "backends/mysql",
      "testing",
    ],
  },
  errors: { values: [], types: ["core"] },
  platform: { values: [] },
  core: { values: ["errors"], types: ["api"] },
  codec: { values: ["errors"] },
  backend: { values: ["errors"], types: ["core", "platform"] },
  worker: { values: ["core", "backend", "codec", "platform", "errors"], types: ["api"] },
  api: { values: ["core", "worker", "codec", "platform", "errors"], types: ["backend"] },
  "backends/memory": { values: ["backend", "errors", "platform"] },
  "backends/sql": { values: ["backend", "errors", "platform"] },
  "backends/sqlite": { values: ["backends/sql", "backend", "errors", "platform"] },
  "backends/postgres": { values: ["backends/sql", "backend", "errors", "platform"] },
  "backends/mysql": { values: ["backends/sql", "backend", "errors", "platform"] },
  testing: {
    values: [
      "root",
      "errors",
      "platform",
      "core",
      "codec",
      "backend",
      "worker",
      "api",
      "backends/memory",
      "backends/sql",
      "backends/sqlite",
      "backends/postgres",
      "backends/mysql",
    ],
  },
};

/** Time, randomness and the process belong to src/platform; every other room is handed them. */
const ambient: Readonly<Record<string, RegExp>> = {
  "Date.now": /\bDate\s*\.\s*now\b/,
  "new Date()": /\bnew\s+Date\s*(?!\s*\(\s*[^)\s])/,
  "Date()": /(?<!new\s+|[.\w$])Date\s*\(/,
  "Math.random": /\bMath\s*\.\s*random\b/,
  performance: /(?<![.\w$])performance\s*\./,
  timers: /(?<![.\w$])(?:setTimeout|setInterval|setImmediate)\b(?!\s*\??:)/,
  // By member, because the simulator has processes of its own and calls them so.
  process:
    /(?<![.\w$])process\s*\.\s*(?:abort|argv|cpuUsage|cwd|emit|emitWarning|env|exec\w+|exit\w*|getBuiltinModule|hrtime|memoryUsage|nextTick|off|on|once|pid|platform|stderr|stdin|stdout|uptime|versions?)\b|\}\s*=\s*process\b/,
  console: /(?<![.\w$])console\s*\.\s*\w/,
  randomness: /(?<![\w$])crypto\s*\.\s*(?:randomUUID|getRandomValues)\b/,
};

/** Packages and built-in modules a room may import, and ambient names it may touch, each with the reason. Platform may import any `node:` module. */
interface Exception {
  readonly under: string;
  readonly allow: readonly string[];
  readonly because: string;
}

const exceptions: readonly Exception[] = [
  {
    under: "backends/sqlite/",
    allow: ["node:fs", "node:path"],
    because: "a database is a file whose folder is created and whose problems are explained",
  },
  {
    under: "backends/sqlite/",
    allow: ["node:sqlite", "bun:sqlite", "better-sqlite3", "libsql"],
    because: "drivers, one of which is loaded",
  },
  { under: "backends/sqlite/", allow: ["node:module"], because: "synchronous loading of whichever driver exists (createRequire)" },
  {
    under: "backends/sqlite/",
    allow: ["node:worker_threads"],
    because: "a disk that is slow to confirm may be waited for in a thread",
  },
  { under: "backends/postgres/", allow: ["pg"], because: "the driver, loaded when a store is opened" },
  { under: "backends/mysql/", allow: ["mysql2"], because: "the driver, loaded when a store is opened" },
  { under: "backends/mysql/", allow: ["node:crypto"], because: "ids that are too long for an index are found by their digest" },
  { under: "backends/postgres/", allow: ["node:crypto"], because: "ids that are too long for an index are found by their digest" },
  {
    under: "codec/",
    allow: ["node:zlib", "node:crypto"],
    because: "compression and encryption; an initialisation vector must not be predictable",
  },
  { under: "codec/", allow: ["node:buffer"], because: "pure functions on bytes" },
  { under: "testing/conformance/", allow: ["node:assert/strict"], because: "failures that every test runner knows how to print" },
  {
    under: "testing/crash-everywhere.ts",
    allow: ["node:assert", "node:util"],
    because: "a comparison of results, and a failure that every test runner knows how to print",
  },
  {
    under: "testing/sim/virtual-runtime.ts",
    allow: ["process"],
    because: "a Runtime of its own: virtual time, but the real end of the microtask queue",
  },
];

/** Files that no export reaches: one is started by its URL, the other is the repository's own and not published. */
const startedFiles = ["backends/sqlite/store-thread.ts", "testing/sim/index.ts"];

const allows = (file: SourceFile, name: string, list: readonly Exception[]) =>
  list.some((exception) => file.path.startsWith(exception.under) && exception.allow.includes(name));

function roomOf(path: string): string {
  const parts = path.split("/");
  if (parts.length === 1) return path === "errors.ts" ? "errors" : "root";
  return parts[0] === "backends" && parts.length > 2 ? `backends/${parts[1]}` : (parts[0] ?? "");
}

const scans = new WeakMap<SourceTree, ReadonlyMap<string, SourceFile>>();

function filesOf(tree: SourceTree): ReadonlyMap<string, SourceFile> {
  const files = scans.get(tree) ?? new Map([...tree].map(([path, text]) => [path, scanSource(path, text)]));
  scans.set(tree, files);
  return files;
}

const scan = (tree: SourceTree) => [...filesOf(tree).values()];

function brokenImports(tree: SourceTree, list = exceptions): string[] {
  return scan(tree).flatMap((file) => {
    const room = roomOf(file.path);
    const rule = rooms[room];
    if (rule === undefined) return [`${file.path}: no room named "${room}" in the table`];
    return file.imports.flatMap(({ specifier, typeOnly }) => {
      const target = resolveImport(file.path, specifier);
      if (target === undefined) {
        const allowed = allows(file, specifier, list) || (room === "platform" && specifier.startsWith("node:"));
        return allowed ? [] : [`${file.path}: imports package "${specifier}"`];
      }
      if (!tree.has(target)) return [`${file.path}: imports ${specifier}, which is not a file`];
      const other = roomOf(target);
      if (other === room || rule.values.includes(other) || (typeOnly && rule.types?.includes(other) === true)) return [];
      return [`${file.path}: ${room} may not import ${typeOnly ? "types" : "values"} of ${other} (${specifier})`];
    });
  });
}

function ambientUses(tree: SourceTree, list = exceptions): string[] {
  return scan(tree)
    .filter((file) => roomOf(file.path) !== "platform")
    .flatMap((file) =>
      Object.entries(ambient).flatMap(([name, pattern]) =>
        pattern.test(file.code) && !allows(file, name, list) ? [`${file.path}: uses ${name}`] : [],
      ),
    );
}

/** Paths of files reachable by imports, type-only ones included if `withTypes`. */
function reachable(tree: SourceTree, from: readonly string[], withTypes: boolean): Set<string> {
  const seen = new Set<string>();
  const open = [...from];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const file = filesOf(tree).get(path);
    if (seen.has(path) || file === undefined) continue;
    seen.add(path);
    for (const { specifier, typeOnly } of file.imports) {
      const target = resolveImport(path, specifier);
      if (target !== undefined && (withTypes || !typeOnly)) open.push(target);
    }
  }
  return seen;
}

/** Files that reach themselves through value imports. */
function cyclicFiles(tree: SourceTree): string[] {
  return scan(tree).flatMap((file) => {
    const targets = file.imports.flatMap(({ specifier, typeOnly }) => (typeOnly ? [] : [resolveImport(file.path, specifier) ?? ""]));
    return reachable(tree, targets, false).has(file.path) ? [file.path] : [];
  });
}

function unreachableFiles(tree: SourceTree, entryPoints: readonly string[]): string[] {
  const seen = reachable(tree, entryPoints, true);
  const missing = entryPoints.filter((path) => !tree.has(path)).map((path) => `${path}: exported by package.json, does not exist`);
  return [...missing, ...[...tree.keys()].filter((path) => !seen.has(path)).map((path) => `${path}: reached by no export`)];
}

const longFiles = (tree: SourceTree) =>
  scan(tree).flatMap(({ path, lines }) => (lines > linesMax ? [`${path}: ${lines} lines, ${linesMax} allowed`] : []));

const treeOf = (files: Readonly<Record<string, string>>): SourceTree => new Map(Object.entries(files));

describe("each rule can fail", () => {
  it("imports", () => {
    const tree = treeOf({
      "core/turn.ts":
        'import { a } from "../errors.js";\nimport type { W } from "../api/define.js";\nimport { x } from "../worker/worker.js";\nimport "node:fs";',
      "core/typed.ts": 'import { W } from "../api/define.js";\nexport * from "./gone.js";\nconst p = import("zod");',
      "worker/worker.ts": 'export { m } from "../backends/memory/index.js";\nimport type * as core from "../core/turn.js";',
      "backends/memory/index.ts": 'import { a } from "../sqlite/index.js";',
      "backends/sqlite/index.ts": 'import { readFileSync } from "node:fs";\nimport net from "node:net";',
      "platform/clock.ts": 'import { hrtime } from "node:process";\nimport { a } from "../errors.js";',
      "api/define.ts": "// import { x } from 'commented'\nconst text = \"import 'quoted'\";",
      "errors.ts": "export const a = /[\"']/;\nexport const b = `import ${`\"${a}\"`} 'x'`;\nimport { c } from 'left-pad';",
      "attic/old.ts": "",
    });
    expect(brokenImports(tree)).toEqual([
      "core/turn.ts: core may not import values of worker (../worker/worker.js)",
      'core/turn.ts: imports package "node:fs"',
      "core/typed.ts: core may not import values of api (../api/define.js)",
      "core/typed.ts: imports ./gone.js, which is not a file",
      'core/typed.ts: imports package "zod"',
      "worker/worker.ts: worker may not import values of backends/memory (../backends/memory/index.js)",
      "backends/memory/index.ts: backends/memory may not import values of backends/sqlite (../sqlite/index.js)",
      'backends/sqlite/index.ts: imports package "node:net"',
      "platform/clock.ts: platform may not import values of errors (../errors.js)",
      'errors.ts: imports package "left-pad"',
      'attic/old.ts: no room named "attic" in the table',
    ]);
  });

  it.each([
    ["Date.now", "const t = Date.now();"],
    ["Date.now", "const clock = { now: Date.now };"],
    ["new Date()", "const t = new Date();"],
    ["new Date()", "const t = new Date;"],
    ["Date()", "const t = Date();"],
    ["Math.random", "const r = `${Math.random()}`;"],
    ["performance", "performance.now();"],
    ["timers", "setTimeout(() => {}, 5);"],
    ["timers", "const { later = setImmediate } = options;"],
    ["process", 'process.on("exit", stop);'],
    ["process", "const { env } = process;"],
    ["console", "console.error(error);"],
    ["randomness", "const id = crypto.randomUUID();"],
  ])("ambient %s: %s", (name, line) => {
    expect(ambientUses(treeOf({ "worker/lease.ts": line, "platform/clock.ts": line }))).toEqual([`worker/lease.ts: uses ${name}`]);
    const exempt = [{ under: "worker/", allow: [name], because: "shown here" }];
    expect(ambientUses(treeOf({ "worker/lease.ts": line }), exempt)).toEqual([]);
  });

  it.each([
    ["a date of a number", "const d = new Date(ms);"],
    ["a method of that name", "this.clock.setTimeout(f, 5); run.process(); log.console(x);"],
    ["a property of that name", "const hooks = { setTimeout: hook };"],
    ["a process of one's own", "function stop(process: VirtualProcess) { process.crash(); }"],
    ["a comment", "// Date.now()\n/* console.log */"],
    ["a string", "throw new Error(\"Date.now() is banned\", 'process.env', `Math.random()`);"],
    ["a regular expression", 'const pattern = /Date.now|[/"]console.log/;'],
  ])("ambient, harmless: %s", (_, line) => {
    expect(ambientUses(treeOf({ "worker/lease.ts": line }))).toEqual([]);
  });

  it("cycles, of values only", () => {
    const tree = treeOf({
      "core/a.ts": 'import { b } from "./b.js";',
      "core/b.ts": 'export { c } from "./c.js";',
      "core/c.ts": 'import {\n  a,\n  type A,\n} from "./a.js";',
      "core/leaf.ts": 'import { a } from "./a.js";',
      "core/d.ts": 'import type { e } from "./e.js";',
      "core/e.ts": 'import { d } from "./d.js";',
    });
    expect(cyclicFiles(tree)).toEqual(["core/a.ts", "core/b.ts", "core/c.ts"]);
  });

  it("reachability", () => {
    const tree = treeOf({ "index.ts": 'export type { A } from "./core/a.js";', "core/a.ts": "", "core/lost.ts": 'import "./a.js";' });
    expect(unreachableFiles(tree, ["index.ts", "testing/index.ts"])).toEqual([
      "testing/index.ts: exported by package.json, does not exist",
      "core/lost.ts: reached by no export",
    ]);
  });

  it("length", () => {
    expect(longFiles(treeOf({ "core/a.ts": "x\n".repeat(linesMax), "core/b.ts": "x\n".repeat(linesMax + 1) }))).toEqual([
      "core/b.ts: 501 lines, 500 allowed",
    ]);
  });
});

describe("the sources", () => {
  const tree = readSourceTree();

  it("are read", () => {
    expect(tree.has("errors.ts")).toBe(true);
    expect(publicEntryPoints()).toContain("index.ts");
  });
  it("import only what their room may", () => expect(brokenImports(tree)).toEqual([]));
  it("leave time, randomness and the process to the platform", () => expect(ambientUses(tree)).toEqual([]));
  it("have no import cycle", () => expect(cyclicFiles(tree)).toEqual([]));
  it("are all reached from the package's exports", () => {
    expect(unreachableFiles(tree, [...publicEntryPoints(), ...startedFiles])).toEqual([]);
  });
  it("stay short", () => expect(longFiles(tree)).toEqual([]));
});
