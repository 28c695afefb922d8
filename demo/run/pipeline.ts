// The workflow: one run per file. Ordinary async code; what makes it durable is `ctx`.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as yieldToLoop, setTimeout as pause } from "node:timers/promises";
import { activity, message, type StepContext, workflow, type WorkflowContext } from "perdure";
import { checkFile, type Finding } from "../data/check-file.js";
import type { Dataset } from "../data/dataset.js";
import { parseFile } from "../data/parse-file.js";
import { type ColumnProfile, profileColumn } from "../data/profile-column.js";
import type { Cell } from "../data/tables.js";
import { renderFilePage } from "../report/file-page.js";
import type { BodyInfo, EffectLog, Made } from "./effect-log.js";

export const checkFileName = "check-file";

/** The input of a run. */
export interface Job {
  readonly file: string;
  /** How long to wait for a person, in ms. */
  readonly reviewWithinMs: number;
}

/** What a person says about a file that failed a check. */
export interface Review {
  readonly decision: "approved" | "rejected";
  readonly by: string;
}

export const reviewed = message<Review>("reviewed");

/** How a run ends: `clean` needed no person, `expired` waited for one in vain. */
export type Verdict = "clean" | Review["decision"] | "expired";

export interface FileResult {
  readonly file: string;
  readonly format: string;
  readonly bytes: number;
  readonly rows: number;
  readonly facts: readonly string[];
  readonly profiles: readonly ColumnProfile[];
  readonly findings: readonly Finding[];
  readonly verdict: Verdict;
  readonly reviewer: string | undefined;
  /** The executions whose results this run was given, one for each body: what the proof compares with the effect log. */
  readonly executions: readonly string[];
  /** How long it waited for a person, in ms; undefined if it did not have to. */
  readonly waitedMs: number | undefined;
}

/** What bodies need of their process. */
export interface Surroundings {
  readonly dataset: Dataset;
  readonly log: EffectLog;
  /** Where parsed columns go; results are kept small, as behind any queue. */
  readonly workFolder: string;
  /** Where the reports go. */
  readonly pagesFolder: string;
  /** How long each body dawdles, in ms, as if its data came over a network. On a fast disk a kill would find nothing in flight. */
  readonly paceMs: number;
}

interface ColumnJob {
  readonly run: string;
  readonly column: string;
  readonly path: string;
  readonly saw: readonly string[];
}

export function makePipeline({ dataset, log, workFolder, pagesFolder, paceMs }: Surroundings) {
  // Bodies that wake up together take turns, so that a crowd of them does not keep the event loop, and with it the engine, for long.
  let line: Promise<unknown> = Promise.resolve();
  const turn = (): Promise<unknown> => (line = line.then(() => yieldToLoop()));
  const body = <T>(io: StepContext, info: Pick<BodyInfo, "run" | "kind" | "body" | "saw">, run: () => T): Promise<Made<T>> =>
    log.around({ ...info, key: io.idempotencyKey, attempt: io.attempt }, async () => {
      await pause(paceMs, undefined, { signal: io.signal });
      await turn();
      return run();
    });

  const profile = activity("profile-column", (job: ColumnJob, io) =>
    body(io, { run: job.run, kind: "activity", body: `profile ${job.column}`, saw: job.saw }, () =>
      profileColumn({ name: job.column, cells: JSON.parse(readFileSync(job.path, "utf8")) as Cell[] }),
    ),
  );

  const check = workflow(checkFileName, async (ctx: WorkflowContext, job: Job): Promise<FileResult> => {
    const run = ctx.info.id;
    const { file } = job;

    const loaded = await ctx.step("load", (io) => body(io, { run, kind: "step", body: "load" }, () => load(join(dataset.folder, file))));
    const parsed = await ctx.step("parse", (io) =>
      body(io, { run, kind: "step", body: "parse", saw: [loaded.by] }, () => parse(dataset.folder, file, join(workFolder, file))),
    );
    const profiled = await Promise.all(
      parsed.value.columns.map(({ name, path }) => ctx.activity(profile, { run, column: name, path, saw: [parsed.by] })),
    );
    const profiles = profiled.map(({ value }) => value);
    const before = [loaded.by, parsed.by, ...profiled.map(({ by }) => by)];
    const checked = await ctx.step("check", (io) =>
      body(io, { run, kind: "step", body: "check", saw: before }, () =>
        checkFile({ ...loaded.value, ...parsed.value, profiles }, dataset.declarations.get(file)),
      ),
    );
    const findings = checked.value;

    let verdict: Verdict = "clean";
    let reviewer: string | undefined;
    let waitedMs: number | undefined;
    if (findings.some(({ severity }) => severity === "error")) {
      const askedAt = ctx.now().getTime();
      const review = await ctx.receive(reviewed, { timeout: job.reviewWithinMs, otherwise: "expired" });
      waitedMs = ctx.now().getTime() - askedAt;
      verdict = review === "expired" ? review : review.decision;
      reviewer = review === "expired" ? undefined : review.by;
    }

    await ctx.sleep("1 second");

    const { bytes } = loaded.value;
    const { format, rows, facts } = parsed.value;
    const outcome = { file, format, bytes, rows, facts, profiles, findings, verdict, reviewer, waitedMs };
    const report = await ctx.step("report", (io) =>
      body(io, { run, kind: "step", body: "report", saw: [...before, checked.by] }, () =>
        writeAtomically(join(pagesFolder, `${file}.md`), renderFilePage(outcome, dataset.version)),
      ),
    );
    return { ...outcome, executions: [...before, checked.by, report.by] };
  });

  return { check, profile };
}

/** What `workflowRef` needs of the workflow: a client has no use for its code. */
export type CheckFile = ReturnType<typeof makePipeline>["check"];

function load(path: string): { readonly bytes: number; readonly gitHash: string } {
  const content = readFileSync(path);
  const gitHash = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
  return { bytes: content.length, gitHash };
}

/** Parses the file and puts each column into a file of its own, for the activities: in whatever process they run, and however often. */
function parse(dataFolder: string, file: string, columnsFolder: string) {
  const { columns, ...parsed } = parseFile(file, readFileSync(join(dataFolder, file)));
  mkdirSync(columnsFolder, { recursive: true });
  const paths = columns.map(({ name, cells }, index) => {
    const path = join(columnsFolder, `${index}.json`);
    writeAtomically(path, JSON.stringify(cells));
    return { name, path };
  });
  return { ...parsed, columns: paths };
}

/** A reader sees the old content or the new, even if this process is killed in the middle or another one writes the same file. */
function writeAtomically(path: string, content: string): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, content);
  renameSync(draft, path);
}
