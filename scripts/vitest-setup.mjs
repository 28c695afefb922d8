// Before any test: compile the package and its tools once, for the tests that start real processes.
import { build } from "./build.mjs";

export default function setup() {
  for (const target of /** @type {const} */ (["lib", "tools"])) {
    const { ok, output } = build(target);
    // Type errors are reported by `npm run check`; what was emitted is what the tests run.
    if (!ok)
      process.stderr.write(`\nThe build of ${target} has type errors ("npm run build:tools" shows them all):\n${output.slice(0, 1000)}\n`);
  }
}
