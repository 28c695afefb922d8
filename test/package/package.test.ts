import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "perdure-package-"));
const clean = { ...process.env, NODE_OPTIONS: "", NODE_ENV: "" };
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}
let packed: Packed;

/** As a new user has it: an empty folder, the published archive, and what the README says. */
beforeAll(async () => {
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { env: clean });
  packed = (JSON.parse(stdout) as Packed[])[0] as Packed;
  writeFileSync(join(folder, "package.json"), "{}");
  await run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", `./${packed.filename}`], { cwd: folder, env: clean });
}, 120_000);

const hello = (): string => {
  const code = /```js\n([\s\S]*?)```/.exec(readFileSync("README.md", "utf8"))?.[1];
  if (code === undefined) throw new Error("the README has no program");
  return code;
};

describe("the package", () => {
  it("runs the README's program in an empty folder as the README says, and again", { timeout: 60_000 }, async () => {
    const code = hello();
    const printed = /\/\* Output:\n([\s\S]*?)\*\//.exec(code)?.[1];
    writeFileSync(join(folder, "hello.mjs"), code);
    const start = () => run("node", ["hello.mjs"], { cwd: folder, env: clean });
    expect((await start()).stdout).toBe(printed);
    const again = await start();
    expect(again.stdout).toBe("shipped\n");
    expect(again.stderr).toBe("");
  });

  it("holds what is needed and nothing else", () => {
    const strange = packed.files
      .map(({ path }) => path)
      .filter((path) => !/^(dist\/.*\.(js|d\.ts)|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/.test(path));
    expect(strange).toEqual([]);
    expect(packed.files.map(({ path }) => path).filter((path) => path.includes("/sim/") || path.includes(".test."))).toEqual([]);
  });

  it("stays small, and depends on nothing but an optional driver", () => {
    // What everybody loads: without the stores' own code and what is for tests.
    const core = packed.files.filter(({ path }) => !/^dist\/(backends|testing)\//.test(path));
    const bytes = gzipSync(core.map(({ path }) => readFileSync(path, "utf8")).join("\n")).length;
    expect(bytes).toBeLessThan(150_000);
    expect(packed.size).toBeLessThan(450_000);
    const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
      dependencies?: object;
      optionalDependencies: object;
      scripts: Record<string, string>;
    };
    expect(Object.keys(manifest.dependencies ?? {})).toEqual([]);
    expect(Object.keys(manifest.optionalDependencies)).toEqual(["libsql"]);
    expect(Object.keys(manifest.scripts).filter((name) => /^(pre|post)?install$/.test(name))).toEqual([]);
  });
});
