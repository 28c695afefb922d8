// npm run bench: runs the workloads one after the other, each in a process and a folder of its own, and prints what they measured.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { spawnProcess, type Message } from "./children.js";
import { describeMachine } from "./machine.js";
import { parseOptions, usage, type BackendKind, type Options } from "./options.js";
import { nodeOptions, type ProcessArgs, type Settings } from "./process-args.js";
import { lineOf, summaryOf, textOf, type Line, type Measurement } from "./report.js";
import type { Workload } from "./workload.js";
import { findWorkload, workloads } from "./workloads/index.js";

interface Measured extends Message {
  readonly type: "measured";
  readonly measurement: Measurement;
}

/** No workload takes half as long as this on a slow machine; one that does hangs. */
const limitMs = 10 * 60_000;

async function measure(workload: Workload, backend: BackendKind, options: Options, base: string): Promise<Measurement> {
  const folder = mkdtempSync(join(base, `${workload.name}-`));
  const profiling = options.profileFolder === undefined ? {} : { profileFolder: resolve(options.profileFolder) };
  const settings: Settings = { backend, quick: options.quick, sleepers: options.sleepers, folder, ...profiling };
  const child = spawnProcess({ workload: workload.name, settings } satisfies ProcessArgs, nodeOptions(settings));
  const overdue = setTimeout(() => void child.kill(), limitMs);
  try {
    const { measurement } = await child.hear<Measured>("measured");
    await child.stop();
    return measurement;
  } catch (error) {
    return { figures: {}, errors: [`the workload's process ended without an answer: ${String(error)}`] };
  } finally {
    clearTimeout(overdue);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function run(options: Options): Promise<void> {
  const chosen = options.workloads.length === 0 ? workloads : options.workloads.map(findWorkload);
  const parent = options.folder ?? tmpdir();
  mkdirSync(parent, { recursive: true });
  const base = mkdtempSync(join(parent, "perdure-bench-"));
  // With retries: processes that have just lost their parent may still be writing.
  process.on("exit", () => rmSync(base, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));
  process.stderr.write(`${describeMachine(base)}\n`);
  const lines: Line[] = [];
  for (const backend of options.backends) {
    for (const workload of chosen.filter((candidate) => candidate.backends.includes(backend))) {
      process.stderr.write(`${workload.name} on ${backend}: ${workload.title} …\n`);
      const line = lineOf(workload.name, backend, await measure(workload, backend, options, base));
      lines.push(line);
      process.stdout.write(options.json ? `${JSON.stringify(line)}\n` : textOf(line));
    }
  }
  const summary = summaryOf(lines);
  process.stdout.write(
    options.json
      ? `${JSON.stringify(summary)}\n`
      : `${summary.met} goals met, ${summary.missed.length} missed: ${summary.missed.join(", ") || "none"}\n`,
  );
  if (summary.errors > 0 || (options.strict && summary.missed.length > 0)) process.exitCode = 1;
}

try {
  await run(parseOptions(process.argv.slice(2)));
} catch (error) {
  const names = workloads.map((workload) => `  ${workload.name.padEnd(16)} ${workload.title}`).join("\n");
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}\nWorkloads:\n${names}\n`);
  process.exitCode = 1;
}
