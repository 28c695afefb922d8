// Builds the package and its tools, then runs build/<tool>/main.js with the remaining arguments.  node scripts/run.mjs <tool> [args…]
//
// Compiled JavaScript rather than a TypeScript loader: Node 20 strips no types, and loaders that rewrite code would distort the benchmark.
// Nothing here writes to standard output: it belongs to the tool, whose `--json` must be parsable.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { build, root } from "./build.mjs";

const [tool, ...args] = process.argv.slice(2);
if (tool === undefined) throw new Error("usage: node scripts/run.mjs <tool> [args…]");

for (const target of /** @type {const} */ (["lib", "tools"])) {
  const { ok, output } = build(target);
  // Type errors are the business of `npm run check`; here they are shown, and what was emitted runs.
  if (!ok) process.stderr.write(`${output}\nrun: the build of ${target} has the errors above; running what was emitted\n`);
}

const main = join(root, "build", tool, "main.js");
if (!existsSync(main)) {
  process.stderr.write(`run: there is no ${tool}/main.ts to run (looked for ${main})\n`);
  process.exit(1);
}

const child = spawn(process.execPath, [main, ...args], { cwd: root, stdio: "inherit" });
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  process.exitCode = code ?? (signal === "SIGINT" ? 130 : 1);
});
