/** One store of a differential test, with what its workers know of it, and its answers in terms that both sides share. */
import {
  isOpen,
  type ClaimedRun,
  type ClaimedTask,
  type Outcome,
  type Payload,
  type RunRecord,
  type Store,
  type WorkerKey,
} from "perdure/backend";
import { hourMs, type Held } from "../../src/testing/conformance/samples.js";
import { runCount, workerCount, type OperationPlan } from "./step-plans.js";

export interface HeldRun extends Held {
  readonly runId: string;
}

type ClaimedBefore = Pick<ClaimedTask, "key" | "epoch" | "runId" | "command" | "attempt"> & { readonly label: string };

export interface Side {
  readonly store: Store;
  /** The time that plans call "later". */
  readonly later: number;
  /** By slot; a worker that crashed or retired is followed by another. */
  readonly workers: { key: WorkerKey; id: string }[];
  /** What the last driver knows of the newest run of each workflow id, and of the one before. */
  readonly held: Map<number, HeldRun>;
  readonly heldBefore: Map<number, HeldRun>;
  /** The run ids of each workflow id, in the order in which they were the newest. */
  readonly runIds: Map<number, string[]>;
  /** The first run of the chain of each run that was ever to be made. */
  readonly chains: Map<string, string>;
  readonly ended: Set<string>;
  readonly runOfKey: Map<number, string>;
  readonly slotOfWorker: Map<WorkerKey, string>;
  /** Every task that was ever claimed. */
  readonly claimedTasks: ClaimedBefore[];
  /** Positions by chain that some turn was to take: a driver takes none twice. */
  readonly taken: Map<string, Set<number>>;
  /** By chain, the last number that bodies have appended, and the offset of the first since their last restart. */
  readonly tails: Map<string, { readonly lastNumber: number; readonly firstOffset: number | null }>;
  workersMade: number;
}

const leaseMs = 1000 * hourMs;

export async function createSide(store: Store, later: number): Promise<Side> {
  const side: Side = {
    store,
    later,
    workers: [],
    held: new Map(),
    heldBefore: new Map(),
    runIds: new Map(),
    chains: new Map(),
    ended: new Set(),
    runOfKey: new Map(),
    slotOfWorker: new Map(),
    claimedTasks: [],
    taken: new Map(),
    tails: new Map(),
    workersMade: 0,
  };
  for (let slot = 0; slot < workerCount; slot += 1) await replaceWorker(side, slot);
  return side;
}

export async function replaceWorker(side: Side, slot: number): Promise<void> {
  const id = `worker ${(side.workersMade += 1)}`;
  const { worker } = await side.store.registerWorker({ workerId: id, leaseMs });
  side.workers[slot] = { key: worker, id };
  side.slotOfWorker.set(worker, id);
}

export const workerOf = (side: Side, slot: number): WorkerKey => side.workers[slot]?.key ?? 0;
export const workflowIdOf = (run: number): string => `workflow ${run}`;
export const runIdOf = (side: Side, run: number, age: number): string => side.runIds.get(run)?.at(-1 - age) ?? "none";
export const chainOf = (side: Side, runId: string): string => side.chains.get(runId) ?? runId;
export const heldOf = (side: Side, run: number): HeldRun =>
  side.held.get(run) ?? { key: 1_000_000 + run, epoch: 1, lastSeq: 0, inboxCount: 0, runId: "none" };
export const taskOfPlan = (side: Side, index: number): ClaimedBefore =>
  side.claimedTasks.at(-1 - index) ?? { key: 1_000_000 + index, epoch: 1, runId: "none", command: 1, attempt: 1, label: "none" };

/** What its driver knows of the newest run of a workflow id; of the one before, that is the last word. */
function hold(side: Side, run: number, held: HeldRun): void {
  const before = side.held.get(run);
  if (before !== undefined && before.runId !== held.runId) {
    side.heldBefore.set(run, before);
    side.ended.add(before.runId);
  }
  side.held.set(run, held);
  side.runOfKey.set(held.key, held.runId);
  const runIds = side.runIds.get(run) ?? [];
  if (!runIds.includes(held.runId)) side.runIds.set(run, [...runIds, held.runId]);
}

// Answers in shared terms: without keys and epochs, which a store may choose, and without the times of its clock.

export const runLabel = (side: Side, key: number): string => side.runOfKey.get(key) ?? "unknown run";
const workerLabel = (side: Side, key: WorkerKey | null): string | null =>
  key === null ? null : (side.slotOfWorker.get(key) ?? "unknown worker");

