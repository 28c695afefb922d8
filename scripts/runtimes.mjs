// Runs the proofs of test/runtimes and the late rejections on every supported runtime.  npm run runtimes [-- name…]
//
// The runtimes are packages, installed on demand into .perdure/runtimes (some 800 MB for all): as dev dependencies everybody would pay for them.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build, root } from "./build.mjs";
import { installPackages } from "./install-packages.mjs";

const folder = join(root, ".perdure", "runtimes");

/** @typedef {{ name: string, package?: string, version?: string, args?: readonly string[] }} Runtime */
/** @type {readonly Runtime[]} */
const runtimes = [
  { name: "this" },
  { name: "node22", package: "node", version: "22.23.3" },
  { name: "node24", package: "node", version: "24.21.0" },
  { name: "node26", package: "node", version: "26.10.0" },
  { name: "bun", package: "bun", version: "1.4.5" },
  { name: "deno", package: "deno", version: "2.9.6", args: ["run", "--allow-all", "--no-lock"] },
];

const morning = "Error: from the helper, NonRetryableError: from the step, Error: at once, Error: from the helper";

/** @typedef {{ name: string, args: readonly string[], code: number, output: RegExp }} Proof */
/** @type {readonly Proof[]} */
const proofs = [
  { name: "drain", args: ["test/runtimes/drain.mjs"], code: 0, output: /^drain: everything settles$/m },
  ...["memory", "sqlite"].map((kind) => ({
    name: `engine on ${kind}`,
    args: ["test/runtimes/engine.mjs", kind],
    code: 0,
    output: /: everything works$/m,
  })),
  { name: "test engine", args: ["test/runtimes/tester.mjs"], code: 0, output: /^tester: everything works$/m },
  ...["replayed", "warm", "unguarded"].map((scenario) => late(scenario, 0, new RegExp(`^${morning}\nalive\n$`))),
  late("never", 0, /^warn: A promise in run \S+ of workflow never was rejected.*\ndone\nalive\n$/),
  late("closed-at-once", 0, /^kept\nalive\n$/),
  late("application", 1, /Error: the application's own|error: the application's own/),
  ...["listener-first", "listener-after"].map((scenario) =>
    late(
      scenario,
      0,
      new RegExp(`^listener: the application's own\nlistener: after a result\n${morning} \\| done \\| ${morning}\nalive\n$`),
    ),
  ),
  late("after-close", 1, /after the close/),
];

/** @param {string} scenario @param {number} code @param {RegExp} output @returns {Proof} */
function late(scenario, code, output) {
  return { name: `late rejections, ${scenario}`, args: ["test/fixtures/late-rejection-process.mjs", scenario], code, output };
}

/** @param {Runtime} runtime @returns {string} */
function install({ name, package: packageName, version }) {
  if (packageName === undefined || version === undefined) return process.execPath;
  const prefix = join(folder, name);
  installPackages(prefix, { [packageName]: version }, { say: (text) => void process.stdout.write(`${text}\n`) });
  return join(prefix, "node_modules", ".bin", packageName);
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !runtimes.some((runtime) => runtime.name === name));
if (unknown.length > 0) throw new Error(`unknown runtime ${unknown.join(", ")}: use ${runtimes.map(({ name }) => name).join(", ")}`);

const { ok, output } = build("lib");
if (!ok) process.stderr.write(`${output}\nruntimes: the build has the errors above; running what was emitted\n`);

let failed = 0;
for (const runtime of runtimes.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const executable = install(runtime);
  for (const proof of proofs) {
    const run = spawnSync(executable, [...(runtime.args ?? []), ...proof.args], {
      cwd: root,
      encoding: "utf8",
      timeout: 60_000,
      env: { ...process.env, NO_COLOR: "1", DENO_DIR: join(folder, "deno-cache"), DENO_NO_UPDATE_CHECK: "1" },
    });
    const text = proof.code === 0 ? run.stdout : run.stdout + run.stderr;
    const held = run.status === proof.code && proof.output.test(text);
    if (!held) failed++;
    const label = runtime.name === "this" ? `node ${process.versions.node}` : `${runtime.package} ${runtime.version}`;
    process.stdout.write(`${held ? "ok    " : "FAILED"} ${label.padEnd(13)} ${proof.name}\n`);
    if (!held) process.stdout.write(`${`exit ${run.status}\n${run.stdout}${run.stderr}`.trimEnd().replaceAll(/^/gm, "    ")}\n`);
  }
}
process.stdout.write(failed === 0 ? "runtimes: everything holds\n" : `runtimes: ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
