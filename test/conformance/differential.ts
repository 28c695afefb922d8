/** Any store against the memory store as its model: random steps on both, and after each the answers and everything readable must be the same. */
import { renew } from "../../src/testing/conformance/renew.js";
import assert from "node:assert/strict";
import fc from "fast-check";
import { isOpen, type ClaimedRun, type ClaimedTask, type Store } from "perdure/backend";
import { createMemoryState, type MemoryState, type RunRow, type TaskRow } from "../../src/backends/memory/state.js";
import { memoryOn } from "../../src/backends/memory/memory.js";
import { systemRuntime } from "../../src/platform/runtime.js";
import { checkMemoryState } from "./check-memory-state.js";
import type { ConformanceTarget } from "../../src/testing/conformance/index.js";
import { hourMs } from "../../src/testing/conformance/samples.js";
import { operationOf } from "./plan-operations.js";
import { readAll, readSide } from "./read-side.js";
import { createSide, heldOf, learnRuns, noteClaim, noteOutcome, noteTask, replaceWorker, taskOfPlan, workerOf, type Side } from "./side.js";
import { runCount, runRoutes, stepPlans, taskRoutes, type OperationPlan, type StepPlan } from "./step-plans.js";

export interface DifferentialOptions {
  readonly create: () => Promise<ConformanceTarget>;
  /** How many random programs. */
  readonly programs: number;
  /** At most how many steps each. Default 40. */
  readonly maxSteps?: number;
  /** For repeating a failure. */
  readonly seed?: number;
}

/** Compares a store with the model; returns how often each outcome came up, so that a test can demand that all of them did. */
export async function compareWithModel(options: DifferentialOptions): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>();
  const property = fc.asyncProperty(stepPlans(options.maxSteps ?? 40), (steps) => runProgram(options.create, steps, seen));
  await fc.assert(property, { numRuns: options.programs, ...(options.seed !== undefined && { seed: options.seed }) });
  return seen;
}

/** What a comparison must have come across to mean anything. */
export const everyKind: readonly string[] = [
  "started",
  "started, owned",
  "started again",
  "started again, owned",
  "started instead",
  "started instead, owned",
  "exists",
  "exists, ended",
  "committed",
  "committed, owned",
  "goes on",
  "goes on later",
  "fenced",
  "unseen_inbox",
  "sent",
  "sent, claimed",
  "sent along the chain",
  "duplicate",
  "not_running",
  "not_found",
  "finished",
  "finished, claimed",
  "finished by command",
  "finished by command, claimed",
  "done",
  "done by command",
  "gone",
  "touched",
  "touched, to stop",
  "touched, detached",
  "appended",
  "terminated",
  "resumed",
  "not_parked",
  "claimed run",
  "claimed suspect",
  "claimed task",
  "claimed task of an ended run",
  "reclaimed",
  "recovered",
  "retried",
  "expired queued",
  "expired heartbeat",
  "expired detached",
  "expired of an ended run",
];

const kindOf = (answer: { readonly status?: string; readonly owned?: boolean; readonly claimed?: object | null }): string =>
  `${answer.status ?? ""}${answer.owned === true ? ", owned" : ""}${answer.claimed ? ", claimed" : ""}`;

interface World {
  readonly target: ConformanceTarget;
  readonly state: MemoryState;
  readonly sides: readonly [model: Side, subject: Side];
}

async function runProgram(create: () => Promise<ConformanceTarget>, steps: readonly StepPlan[], seen: Map<string, number>): Promise<void> {
  const target = await create();
  const runtime = target.runtime ?? systemRuntime();
  const subject: Store = await target.backend.open(runtime);
  const state = createMemoryState();
  // One clock for both, so that what is due on one side is due on the other.
  const model: Store = await memoryOn(state, { now: () => subject.now() }).open(runtime);
  const later = subject.now() + hourMs;
  try {
    const world: World = { target, state, sides: [await createSide(model, later), await createSide(subject, later)] };
    for (const [index, step] of steps.entries()) {
      const adapted = adapt(world, step, seen);
      const [expected, actual] = await onBoth(world, (side) => takeStep(world, side, adapted, `step ${index}`));
      assert.deepEqual(actual, expected, `the answers to step ${index} differ`);
      for (const kind of expected.map(kindOf)) seen.set(kind, (seen.get(kind) ?? 0) + 1);
      await onBoth(world, learnRuns);
      checkMemoryState(state);
      const [modelData, subjectData] = await onBoth(world, readSide);
      assert.deepEqual(subjectData, modelData, `the data differ after step ${index}`);
      if (step.type === "advance") await target.advance?.(2 * hourMs);
    }
    const [modelData, subjectData] = await onBoth(world, readAll);
    assert.deepEqual(subjectData, modelData, "the data differ in the end");
  } finally {
    await subject.close();
    await model.close();
    await target.dispose();
  }
}

