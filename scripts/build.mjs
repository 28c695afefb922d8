// Compiles `lib` (src -> dist) and `tools` (bench, demo, sim, … -> build).  node scripts/build.mjs [lib] [tools]
//
// The compiler writes into a private folder whose files are then renamed into place, because tests, demo and benchmark may build while processes of
// another run are importing dist: compiling straight into it would show them half-written files. A stamp of the inputs makes a repeated build free.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const stage = join(root, "build", ".stage");

/** @typedef {{ project: string, inputs: readonly string[], out: string }} Target */

/** @type {Readonly<Record<"lib" | "tools", Target>>} */
const targets = {
  lib: { project: "tsconfig.build.json", inputs: ["src"], out: "dist" },
  // Tools see the package as its users do, through dist, so that a change of the package is a change of their input.
  tools: {
    project: "tsconfig.tools.json",
    inputs: ["bench", "failover", "demo", "sim", "examples", "test/fixtures", "test/support", "dist"],
    out: "build",
  },
};

/** @param {string} folder @returns {string[]} every file below it, relative to it */
function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((name) => !name.startsWith(".stage"))
    .toSorted();
}

/** @param {Target} target @returns {string} changes whenever an input or the compiler's settings change */
function fingerprint(target) {
  const hash = createHash("sha256");
  const configs = [target.project, "tsconfig.base.json", "package-lock.json"];
  const inputs = target.inputs.flatMap((folder) => filesBelow(join(root, folder)).map((name) => join(folder, name)));
  for (const name of [...configs, ...inputs]) {
    const file = join(root, name);
    // An editor may have moved it away since it was listed.
    hash.update(`${name}\0`).update(existsSync(file) ? readFileSync(file) : "");
  }
  return hash.digest("hex");
}

/** Makes `out` hold exactly the staged files; each is replaced in one step, unchanged ones are left alone. @param {Target} target */
function publish(target) {
  const out = join(root, target.out);
  const staged = filesBelow(stage);
  for (const name of staged) {
    const from = join(stage, name);
    const to = join(out, name);
    if (existsSync(to) && readFileSync(to).equals(readFileSync(from))) continue;
    mkdirSync(dirname(to), { recursive: true });
    renameSync(from, to);
  }
  const wanted = new Set(staged);
  for (const name of filesBelow(out)) {
    if (!wanted.has(name) && /\.(js|d\.ts)$/.test(name)) rmSync(join(out, name), { force: true });
  }
}

/** Removes the declarations of the engine that no entry point of the package leads to: nobody can import them, and they are a tenth of what everybody loads. */
function dropUnreachableDeclarations() {
  const manifest = /** @type {Record<"exports" | "imports", Record<string, string | { types: string }>>} */ (
    JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  );
  const entries = [manifest.exports, manifest.imports].flatMap((map) =>
    Object.values(map).flatMap((entry) => (typeof entry === "string" ? [] : [entry.types])),
  );
  const wanted = new Set(entries.map((entry) => relative(targets.lib.out, entry)));
  // A set is walked on to what is added meanwhile.
  for (const name of wanted) {
    const text = readFileSync(join(stage, name), "utf8");
    for (const [, from] of text.matchAll(/(?:from |import\()"(\.[^"]+)\.js"/g)) {
      const found = join(dirname(name), `${from ?? ""}.d.ts`);
      // Examples in comments import what is not there.
      if (existsSync(join(stage, found))) wanted.add(found);
    }
  }
  // Those of stores and platforms stay: programs under test/ are checked against them.
  const inner = filesBelow(stage).filter((name) => /^(api|codec|core|worker)\b.*\.d\.ts$/.test(name));
  for (const name of inner) if (!wanted.has(name)) rmSync(join(stage, name));
}

/**
 * Runs `action` while no other process builds: of two at once the slower would put back, or remove, what the faster has just written.
 * The lock is a file that names its owner; one left behind by a dead process counts for nothing.
 * @template T @param {() => T} action @returns {T}
 */
function alone(action) {
  const lock = join(root, "build", ".lock");
  mkdirSync(dirname(lock), { recursive: true });
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      if (ownerIsGone(lock)) rmSync(lock, { force: true });
      else Atomics.wait(sleeper, 0, 0, 50);
    }
  }
  try {
    return action();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @param {string} lock */
function ownerIsGone(lock) {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    // Empty: created this instant, or by a process that died in that instant; a build takes seconds, so half a minute settles it.
    if (owner === 0) return Date.now() - statSync(lock).mtimeMs > 30_000;
    process.kill(owner, 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}

/**
 * @param {"lib" | "tools"} name
 * @returns {{ ok: boolean, output: string }} `ok` is false on type errors; what could be emitted is emitted all the same
 */
export function build(name) {
  return alone(() => compile(name));
}

/** @param {"lib" | "tools"} name */
function compile(name) {
  const target = targets[name];
  const stampFile = join(root, "build", ".stamp", name);
  const stamp = fingerprint(target);
  const sources = target.inputs.filter((folder) => folder !== "dist").flatMap((folder) => filesBelow(join(root, folder)));
  if (!sources.some((file) => file.endsWith(".ts"))) return { ok: true, output: "" };
  if (existsSync(join(root, target.out)) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp)
    return { ok: true, output: "" };
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  try {
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    /** @param {string[]} flags */
    const emit = (...flags) =>
      spawnSync(process.execPath, [tsc, "-p", target.project, "--outDir", stage, ...flags], { cwd: root, encoding: "utf8" });
    const run = emit();
    const ok = run.status === 0;
    // Comments are for those who read declarations and sources; in the published code they are a quarter of its size.
    if (ok && name === "lib") {
      emit("--declaration", "false", "--removeComments");
      dropUnreachableDeclarations();
    }
    // No stamp while files are being replaced, in case this is interrupted, nor after type errors: the next build must report them again.
    rmSync(stampFile, { force: true });
    publish(target);
    mkdirSync(dirname(stampFile), { recursive: true });
    if (ok) writeFileSync(stampFile, stamp);
    return { ok, output: `${run.stdout ?? ""}${run.stderr ?? ""}${run.error ? String(run.error) : ""}` };
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const names = process.argv.slice(2);
  for (const name of names.length > 0 ? names : ["lib"]) {
    if (name !== "lib" && name !== "tools") throw new Error(`unknown build target "${name}": use lib or tools`);
    const { ok, output } = build(name);
    process.stderr.write(output);
    if (!ok) process.exitCode = 1;
    else if (statSync(join(root, targets[name].out), { throwIfNoEntry: false })) process.stderr.write(`built ${targets[name].out}\n`);
  }
}
