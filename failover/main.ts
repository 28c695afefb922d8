// npm run failover: two worker processes, one of which is killed or stopped while it has runs in flight. How soon the other goes on with them, and whether
// everything is recorded once.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSite, type Site } from "../bench/sites.js";
import { judge, type Verdict } from "./judge.js";
import { parseOptions, usage, type Options } from "./options.js";
import { lineOf, summaryOf, textOf } from "./summary.js";
import { runTrial } from "./trial.js";
import { workerPool, type WorkerPool } from "./workers.js";

async function run(options: Options): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "perdure-failover-"));
  const pool = workerPool();
  let site: Site | undefined;
  const cleanUp = async (): Promise<void> => {
    await pool.killAll();
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  };
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.once(signal, () => void cleanUp().finally(() => process.exit(code)));
  try {
    site = await openSite(options.backend, folder);
    const verdicts = await runTrials(options, site, pool, folder);
    const summary = summaryOf(verdicts);
    process.stdout.write(`${options.json ? JSON.stringify(summary) : JSON.stringify(summary, null, 2)}\n`);
    return verdicts.every(({ problems }) => problems.length === 0);
  } finally {
    await cleanUp();
  }
}

async function runTrials(options: Options, site: Site, pool: WorkerPool, folder: string): Promise<readonly Verdict[]> {
  const { trials, runs, leaseMs, json, backend } = options;
  const verdicts: Verdict[] = [];
  for (let number = 0; number < 2 * trials; number++) {
    const kind = number < trials ? "kill" : "stop";
    const verdict = judge(
      await runTrial({
        kind,
        number,
        site,
        pool,
        folder,
        runs,
        leaseMs: kind === "stop" ? leaseMs : undefined,
        resume: number % 2 === 0 ? "early" : "late",
      }),
    );
    verdicts.push(verdict);
    process.stderr.write(`${backend} ${textOf(verdict)}`);
    if (json) process.stdout.write(`${lineOf(number, backend, verdict)}\n`);
  }
  return verdicts;
}

try {
  process.exitCode = (await run(parseOptions(process.argv.slice(2)))) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  process.exitCode = 1;
}
