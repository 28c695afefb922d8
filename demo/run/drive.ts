// Drives the demo: starts workflows in batches, kills a worker at a random moment of each, answers for the person, watches, and gathers evidence.
import { setTimeout as pause } from "node:timers/promises";
import { type Client, connect, type RunInfo, workflowRef } from "perdure";
import { sqlite } from "perdure/sqlite";
import type { Dataset } from "../data/dataset.js";
import type { Evidence, ExpectedRun, RunEvidence } from "../proof/evidence.js";
import type { FinishedRun } from "../report/summary.js";
import { type CheckFile, checkFileName, type Job } from "./pipeline.js";
import type { ProgressView } from "./progress.js";
import { type Random, seededRandom } from "./random.js";
import { type Reviewer, startReviewer } from "./reviewer.js";
import { type Kill, startWorkers, type WorkerPool } from "./worker-pool.js";

export interface Folders {
  readonly database: string;
  readonly effects: string;
  readonly work: string;
  readonly pages: string;
}

export interface Drive {
  readonly dataset: Dataset;
  readonly folders: Folders;
  readonly view: ProgressView;
  readonly signal: AbortSignal;
  readonly seed: number;
  readonly kills: number;
  readonly paceMs: number;
}

/** What came of it: everything that the proof and the report need, except for the effect log. */
export interface Driven extends Omit<Evidence, "effects" | "torn"> {
  readonly finished: readonly FinishedRun[];
}

const reviewWithinMs = 5000;
/** How long a worker process takes to start on a machine that is not busy, and then some. */
const usualStartMs = 800;
const lookEveryMs = 250;
/** Without any progress for this long the demo gives up and lets the proof say what is missing. */
const stuckMs = 30_000;

// What a client needs of a workflow is its name and types; the code stays with the workers.
const checkFile = workflowRef<CheckFile>(checkFileName);

export async function runDemo(drive: Drive): Promise<Driven> {
  const { folders, dataset, paceMs } = drive;
  const settings = {
    database: folders.database,
    effectsFolder: folders.effects,
    workFolder: folders.work,
    pagesFolder: folders.pages,
    paceMs,
  };
  const client = await connect({ backend: sqlite(folders.database) });
  const kills: Kill[] = [];
  let pool: WorkerPool | undefined;
  try {
    pool = await startWorkers(2, settings, Date.now);
    const ended = new AbortController();
    // Whatever ends first, well or badly, ends the rest.
    const scene: Drive = { ...drive, signal: AbortSignal.any([drive.signal, ended.signal]) };
    const reviewer = startReviewer(client, {
      random: seededRandom(drive.seed + 1),
      now: Date.now,
      pause: (ms) => pause(ms, undefined, { signal: scene.signal }),
    });
    try {
      const watched = watch(client, scene, { reviewer, kills });
      await Promise.race([startAndKill(client, pool, scene, { random: seededRandom(drive.seed), kills }), watched]);
      await watched;
      await reviewer.settled();
    } finally {
      ended.abort();
    }
    return { kills, expected: expectedRuns(dataset.files, reviewer), ...(await gather(client)) };
  } finally {
    await pool?.stop(4000);
    await client.close();
  }
}

/** One batch of files for each kill and one more; the kill comes at a random moment while the batch is being worked on. */
async function startAndKill(
  client: Client,
  pool: WorkerPool,
  drive: Drive,
  { random, kills }: { readonly random: Random; readonly kills: Kill[] },
): Promise<void> {
  const files = random.shuffle(drive.dataset.files);
  const { signal } = drive;
  const rounds = drive.kills + 1;
  for (let round = 0; round < rounds; round += 1) {
    const batch = files.slice(Math.floor((round * files.length) / rounds), Math.floor(((round + 1) * files.length) / rounds));
    // On a slow machine everything takes longer, and a run that is hit too often in a row would be parked as one that kills its processes.
    const last = kills.at(-1);
    const slowness = last === undefined ? 1 : Math.max(1, (last.replacedAt - last.at) / usualStartMs);
    const starting = startBatch(client, batch, slowness * random.between(700, 1300), signal);
    if (round === drive.kills) {
      await starting;
      break;
    }
    const [momentMs, place] = [slowness * random.between(300, 1900), random.below(2)];
    await Promise.all([starting, pause(momentMs, undefined, { signal }).then(async () => kills.push(await pool.kill(place)))]);
  }
}

/** Starts the files one after the other, spread over this time. */
async function startBatch(client: Client, batch: readonly string[], overMs: number, signal: AbortSignal): Promise<void> {
  for (const file of batch) {
    const job: Job = { file, reviewWithinMs };
    await client.start(checkFile, job, { id: file });
    await pause(overMs / batch.length, undefined, { signal });
  }
}

interface Watching {
  readonly reviewer: Reviewer;
  readonly kills: readonly Kill[];
}

/** Looks at all runs again and again until every one has ended, or nothing moves any more. */
async function watch(client: Client, { dataset, view, signal }: Drive, { reviewer, kills }: Watching): Promise<void> {
  const startedAt = performance.now();
  const total = dataset.files.length;
  let last = { mark: "", at: startedAt };
  let shown = 0;
  for (;;) {
    signal.throwIfAborted();
    const runs = await listAll(client);
    await reviewer.notice(runs);
    for (; shown < kills.length; shown += 1)
      view.say(`  killed process ${kills[shown]?.pid ?? 0}; process ${kills[shown]?.replacedBy ?? 0} takes its place`);
    const elapsedMs = performance.now() - startedAt;
    view.update({ total, started: runs.length, runs, kills: kills.length, elapsedMs });
    if (runs.length === total && runs.every(hasEnded)) return;
    const mark = `${kills.length} ${runs.map(({ status, historyLength }) => `${status}${historyLength}`).join(" ")}`;
    if (mark !== last.mark) last = { mark, at: performance.now() };
    if (performance.now() - last.at > stuckMs) return;
    await pause(lookEveryMs, undefined, { signal });
  }
}

const hasEnded = ({ endedAt }: RunInfo): boolean => endedAt !== undefined;

async function listAll(client: Client): Promise<readonly RunInfo[]> {
  const runs: RunInfo[] = [];
  for await (const run of client.list({ name: checkFileName })) runs.push(run);
  return runs;
}

function expectedRuns(files: readonly string[], { answers }: Reviewer): readonly ExpectedRun[] {
  return files.map((file) => {
    const decision = answers.find(({ run }) => run === file)?.decision;
    return { id: file, file, answer: decision === "ignored" ? undefined : decision };
  });
}

/** What the database says at the end, through the public API. */
async function gather(client: Client): Promise<{ readonly runs: readonly RunEvidence[]; readonly finished: readonly FinishedRun[] }> {
  const runs: RunEvidence[] = [];
  const finished: FinishedRun[] = [];
  for (const { id, status, unreadMessages, createdAt, endedAt } of await listAll(client)) {
    const handle = client.get(checkFile, id);
    const history = await handle.history();
    const result = status === "completed" ? await handle.result() : undefined;
    runs.push({ id, status, unreadMessages, result, history });
    if (result !== undefined && endedAt !== undefined)
      finished.push({ id, result, history, createdAt: createdAt.getTime(), endedAt: endedAt.getTime() });
  }
  return { runs, finished };
}
