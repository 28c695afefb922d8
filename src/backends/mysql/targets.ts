/** Which rows do operations mean? Found out by a read of its own, so that the rows can then be locked in the order of their keys. */
import type { RunKey, RunTarget, TaskKey } from "../../backend/index.js";
import type { Batch, Wanted } from "./batch.js";
import type { Work } from "./lanes.js";
import type { Tables } from "./schema.js";
import type { Row } from "./session.js";
import { hexOf, idKey, keyLiteral, numberOf, pieces } from "./sql.js";
import { statementPlan } from "./statement-plan.js";

/** The run that a target means, as far as the batch knows. */
export function keyOfTarget({ runByWorkflow, runByRunId, chainTips, followers }: Batch, target: RunTarget): RunKey | undefined {
  if ("workflowId" in target) return runByWorkflow.get(idKey(target.workflowId));
  if ("runId" in target) return runByRunId.get(idKey(target.runId));
  let key = chainTips.get(idKey(target.chainOf)) ?? runByRunId.get(idKey(target.chainOf));
  for (let next = key; next !== undefined; next = followers.get(next)) key = next;
  return key;
}

/** Notes what is found in the batch; returns the runs of the tasks. */
export async function resolveTargets(
  work: Work,
  tables: Tables,
  batch: Batch,
  { targets, tasks, attempts }: Pick<Wanted, "targets" | "tasks" | "attempts">,
): Promise<ReadonlyMap<TaskKey, RunKey>> {
  const taskRuns = new Map<TaskKey, RunKey>();
  if (targets.length + tasks.size + attempts.length === 0) return taskRuns;
  const plan = statementPlan();
  const { workflowKeys, runKeys, chainKeys } = keyLiterals([...targets, ...attempts]);
  for (const keys of pieces(workflowKeys)) plan.look(workflowStatement(tables, keys), (rows) => noteRuns(batch, rows));
  for (const keys of pieces(runKeys)) plan.look(runStatement(tables, keys), (rows) => noteRuns(batch, rows));
  for (const keys of pieces(chainKeys)) plan.look(chainStatement(tables, keys), (rows) => noteTips(batch, rows));
  for (const keys of pieces([...tasks])) {
    plan.look(`SELECT id, run FROM ${tables.task} WHERE id IN (${keys.join(",")})`, (rows) => {
      for (const [key, run] of rows) taskRuns.set(numberOf(key), numberOf(run));
    });
  }
  await plan.run(work);
  return taskRuns;
}

/** The ids that targets go by, as literals, each once. */
export function keyLiterals(targets: readonly RunTarget[]): {
  readonly workflowKeys: readonly string[];
  readonly runKeys: readonly string[];
  readonly chainKeys: readonly string[];
} {
  const workflowKeys = new Set<string>();
  const runKeys = new Set<string>();
  const chainKeys = new Set<string>();
  for (const target of targets) {
    if ("workflowId" in target) workflowKeys.add(keyLiteral(target.workflowId));
    else if ("runId" in target) runKeys.add(keyLiteral(target.runId));
    else chainKeys.add(keyLiteral(target.chainOf));
  }
  return { workflowKeys: [...workflowKeys], runKeys: [...runKeys], chainKeys: [...chainKeys] };
}

const workflowStatement = ({ fact, run }: Tables, keys: readonly string[]): string =>
  `SELECT f.id, f.workflow_key, f.run_key, r.chain FROM ${fact} f FORCE INDEX (by_workflow) JOIN ${run} r ON r.id=f.id WHERE f.workflow_key IN (${keys.join(",")}) AND f.superseded=0`;

const runStatement = ({ fact, run }: Tables, keys: readonly string[]): string =>
  `SELECT f.id, NULL, f.run_key, r.chain FROM ${fact} f FORCE INDEX (by_run) JOIN ${run} r ON r.id=f.id WHERE f.run_key IN (${keys.join(",")})`;

/** For each run of these ids: the newest run of its chain. */
export const chainStatement = ({ fact, run, follower }: Tables, keys: readonly string[]): string =>
  `SELECT r.chain, f.run_key, COALESCE((SELECT n.run FROM ${follower} n WHERE n.chain=r.chain ORDER BY n.run DESC LIMIT 1),r.chain) AS tip
FROM ${fact} f FORCE INDEX (by_run) STRAIGHT_JOIN ${run} r ON r.id=f.id WHERE f.run_key IN (${keys.join(",")})`;

function noteRuns({ runByWorkflow, runByRunId, chains }: Batch, rows: readonly Row[]): void {
  for (const [id, workflowKey, runKey, chain] of rows) {
    const key = numberOf(id);
    chains.set(key, numberOf(chain));
    runByRunId.set(hexOf(runKey), key);
    // Where one look is newer than the other: later runs have larger keys.
    if (workflowKey !== null) runByWorkflow.set(hexOf(workflowKey), Math.max(key, runByWorkflow.get(hexOf(workflowKey)) ?? 0));
  }
}

function noteTips({ chainTips, chains }: Batch, rows: readonly Row[]): void {
  for (const [chain, runKey, tip] of rows) {
    const key = Math.max(numberOf(tip), chainTips.get(hexOf(runKey)) ?? 0);
    chains.set(key, numberOf(chain));
    chainTips.set(hexOf(runKey), key);
  }
}
