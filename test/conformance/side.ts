/** One store of a differential test, with what its workers know of it, and its answers in terms that both sides share. */
import type { ClaimedRun, ClaimedTask, Effects, Operation, Outcome, Payload, RunRecord, Store, WorkerKey } from "perdure/backend";
import {
  cancelItem,
  effectsOf,
  finishOf,
  hourMs,
  lineOf,
  messageOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  type Held,
} from "../../src/testing/conformance/samples.js";
import { runCount, runNames, workerCount, type EffectsPlan, type OperationPlan, type TimePlan } from "./step-plans.js";

export interface Side {
  readonly store: Store;
  /** The time that plans call "later". */
  readonly later: number;
  /** By slot; a worker that crashed or retired is followed by another. */
  readonly workers: { key: WorkerKey; id: string }[];
  /** What the last driver of each run knows. */
  readonly held: Map<number, Held>;
  readonly runOfKey: Map<number, string>;
  readonly slotOfWorker: Map<WorkerKey, string>;
  /** Every task that was ever claimed. */
  readonly claimedTasks: { readonly key: number; readonly epoch: number; readonly label: string }[];
  /** Positions by run that some turn was to take: a driver takes none twice. */
  readonly taken: Map<number, Set<number>>;
  workersMade: number;
}

const leaseMs = 1000 * hourMs;

