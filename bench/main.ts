// npm run bench: runs the workloads one after the other, each in a process and a database of its own, and prints what they measured.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { spawnProcess, type Message } from "./children.js";
import { describeMachine } from "./machine.js";
import { parseOptions, usage, type Options } from "./options.js";
import { nodeOptions, processEntry, type ProcessArgs, type Settings } from "./process-args.js";
import { lineOf, summaryOf, textOf, withRatio, type Line, type Measurement } from "./report.js";
import { backendNames, openSite, type BackendName, type Place, type Site } from "./sites.js";
import type { Workload } from "./workload.js";
import { findWorkload, workloads } from "./workloads/index.js";

interface Measured extends Message {
  readonly type: "measured";
  readonly measurement: Measurement;
}

/** No workload takes half as long as this on a slow machine; one that does hangs. */
const limitMs = 10 * 60_000;

interface Scene {
  readonly options: Options;
  readonly base: string;
  readonly site: Site;
}

async function measure(workload: Workload, place: Place, { options, base, site }: Scene): Promise<Measurement> {
  const folder = mkdtempSync(join(base, `${workload.name}-`));
  const settings: Settings = {
    place,
    quick: options.quick,
    sleepers: options.sleepers,
    folder,
    ...(site.serverPid !== undefined && { serverPid: site.serverPid }),
    ...(options.profileFolder !== undefined && { profileFolder: resolve(options.profileFolder) }),
  };
  const child = spawnProcess(processEntry, { workload: workload.name, settings } satisfies ProcessArgs, nodeOptions(settings));
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

/** Undefined if there is no such server and nobody insists on it. */
async function openOrPass(backend: BackendName, isDemanded: boolean, base: string): Promise<Site | undefined> {
  try {
    return await openSite(backend, base);
  } catch (error) {
    if (isDemanded) throw error;
    process.stderr.write(`${backend} is left out: ${error instanceof Error ? error.message : String(error)}\n`);
    return undefined;
  }
}

async function run(options: Options): Promise<void> {
  const chosen = options.workloads.length === 0 ? workloads : options.workloads.map(findWorkload);
  const parent = resolve(options.folder ?? tmpdir());
  mkdirSync(parent, { recursive: true });
  // Servers that are started here keep their data in the system's temporary folder.
  process.env["TMPDIR"] = parent;
  const base = mkdtempSync(join(parent, "perdure-bench-"));
  let site: Site | undefined;
  // With retries: processes that have just lost their parent may still be writing.
  process.on("exit", () => rmSync(base, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  const leave = (code: number): void => void (site?.close() ?? Promise.resolve()).finally(() => process.exit(code));
  process.once("SIGINT", () => leave(130));
  process.once("SIGTERM", () => leave(143));
  process.stderr.write(`${describeMachine(base)}\n`);
  const lines: Line[] = [];
  for (const backend of options.backends.length === 0 ? backendNames : options.backends) {
    const here = chosen.filter((candidate) => candidate.backends.includes(backend));
    if (here.length === 0) continue;
    site = await openOrPass(backend, options.backends.length > 0, base);
    if (site === undefined) continue;
    process.stderr.write(`${site.description}\n`);
    try {
      for (const [number, workload] of here.entries()) {
        process.stderr.write(`${workload.name} on ${backend}: ${workload.title} …\n`);
        const place = await site.make(number);
        const measurement = await measure(workload, place, { options, base, site });
        await site.clear(place);
        const line = lineOf(workload.name, backend, withRatio(workload.name, backend, measurement, lines));
        lines.push(line);
        process.stdout.write(options.json ? `${JSON.stringify(line)}\n` : textOf(line));
      }
    } finally {
      await site.close();
      site = undefined;
    }
  }
  conclude(lines, options);
}

function conclude(lines: readonly Line[], options: Options): void {
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