async function onBoth<Result>({ sides }: World, work: (side: Side) => Promise<Result>): Promise<readonly [Result, Result]> {
  // One after the other: the model's clock is the subject's.
  return [await work(sides[0]), await work(sides[1])];
}

/** Which of several suspects is claimed, and which of several tasks of a run expires first, is the store's choice, so no step leaves it one. */
function adapt({ state, sides: [model] }: World, step: StepPlan, seen: Map<string, number>): StepPlan {
  const now = model.store.now();
  if (step.type === "expire") {
    const overdue = [...state.expiringTasks].filter(({ expiresAt }) => expiresAt !== null && expiresAt <= now + briefMs);
    if (new Set(overdue.map(({ runKey }) => runKey)).size < overdue.length) return { type: "apply", operations: [] };
    for (const kind of overdue.map((task) => expiryOf(state, task))) seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  if (step.type !== "claim_runs" && step.type !== "crash" && step.type !== "drive") return step;
  const routes: readonly string[] = step.type === "claim_runs" ? step.routes : runRoutes;
  const isDueSuspect = ({ owner, crashCount, dueAt, route }: RunRow): boolean =>
    owner === null && crashCount >= 2 && dueAt !== null && dueAt <= now && routes.includes(route);
  return [...state.runs.values()].filter(isDueSuspect).length > 1 ? { ...step, suspects: 0 } : step;
}

function expiryOf(state: MemoryState, { runKey, isDetached, owner }: TaskRow): string {
  const run = state.runs.get(runKey);
  if (run !== undefined && !isOpen(run.status)) return "expired of an ended run";
  return isDetached ? "expired detached" : owner === null ? "expired queued" : "expired heartbeat";
}

/** Takes the step on one side; the answers name the status under which they are counted. */
async function takeStep(world: World, side: Side, step: StepPlan, mark: string): Promise<readonly object[]> {
  const { store } = side;
  switch (step.type) {
    case "apply":
      return applyPlans(side, step.operations, mark);
    case "begin": {
      const { worker: eagerWorker, reuse, effects } = step;
      const options = { round: mark, terminates: false, parent: null, delayed: false, messages: 1, attributes: [] } as const;
      const starts = Array.from({ length: runCount }, (_, run) => ({
        type: "start" as const,
        run,
        reuse,
        eagerWorker,
        effects,
        ...options,
      }));
      return applyPlans(side, starts, mark);
    }
    case "drive": {
      const claimed = await claimRuns(side, step.worker, runRoutes, step.suspects);
      const owned = new Set((await store.inspectOwned(workerOf(side, step.worker))).runs.map(({ key }) => key));
      const driven = Array.from({ length: runCount }, (_, run) => run).filter((run) => owned.has(heldOf(side, run).key));
      const turns = driven.map((run) => ({
        type: "turn" as const,
        run,
        isOutdated: false,
        epochOffset: 0,
        seqOffset: 0,
        effects: step.effects,
      }));
      return [...claimed, ...(await applyPlans(side, turns, mark))];
    }
    case "work": {
      const claimed = await claimTasks(side, step.worker, taskRoutes);
      const { kind, byCommand, claimFor } = step;
      // The one claimed last is number 0.
      const plans = Array.from({ length: claimed.length - 1 }, (_, task): OperationPlan => {
        if (kind === "detach" || kind === "touch") return { type: "touch", task, epochOffset: 0, tells: true, detaches: kind === "detach" };
        return { type: "finish", task: { claimed: task, byCommand, offset: 0 }, kind, claimFor };
      });
      return [...claimed, ...(await applyPlans(side, plans, mark))];
    }
    case "claim_runs":
      return claimRuns(side, step.worker, step.routes, step.suspects);
    case "claim_tasks":
      return claimTasks(side, step.worker, step.routes);
    case "reclaim": {
      const held = heldOf(side, step.run);
      const claimed = await store.reclaimRun({ worker: workerOf(side, step.worker), key: held.key, epoch: held.epoch + step.epochOffset });
      return [claimed === null ? { status: "not reclaimed" } : { status: "reclaimed", run: noteClaim(side, claimed) }];
    }
    case "release": {
      const runs = step.runs.map((run) => heldOf(side, run).key);
      const tasks = step.tasks.map((index) => taskOfPlan(side, index).key);
      await store.release({ worker: workerOf(side, step.worker), runs, tasks });
      return [{ status: "released" }];
    }
    case "retire":
      await store.retireWorker(workerOf(side, step.worker));
      await replaceWorker(side, step.worker);
      return [{ status: "retired" }];
    case "crash": {
      const claimed = await claimRuns(side, step.worker, runRoutes, step.suspects);
      assert.ok(await renew(store, workerOf(side, step.worker), 1));
      await letPass(world, store);
      await replaceWorker(side, step.worker);
      return [...claimed, ...(step.isNoticed ? [{ status: "recovered", ...(await store.recover(null)) }] : [])];
    }
    case "recover":
      return [{ status: "recovered", ...(await store.recover(workerOf(side, 0))) }];
    case "expire":
      // By then every short heartbeat is over.
      await letPass(world, store);
      return [{ status: "tasks expired", count: await store.expireTasks() }];
    case "retry_parked":
      return [{ status: "retried", count: await store.retryParked(step.routes) }];
    case "advance":
      return [];
    default:
      return step satisfies never;
  }
}

async function applyPlans(side: Side, plans: readonly OperationPlan[], mark: string): Promise<readonly object[]> {
  const outcomes = await side.store.apply(plans.map((plan, index) => operationOf(side, plan, `${mark}.${index}`)));
  return plans.map((plan, index) => noteOutcome(side, plan, outcomes[index] ?? { status: "gone" }));
}

async function claimRuns(side: Side, worker: number, routes: readonly string[], suspects: number): Promise<readonly object[]> {
  const { runs, nextDueAt } = await side.store.claimRuns({ worker: workerOf(side, worker), routes, limit: 1000, suspects });
  const read = runs.map(async (run) => ({ ...run, mail: run.mail ?? (await side.store.loadInboxes([{ key: run.key, above: 0 }]))[0] }));
  const sorted = (await Promise.all(read)).toSorted((a, b) => (a.runId < b.runId ? -1 : 1));
  const statusOf = ({ crashCount }: ClaimedRun): string => (crashCount >= 2 ? "claimed suspect" : "claimed run");
  return [{ status: "runs", nextDueAt }, ...sorted.map((run) => ({ status: statusOf(run), run: noteClaim(side, run) }))];
}

async function claimTasks(side: Side, worker: number, routes: readonly string[]): Promise<readonly object[]> {
  const { tasks, nextDueAt } = await side.store.claimTasks({ worker: workerOf(side, worker), routes, limit: 1000 });
  const sorted = tasks.toSorted((a, b) => (a.runId === b.runId ? a.command - b.command : a.runId < b.runId ? -1 : 1));
  const statusOf = ({ runId }: ClaimedTask): string => (side.ended.has(runId) ? "claimed task of an ended run" : "claimed task");
  return [{ status: "tasks", nextDueAt }, ...sorted.map((task) => ({ status: statusOf(task), task: noteTask(side, task) }))];
}

/** Longer than a lease, or a heartbeat, of one millisecond. */
const briefMs = 2;

async function letPass({ target }: World, store: Store): Promise<void> {
  const end = store.now() + briefMs;
  await target.advance?.(briefMs);
  const system = systemRuntime();
  while (store.now() < end) await new Promise<void>((resolve) => void system.setTimer(resolve, 1, { keepAlive: true }));
}
