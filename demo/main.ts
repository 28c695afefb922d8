// The demo: a client starts one workflow per file of a real data collection, two worker processes run them, and one or the other is killed now and then.
// At the end: a report, a timeline of every run, and a proof that nothing was lost and nothing was done twice that need not have been.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { findDataset } from "./data/dataset.js";
import { parseOptions, usage } from "./options.js";
import { prove } from "./proof/prove.js";
import { type Folders, runDemo } from "./run/drive.js";
import { readEffects } from "./run/effect-log.js";
import { openProgress } from "./run/progress.js";
import { renderIndexPage } from "./report/index-page.js";
import { proofTable, renderSummary, type Summary } from "./report/summary.js";
import { drawTimeline } from "./report/svg.js";
import { overviewTimeline, processNumbers, runTimeline, type Scene, type Timeline } from "./report/timeline.js";
import type { Kill } from "./run/worker-pool.js";

/** The goal for a killed process is a second; the longest has room for a machine that is busy with other things. */
const takeoverGoalMs = 1000;
const takeoverMaxMs = 5000;

const options = parseOptions(process.argv.slice(2), () => Math.floor(Math.random() * 1_000_000));
process.exitCode = options.help ? help() : await main();

function help(): number {
  process.stdout.write(usage);
  return 0;
}

async function main(): Promise<number> {
  const out = resolve(options.out);
  const folders: Folders = {
    database: join(out, "demo.db"),
    effects: join(out, "effects"),
    work: join(out, "work"),
    pages: join(out, "files"),
  };
  rmSync(out, { recursive: true, force: true });
  for (const folder of [folders.effects, folders.work, folders.pages, join(out, "timelines")]) mkdirSync(folder, { recursive: true });

  const dataset = findDataset();
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stop.abort(signal));
  const view = openProgress(process.stdout, 3000);
  const startedAt = Date.now();
  view.say(
    `${dataset.files.length} files of vega-datasets ${dataset.version}, two worker processes, ${options.kills} kills; seed ${options.seed}`,
  );
  try {
    const driven = await runDemo({ dataset, folders, view, signal: stop.signal, ...options });
    view.end();
    const proof = prove(
      { ...readEffects(folders.effects), ...driven },
      {
        killsMin: options.kills,
        takeoverGoalMs,
        takeoverMaxMs,
      },
    );
    const summary: Summary = {
      version: dataset.version,
      seed: options.seed,
      elapsedMs: Date.now() - startedAt,
      runs: driven.finished,
      proof,
    };
    writeReports(out, summary, driven.kills);
    process.stdout.write(`\n${proofTable(proof)}\n\n${proof.holds ? "The proof holds" : "THE PROOF DOES NOT HOLD"}. ${where(out)}\n`);
    return proof.holds ? 0 : 1;
  } catch (error) {
    view.end();
    if (stop.signal.aborted) {
      process.stderr.write("Stopped; all processes that were started have ended.\n");
      return 130;
    }
    process.stderr.write(
      `The demo broke (seed ${options.seed}): ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    return 1;
  } finally {
    rmSync(folders.work, { recursive: true, force: true });
  }
}

function writeReports(out: string, summary: Summary, kills: readonly Kill[]): void {
  const { executions } = summary.proof;
  const scene: Scene = { executions, kills, processes: processNumbers(executions) };
  const draw = (name: string, timeline: Timeline): void => writeFileSync(join(out, "timelines", `${name}.svg`), drawTimeline(timeline));
  for (const run of summary.runs) draw(run.id, runTimeline(run, scene));
  draw("overview", overviewTimeline(summary.runs, scene));
  writeFileSync(join(out, "report.md"), renderSummary(summary));
  writeFileSync(join(out, "index.html"), renderIndexPage(summary));
}

function where(out: string): string {
  const folder = relative(process.cwd(), out);
  return `The report is ${join(folder, "report.md")}, the timelines are in ${join(folder, "index.html")}.`;
}