export async function createSide(store: Store, later: number): Promise<Side> {
  const side: Side = {
    store,
    later,
    workers: [],
    held: new Map(),
    runOfKey: new Map(),
    slotOfWorker: new Map(),
    claimedTasks: [],
    taken: new Map(),
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
export const runIdOf = (run: number): string => `run of workflow ${run}`;
export const heldOf = (side: Side, run: number): Held =>
  side.held.get(run) ?? { key: 1_000_000 + run, epoch: 1, lastSeq: 0, inboxCount: 0 };
export const taskOfPlan = (side: Side, index: number): Side["claimedTasks"][number] =>
  side.claimedTasks.at(-1 - index) ?? { key: 1_000_000 + index, epoch: 1, label: "none" };

const timeOf = (side: Side, plan: TimePlan): number | null => (plan === "never" ? null : plan === "past" ? 1 : side.later);

function effectsOfPlan(side: Side, plan: EffectsPlan, held: Held, mark: string): Effects {
  const { next } = plan;
  // The end must have a line; a store may refuse such a batch as a whole, which is not for this test.
  const lines = next.state === "ended" ? Math.max(plan.lines, 1) : plan.lines;
  return effectsOf(
    next.state === "idle"
      ? { state: "idle", dueAt: timeOf(side, next.due) }
      : next.state === "parked"
        ? { state: "parked", dueAt: timeOf(side, next.due), reason: { code: next.code, message: mark } }
        : next,
    {
      events: Array.from({ length: lines }, (_, index) => lineOf(held.lastSeq + 1 + index, { payload: `"${mark} ${index}"` })),
      consumed: plan.consumed.filter((position) => position <= held.inboxCount),
      tasks: plan.tasks.map(({ command, name, delayed }) =>
        taskOf(command, { name, attempt: command, dueAt: delayed ? side.later : 1, input: `"${mark}"` }),
      ),
      withdrawnTasks: plan.withdrawn,
      inboxSeen: plan.sawInbox ? held.inboxCount : 0,
    },
  );
}

/** The plan as an operation of this side. Turns of one batch are made to follow one another, so what is known is advanced at once. */
export function operationOf(side: Side, plan: OperationPlan, mark: string): Operation {
  switch (plan.type) {
    case "start": {
      const runId = plan.again ? `${runIdOf(plan.run)} again` : runIdOf(plan.run);
      const run = sampleRun({ workflowId: workflowIdOf(plan.run), runId, name: runNames[plan.run % runNames.length] ?? "a" });
      const messages = Array.from({ length: plan.messages }, (_, index) => messageOf(`"${mark} ${index}"`));
      const held = { key: 0, epoch: 1, lastSeq: 0, inboxCount: plan.messages };
      const { eagerWorker } = plan;
      // Only a start that makes the run says what its first turn took.
      if (eagerWorker !== null && !side.taken.has(plan.run)) side.taken.set(plan.run, new Set(plan.effects.consumed));
      if (eagerWorker === null) return startOf(run, { messages, dueAt: plan.delayed ? side.later : null });
      const effects = effectsOfPlan(
        side,
        { ...plan.effects, sawInbox: plan.effects.sawInbox || plan.effects.next.state === "ended" },
        held,
        mark,
      );
      return startOf(run, { messages, eager: { worker: workerOf(side, eagerWorker), effects } });
    }
    case "turn": {
      const held = heldOf(side, plan.run);
      const base = { ...held, epoch: held.epoch + plan.epochOffset, lastSeq: Math.max(0, held.lastSeq + plan.seqOffset) };
      const taken = side.taken.get(plan.run) ?? new Set();
      const consumed = plan.effects.consumed.filter((position) => !taken.has(position));
      const effects = effectsOfPlan(side, { ...plan.effects, consumed }, base, mark);
      if (plan.epochOffset === 0 && plan.seqOffset === 0) {
        side.held.set(plan.run, { ...held, lastSeq: held.lastSeq + effects.events.length });
        side.taken.set(plan.run, new Set([...taken, ...effects.consumed]));
      }
      return { type: "turn", key: base.key, epoch: base.epoch, lastSeq: base.lastSeq, effects };
    }
    case "send": {
      const target = plan.byRunId ? { runId: runIdOf(plan.run) } : { workflowId: workflowIdOf(plan.run) };
      const claimFor = plan.claimFor === null ? null : { worker: workerOf(side, plan.claimFor), routes: [runNames[0]] };
      return sendOf(target, `key ${plan.dedupe}`, { item: plan.cancels ? cancelItem : messageOf(`"${mark}"`), claimFor });
    }
    case "finish": {
      const task = taskOfPlan(side, plan.task);
      const claimFor = plan.claimFor === null ? null : { worker: workerOf(side, plan.claimFor), routes: [...runNames] };
      const kind = plan.failed ? "activity_failed" : "activity_completed";
      return finishOf({ key: task.key, epoch: task.epoch + plan.epochOffset }, { kind, payload: `"${mark}"`, claimFor });
    }
    case "resume":
      return { type: "resume", target: { workflowId: workflowIdOf(plan.run) } };
    default:
      return plan satisfies never;
  }
}

// Answers in shared terms: without keys and epochs, which a store may choose, and without the times of its clock.

const runLabel = (side: Side, key: number): string => side.runOfKey.get(key) ?? `unknown run ${key}`;
const workerLabel = (side: Side, key: WorkerKey | null): string | null =>
  key === null ? null : (side.slotOfWorker.get(key) ?? "unknown worker");

/** Notes what its driver now knows of a run, and returns what both sides can compare. */
export function noteClaim(side: Side, claimed: ClaimedRun): object {
  const run = Number(claimed.workflowId.at(-1));
  side.held.set(run, { key: claimed.key, epoch: claimed.epoch, lastSeq: claimed.lastSeq, inboxCount: claimed.inboxCount });
  side.runOfKey.set(claimed.key, claimed.runId);
  const { key: _, epoch: __, createdAt: ___, ...rest } = claimed;
  return rest;
}

export function noteTask(side: Side, claimed: ClaimedTask): object {
  const { key, epoch, runKey, dueAt: _, ...rest } = claimed;
  side.claimedTasks.push({ key, epoch, label: `${rest.runId}, command ${rest.command}, attempt ${rest.attempt}, ${String(rest.input)}` });
  return { ...rest, runKey: runLabel(side, runKey) };
}

export function noteOutcome(side: Side, plan: OperationPlan, outcome: Outcome): object {
  switch (outcome.status) {
    case "started": {
      const run = plan.type === "start" ? plan : undefined;
      if (run === undefined) return { status: "started, but nothing was to be started" };
      side.runOfKey.set(outcome.key, run.again ? `${runIdOf(run.run)} again` : runIdOf(run.run));
      return { status: "started", owned: outcome.owned, inboxCount: outcome.inboxCount };
    }
    case "exists":
      return { status: "exists", run: plainRun(side, outcome.run) };
    case "committed": {
      if (plan.type === "turn") side.held.set(plan.run, { ...heldOf(side, plan.run), inboxCount: outcome.inboxCount });
      return outcome;
    }
    case "sent":
    case "finished": {
      const run = runLabel(side, outcome.status === "sent" ? outcome.key : outcome.runKey);
      const claimed = outcome.claimed === null ? null : noteClaim(side, outcome.claimed);
      return { status: outcome.status, run, position: outcome.position, claimed, owner: workerLabel(side, outcome.owner) };
    }
    default:
      return outcome;
  }
}

/** A run that an eager start gave to a worker, or that a refused turn was built on: what its driver knows is read back from the record. */
export async function learnRuns(side: Side): Promise<void> {
  const found = await side.store.findRuns(Array.from({ length: runCount }, (_, run) => ({ workflowId: workflowIdOf(run) })));
  for (const [index, outcome] of found.entries()) {
    if (outcome === null) continue;
    const { key, epoch, lastSeq, inboxCount } = outcome.run;
    const held = side.held.get(index);
    side.held.set(index, { key, epoch: held?.epoch ?? epoch, lastSeq, inboxCount: held?.inboxCount ?? inboxCount });
  }
}

const plainPayload = (payload: Payload | null): string | null =>
  payload === null || typeof payload === "string" ? payload : Buffer.from(payload).toString("hex");

function plainRun(side: Side, run: RunRecord): object {
  const { key: _, epoch: __, createdAt: ___, endedAt, dueAt, ...rest } = run;
  return { ...rest, hasEnded: endedAt !== null, dueAt: dueAt !== null && dueAt <= side.store.now() ? "due" : dueAt };
}

/** Everything that can be read from a side. */
export async function readSide(side: Side): Promise<object> {
  const targets = Array.from({ length: runCount }, (_, run) => ({ workflowId: workflowIdOf(run) }));
  const found = (await side.store.findRuns(targets)).filter((outcome) => outcome !== null);
  const inboxes = await side.store.loadInboxes(found.map(({ run }) => ({ key: run.key, above: 0 })));
  const histories = await Promise.all(found.map(({ run }) => side.store.loadHistory({ key: run.key, fromSeq: 1, limit: 1000 })));
  const listed = await side.store.listRuns({ limit: 100 });
  const owned = await Promise.all(side.workers.map(({ key }) => side.store.inspectOwned(key)));
  return {
    runs: found.map(({ run, last }, index) => ({
      run: plainRun(side, run),
      last: last?.seq ?? null,
      history: histories[index]?.map((line) => ({ ...line, payload: plainPayload(line.payload) })),
      unread: inboxes[index]?.map((item) => ({ ...item, payload: plainPayload(item.payload) })),
    })),
    listed: listed.map(({ runId }) => runId),
    owned: owned.map(({ runs, tasks }) => ({
      runs: runs.map(({ key, ...rest }) => ({ ...rest, run: runLabel(side, key) })).toSorted((a, b) => (a.run < b.run ? -1 : 1)),
      tasks: tasks
        .map(
          ({ key, cancelRequested }) =>
            `${side.claimedTasks.findLast((task) => task.key === key)?.label ?? "unknown task"} ${cancelRequested}`,
        )
        .toSorted(),
    })),
  };
}
