// Runs the tests and ends with the plain line "N passed, N failed, N skipped".  npm test [-- vitest arguments…]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./build.mjs";

const folder = mkdtempSync(join(tmpdir(), "perdure-test-"));
const countsFile = join(folder, "counts.json");

const run = spawnSync(
  process.execPath,
  [
    join(root, "node_modules", "vitest", "vitest.mjs"),
    "run",
    "--allowOnly=false",
    "--reporter=default",
    `--reporter=${join(root, "scripts", "count-reporter.mjs")}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: "inherit", env: { ...process.env, PERDURE_TEST_COUNTS: countsFile } },
);

/** @returns {import("./count-reporter.mjs").Counts} */
function readCounts() {
  try {
    return /** @type {import("./count-reporter.mjs").Counts} */ (JSON.parse(readFileSync(countsFile, "utf8")));
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

const { passed, failed, skipped } = readCounts();
rmSync(folder, { recursive: true, force: true });

// A run that broke before or beside its tests (start-up, set-up, a crash) and one that found none are failures as well.
const broken = run.status !== 0 || passed + failed === 0;
const failures = broken ? Math.max(failed, 1) : failed;
process.stdout.write(`${passed} passed, ${failures} failed, ${skipped} skipped\n`);
process.exitCode = failures > 0 ? 1 : 0;
