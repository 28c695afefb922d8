// npm run bench:peers: perdure and other libraries for durable workflows take turns on the same PostgreSQL server, each turn in a process and a database of
// its own, so that all of them meet the same neighbours and none runs beside another.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.js";
import { spawnProcess, type Child } from "../children.js";
import { describeMachine } from "../machine.js";
import { openPostgres, type Site } from "../sites.js";
import type { Ground, PeerWorkload } from "./contender.js";
import { parsePeerOptions, usage, type PeerOptions } from "./options.js";
import { prefixOf } from "./packages.js";
import type { ContenderName, SliceArgs, SliceFailure, SliceResult } from "./slice.js";
import { jsonOf, tableOf, textOf, type WorkloadTable } from "./table.js";

const times = { warmUpMs: 1_500, aloneMs: 2_000, togetherMs: 3_000 } as const;
/** No turn takes half as long on a slow machine; one that does hangs. */
const limitMs = 60_000;
const entry = new URL("./contender-process.js", import.meta.url);

interface Scene {
  readonly site: Site;
  readonly base: string;
  readonly prefixes: ReadonlyMap<ContenderName, string>;
  /** Contenders that went wrong: what they said. */
  readonly failures: Map<ContenderName, string>;
  number: number;
}

async function takeTurn(contender: ContenderName, workload: PeerWorkload, scene: Scene): Promise<SliceResult | undefined> {
  const { site, base, prefixes, failures } = scene;
  scene.number += 1;
  const place = await site.make(scene.number);
  const folder = join(base, `turn-${scene.number}`);
  mkdirSync(folder);
  const ground: Ground = { postgresUrl: place.target, postgresPid: site.serverPid, folder, prefix: prefixes.get(contender) ?? "" };
  // Some peers' warnings of what their own packages will stop doing are not ours to print.
  const child = spawnProcess(entry, { contender, workload, ground, ...times } satisfies SliceArgs, ["--no-deprecation"]);
  const overdue = setTimeout(() => void child.kill(), limitMs);
  try {
    return await answerOf(child);
  } catch (error) {
    failures.set(contender, error instanceof Error ? error.message : String(error));
    process.stderr.write(`${contender} failed: ${failures.get(contender)}\n`);
    return undefined;
  } finally {
    await child.stop();
    clearTimeout(overdue);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    await site.clear(place);
  }
}

async function answerOf(child: Child): Promise<SliceResult> {
  const failed = child.hear<SliceFailure>("failure").then(({ error }) => Promise.reject(new Error(error)));
  return await Promise.race([child.hear<SliceResult>("slice"), failed]);
}

async function runWorkload(workload: PeerWorkload, { contenders, rounds }: PeerOptions, scene: Scene): Promise<WorkloadTable> {
  const results: Partial<Record<ContenderName, SliceResult>>[] = [];
  for (let round = 1; round <= rounds; round++) {
    process.stderr.write(`${workload}, round ${round} of ${rounds}: `);
    const result: Partial<Record<ContenderName, SliceResult>> = {};
    for (const contender of contenders) {
      process.stderr.write(`${contender} `);
      const slice = await takeTurn(contender, workload, scene);
      if (slice !== undefined) result[contender] = slice;
    }
    process.stderr.write("\n");
    results.push(result);
  }
  return tableOf(workload, results);
}

async function run(options: PeerOptions): Promise<void> {
  const prefixes = new Map<ContenderName, string>();
  for (const contender of options.contenders) prefixes.set(contender, await prefixOf(contender));
  const base = mkdtempSync(join(tmpdir(), "perdure-peers-"));
  process.on("exit", () => rmSync(base, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  // At a port: not every driver knows sockets, and all should come the same way.
  const site = await openPostgres(await freePort());
  const leave = (code: number): void => void site.close().finally(() => process.exit(code));
  process.once("SIGINT", () => leave(130));
  process.once("SIGTERM", () => leave(143));
  process.stderr.write(`${describeMachine(base)}\n${site.description}\n`);
  const scene: Scene = { site, base, prefixes, failures: new Map(), number: 0 };
  const tables: Partial<Record<PeerWorkload, WorkloadTable>> = {};
  try {
    for (const workload of options.workloads) {
      const table = await runWorkload(workload, options, scene);
      tables[workload] = table;
      if (!options.json) process.stdout.write(`${textOf(workload, table)}\n`);
    }
  } finally {
    await site.close();
  }
  if (options.json) process.stdout.write(`${jsonOf(tables)}\n`);
  // A peer that does not run here leaves a gap in the table; perdure has to.
  if ([...scene.failures.keys()].some((name) => name.startsWith("perdure-"))) process.exitCode = 1;
}

try {
  await run(parsePeerOptions(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  process.exitCode = 1;
}
