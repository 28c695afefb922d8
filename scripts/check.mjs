// Everything that can be said about the code without running its tests: one line per check, the output of those that fail.  npm run check
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, root } from "./build.mjs";

/** @typedef {{ name: string, ok: boolean, seconds: number, output: string }} Result */

/** @param {string} name @param {string} program a package's executable @param {readonly string[]} args @returns {Promise<Result>} */
function run(name, program, args) {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [executable(program), ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (/** @type {string} */ text) => (output += text));
    child.on("close", (code) => resolve({ name, ok: code === 0, seconds: (performance.now() - startedMs) / 1000, output }));
  });
}

/** @param {string} program `package` or `package#executable` */
function executable(program) {
  const [name = "", bin = name] = program.split("#");
  const folder = join(root, "node_modules", name);
  const manifest = /** @type {{ bin: string | Record<string, string> }} */ (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")));
  const file = typeof manifest.bin === "string" ? manifest.bin : manifest.bin[bin];
  if (file === undefined) throw new Error(`${name} has no executable ${bin}`);
  return join(folder, file);
}

/** @returns {Result} */
function buildAll() {
  const startedMs = performance.now();
  const results = /** @type {const} */ (["lib", "tools"]).map((target) => build(target));
  return {
    name: "build",
    ok: results.every(({ ok }) => ok),
    seconds: (performance.now() - startedMs) / 1000,
    output: results.map(({ output }) => output).join(""),
  };
}

/** @param {Result} result */
function report({ name, ok, seconds, output }) {
  process.stdout.write(`${ok ? "ok    " : "FAILED"} ${name.padEnd(13)} ${seconds.toFixed(1)} s\n`);
  if (!ok) process.stdout.write(`${output.trimEnd().replaceAll(/^/gm, "    ")}\n`);
}

/** Packs what npm would publish. @param {string} folder @returns {Result & { tarball: string }} */
function pack(folder) {
  const startedMs = performance.now();
  const npm = spawnSync("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], { cwd: root, encoding: "utf8" });
  const seconds = (performance.now() - startedMs) / 1000;
  const file = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  const ok = npm.status === 0 && file !== undefined;
  return { name: "pack", ok, seconds, output: `${npm.stdout}${npm.stderr}`, tarball: join(folder, file ?? "none.tgz") };
}

/** @typedef {Record<string, { version?: string, optional?: boolean }>} Packages by folder */

/** @param {string} file @returns {Packages} */
const packagesOf = (file) => /** @type {{ packages: Packages }} */ (JSON.parse(readFileSync(join(root, file), "utf8"))).packages;

/** Is what is installed what the lock file says? Else the other checks speak of something else than the code. @returns {Result} */
function compareInstalled() {
  const startedMs = performance.now();
  const installed = packagesOf(join("node_modules", ".package-lock.json"));
  // What is for other platforms is optional, and absent.
  const others = Object.entries(packagesOf("package-lock.json")).filter(
    ([folder, { version, optional }]) => folder !== "" && optional !== true && installed[folder]?.version !== version,
  );
  const names = others.map(([folder]) => folder.replace(/^.*node_modules\//, "")).join(", ");
  const seconds = (performance.now() - startedMs) / 1000;
  return { name: "installed", ok: others.length === 0, seconds, output: `Not as in package-lock.json: ${names}. Run: npm ci` };
}

const scratch = mkdtempSync(join(tmpdir(), "perdure-check-"));
const installed = compareInstalled();
report(installed);
const built = buildAll();
report(built);
const packed = pack(scratch);
report(packed);
const { tarball } = packed;
/** @type {Result[]} */
const results = [installed, built, packed];

const checks = [
  () => run("types", "typescript#tsc", ["-p", "tsconfig.json"]),
  () => run("lint", "oxlint", ["--type-aware", "--report-unused-disable-directives"]),
  () => run("format", "oxfmt", ["--check"]),
  () => run("unused code", "knip", ["--no-progress", "--no-config-hints"]),
  () => run("architecture", "vitest", ["run", "--typecheck.enabled=false", "test/architecture.test.ts"]),
  () => run("package", "publint", [tarball, "--strict"]),
  () => run("exports", "@arethetypeswrong/cli#attw", [tarball, "--profile", "esm-only", "--no-emoji", "--no-color"]),
];

// Two at a time: each of them uses more than one core in bursts.
await Promise.all(
  [0, 1].map(async () => {
    for (let check = checks.shift(); check !== undefined; check = checks.shift()) {
      const result = await check();
      results.push(result);
      report(result);
    }
  }),
);

rmSync(scratch, { recursive: true, force: true });
const failed = results.filter(({ ok }) => !ok).map(({ name }) => name);
process.stdout.write(failed.length === 0 ? "check: everything holds\n" : `check: ${failed.length} failed: ${failed.join(", ")}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