/** Notes what its driver now knows of a run, and returns what both sides can compare. */
export function noteClaim(side: Side, claimed: ClaimedRun): object {
  const { key, epoch, createdAt: _, ...rest } = claimed;
  const { runId, lastSeq, inboxCount } = rest;
  hold(side, Number(claimed.workflowId.at(-1)), { key, epoch, lastSeq, inboxCount, runId });
  return rest;
}

export function noteTask(side: Side, claimed: ClaimedTask): object {
  const { key, epoch, runKey, dueAt: _, ...rest } = claimed;
  const { runId, command, attempt } = rest;
  side.claimedTasks.push({
    key,
    epoch,
    runId,
    command,
    attempt,
    label: `${runId}, command ${command}, attempt ${attempt}, ${String(rest.input)}`,
  });
  return { ...rest, runKey: runLabel(side, runKey), details: plainPayload(rest.details) };
}

export function noteOutcome(side: Side, plan: OperationPlan, outcome: Outcome): object {
  switch (outcome.status) {
    case "started": {
      if (plan.type !== "start") return { status: "started, but nothing was to be started" };
      // The run itself is learned with the others that came about.
      const isFirst = !side.held.has(plan.run);
      const status = isFirst ? "started" : side.ended.has(heldOf(side, plan.run).runId) ? "started again" : "started instead";
      return { status, owned: outcome.owned, inboxCount: outcome.inboxCount };
    }
    case "exists":
      return { status: isOpen(outcome.run.status) ? "exists" : "exists, ended", run: plainRun(side, outcome.run) };
    case "committed": {
      if (plan.type !== "turn") return { status: "committed, but there was no turn" };
      const held = heldOf(side, plan.run);
      side.held.set(plan.run, { ...held, inboxCount: outcome.inboxCount });
      const { next } = plan.effects;
      if (next.state !== "continued") return outcome;
      const continued = outcome.continued === null ? null : noteClaim(side, outcome.continued);
      return { ...outcome, status: continued === null ? "goes on later" : "goes on", continued };
    }
    case "sent": {
      const { position, claimed } = outcome;
      const run = runLabel(side, outcome.key);
      const along = plan.type === "send" && plan.target.by === "chainOf" && plan.target.age > 0 ? " along the chain" : "";
      return {
        status: `sent${along}`,
        run,
        position,
        claimed: claimed && noteClaim(side, claimed),
        owner: workerLabel(side, outcome.owner),
      };
    }
    case "finished": {
      const { position, claimed } = outcome;
      const run = runLabel(side, outcome.runKey);
      const isDone = plan.type === "finish" && plan.kind === "done";
      const isByCommand = plan.type === "finish" && ("run" in plan.task || plan.task.byCommand);
      const status = `${isDone ? "done" : "finished"}${isByCommand ? " by command" : ""}`;
      return { status, run, position, claimed: claimed && noteClaim(side, claimed), owner: workerLabel(side, outcome.owner) };
    }
    case "touched": {
      const detached = plan.type === "touch" && plan.detaches ? ", detached" : "";
      return { ...outcome, status: `touched${outcome.cancelRequested ? ", to stop" : ""}${detached}` };
    }
    case "terminated":
      return { status: "terminated", runId: outcome.runId };
    default:
      return outcome;
  }
}

/** A run that an eager start gave to a worker, that a chain goes on with, or that a refused turn was built on: what its driver knows is read back. */
export async function learnRuns(side: Side): Promise<void> {
  const found = await side.store.findRuns(Array.from({ length: runCount }, (_, run) => ({ workflowId: workflowIdOf(run) })));
  for (const [index, outcome] of found.entries()) {
    if (outcome === null) continue;
    const { key, epoch, lastSeq, inboxCount, runId, status } = outcome.run;
    const known = side.held.get(index);
    const held = known?.runId === runId ? known : undefined;
    hold(side, index, { key, epoch: held?.epoch ?? epoch, lastSeq, inboxCount: held?.inboxCount ?? inboxCount, runId });
    if (!isOpen(status)) side.ended.add(runId);
  }
}

export const plainPayload = (payload: Payload | null): string | null =>
  payload === null || typeof payload === "string" ? payload : Buffer.from(payload).toString("hex");

export function plainRun(side: Side, run: RunRecord): object {
  const { key: _, epoch: __, createdAt: ___, endedAt, dueAt, ...rest } = run;
  return { ...rest, hasEnded: endedAt !== null, dueAt: dueAt !== null && dueAt <= side.store.now() ? "due" : dueAt };
}
