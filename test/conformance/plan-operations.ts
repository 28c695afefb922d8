/** Plans as operations of one side: with its keys, and with what its workers know. */
import type {
  Attribute,
  ClaimFor,
  Effects,
  InboxItem,
  NewChunk,
  NewTask,
  NextState,
  Operation,
  RunTarget,
  TaskTarget,
} from "perdure/backend";
import {
  appendOf,
  cancelItem,
  chunkOf,
  continued,
  effectsOf,
  hourMs,
  lineOf,
  messageOf,
  sampleRun,
  sendOf,
  startOf,
  taskOf,
  terminateOf,
  terminationOf,
  touchOf,
} from "../../src/testing/conformance/samples.js";
import { chainOf, heldOf, runIdOf, taskOfPlan, workerOf, workflowIdOf, type HeldRun, type Side } from "./side.js";
import {
  attributeNames,
  attributeValues,
  bodyWriter,
  entryNames,
  runRoutes,
  streams,
  taskRoutes,
  type AttributePlan,
  type EffectsPlan,
  type FinishedPlan,
  type NextPlan,
  type OperationPlan,
  type TargetPlan,
  type TaskPlan,
  type TimePlan,
} from "./step-plans.js";

type PlanOf<Type extends OperationPlan["type"]> = Extract<OperationPlan, { readonly type: Type }>;

/** The plan as an operation. Turns of one batch are made to follow one another, so what is known is advanced at once. */
export function operationOf(side: Side, plan: OperationPlan, mark: string): Operation {
  switch (plan.type) {
    case "start":
      return startOfPlan(side, plan, mark);
    case "turn":
      return turnOfPlan(side, plan, mark);
    case "send": {
      const claimFor = claimForOf(side, plan.claimFor, [runRoutes[0]]);
      return sendOf(targetOf(side, plan.target), `key ${plan.dedupe}`, { item: itemOf(plan.item, mark), claimFor });
    }
    case "finish": {
      const claimFor = claimForOf(side, plan.claimFor, runRoutes);
      return { type: "finish_task", task: finishedOf(side, plan.task), kind: plan.kind, payload: `"${mark}"`, claimFor };
    }
    case "touch": {
      const { key, epoch } = taskOfPlan(side, plan.task);
      const details = plan.tells ? `"${mark}"` : null;
      return touchOf({ key, epoch: epoch + plan.epochOffset }, { details, detach: plan.detaches });
    }
    case "append":
      return appendOfPlan(side, plan, mark);
    case "terminate":
      return terminateOf(targetOf(side, plan.target), { payload: `"${mark}"`, tasks: leftTasks(plan.leaves, mark) });
    case "resume":
      return { type: "resume", target: targetOf(side, plan.target) };
    default:
      return plan satisfies never;
  }
}

function startOfPlan(side: Side, plan: PlanOf<"start">, mark: string): Operation {
  const runId = `run ${plan.round} of workflow ${plan.run}`;
  const run = sampleRun({
    workflowId: workflowIdOf(plan.run),
    runId,
    name: `workflow of ${plan.run % 2}`,
    route: routeOf(plan.run),
    parentRunId: plan.parent === null ? null : `run 0 of workflow ${plan.parent}`,
    options: plan.delayed ? `{"of":"${mark}"}` : null,
  });
  const options = {
    messages: Array.from({ length: plan.messages }, (_, index) => messageOf(`"${mark} ${index}"`)),
    reuse: plan.reuse,
    terminates: plan.terminates ? terminationOf({ payload: `"${mark}"`, tasks: leftTasks(plan.delayed, mark) }) : null,
    attributes: plan.attributes.map(attributeOf),
  };
  const { eagerWorker } = plan;
  if (eagerWorker === null) return startOf(run, { ...options, dueAt: plan.delayed ? side.later : null });
  take(side, runId, plan.effects.consumed);
  const held = { key: 0, epoch: 1, lastSeq: 0, inboxCount: plan.messages, runId };
  // A start cannot let its run go on, and must have seen all of its messages to end it.
  const next: NextPlan = plan.effects.next.state === "continued" ? { state: "driving" } : plan.effects.next;
  const effects = { ...plan.effects, next, sawInbox: plan.effects.sawInbox || next.state === "ended" };
  return startOf(run, {
    ...options,
    eager: { worker: workerOf(side, eagerWorker), effects: effectsOfPlan(side, { run: plan.run, held, effects, mark }) },
  });
}

function turnOfPlan(side: Side, plan: PlanOf<"turn">, mark: string): Operation {
  const held = (plan.isOutdated ? side.heldBefore.get(plan.run) : undefined) ?? heldOf(side, plan.run);
  const base = { ...held, epoch: held.epoch + plan.epochOffset, lastSeq: Math.max(0, held.lastSeq + plan.seqOffset) };
  const taken = side.taken.get(chainOf(side, held.runId)) ?? new Set();
  const consumed = plan.effects.consumed.filter((position) => !taken.has(position));
  const effects = effectsOfPlan(side, { run: plan.run, held: base, effects: { ...plan.effects, consumed }, mark });
  if (plan.epochOffset === 0 && plan.seqOffset === 0 && held === side.held.get(plan.run)) {
    side.held.set(plan.run, { ...held, lastSeq: held.lastSeq + effects.events.length });
    take(side, held.runId, effects.consumed);
  }
  return { type: "turn", key: base.key, epoch: base.epoch, lastSeq: base.lastSeq, effects };
}

function appendOfPlan(side: Side, plan: PlanOf<"append">, mark: string): Operation {
  const held = "run" in plan.on ? heldOf(side, plan.on.run) : taskOfPlan(side, plan.on.task);
  const tail = side.tails.get(chainOf(side, held.runId)) ?? { lastNumber: 0, firstOffset: null };
  const from = Math.max(1, tail.lastNumber + 1 - plan.repeats);
  const chunks: readonly NewChunk[] = plan.restarts.map((restarts, index) =>
    restarts
      ? chunkOf(bodyWriter, from + index, null, { restartAt: tail.firstOffset ?? 0 })
      : chunkOf(bodyWriter, from + index, `"${mark} ${index}"`),
  );
  const epoch = held.epoch + plan.epochOffset;
  return appendOf("run" in plan.on ? { run: held.key, epoch } : { task: held.key, epoch }, chunks);
}

function effectsOfPlan(
  side: Side,
  {
    run,
    held,
    effects: plan,
    mark,
  }: { readonly run: number; readonly held: HeldRun; readonly effects: EffectsPlan; readonly mark: string },
): Effects {
  // What ends a run must have a line; a store may refuse such a batch as a whole, which is not for this test.
  const ends = plan.next.state === "ended" || plan.next.state === "continued";
  return effectsOf(nextOf(side, { run, held, next: plan.next, mark }), {
    events: Array.from({ length: ends ? Math.max(plan.lines, 1) : plan.lines }, (_, index) =>
      lineOf(held.lastSeq + 1 + index, { payload: `"${mark} ${index}"` }),
    ),
    consumed: plan.consumed.filter((position) => position <= held.inboxCount),
    tasks: plan.tasks.map((task) => taskOfTaskPlan(side, task, mark)),
    withdrawnTasks: plan.withdrawn,
    cancelledTasks: plan.cancelled,
    entries: plan.entries.map((name, index) => ({ name: entryNames[name] ?? "state", payload: `"${mark} ${index}"` })),
    chunks: plan.chunks.map((stream, index) => chunkOf("", 0, `"${mark} ${index}"`, { stream: streams[stream] ?? "log" })),
    attributes: plan.attributes.map(attributeOf),
    inboxSeen: plan.sawInbox ? held.inboxCount : 0,
  });
}

function nextOf(
  side: Side,
  { run, held, next, mark }: { readonly run: number; readonly held: HeldRun; readonly next: NextPlan; readonly mark: string },
): NextState {
  switch (next.state) {
    case "driving":
    case "ended":
      return next;
    case "idle":
      return { state: "idle", dueAt: timeOf(side, next.due) };
    case "parked":
      return { state: "parked", dueAt: timeOf(side, next.due), reason: { code: next.code, message: mark } };
    case "continued": {
      const runId = `run from ${mark}`;
      side.chains.set(runId, chainOf(side, held.runId));
      const goesOn = sampleRun({
        workflowId: workflowIdOf(run),
        runId,
        name: `workflow of ${run % 2}`,
        route: routeOf(next.route),
        version: mark,
      });
      return continued(goesOn, timeOf(side, next.due), `"${mark}"`);
    }
    default:
      return next satisfies never;
  }
}

const shortMs = 1;

function taskOfTaskPlan(side: Side, { command, route, delayed, expires, heartbeat }: TaskPlan, mark: string): NewTask {
  return taskOf(command, {
    name: `task of ${mark}`,
    route: taskRoutes[route] ?? taskRoutes[0],
    attempt: command,
    dueAt: delayed ? side.later : 1,
    input: `"${mark}"`,
    expiresAt: timeOf(side, expires),
    heartbeatMs: heartbeat === "none" ? null : heartbeat === "short" ? shortMs : hourMs,
    details: delayed ? `"before ${mark}"` : null,
  });
}

const leftTasks = (leaves: boolean, mark: string): readonly NewTask[] =>
  leaves ? [taskOf(2, { route: taskRoutes[0], attempt: 2, input: `"left by ${mark}"` })] : [];

const timeOf = (side: Side, plan: TimePlan): number | null => (plan === "never" ? null : plan === "past" ? 1 : side.later);
const routeOf = (index: number): string => runRoutes[index % runRoutes.length] ?? runRoutes[0];

const attributeOf = ({ name, value }: AttributePlan): Attribute => ({
  name: attributeNames[name] ?? "tier",
  value: value === null ? null : (attributeValues[value] ?? null),
});

const claimForOf = (side: Side, worker: number | null, routes: readonly string[]): ClaimFor | null =>
  worker === null ? null : { worker: workerOf(side, worker), routes };

function targetOf(side: Side, { by, run, age }: TargetPlan): RunTarget {
  if (by === "workflowId") return { workflowId: workflowIdOf(run) };
  const runId = runIdOf(side, run, age);
  return by === "runId" ? { runId } : { chainOf: runId };
}

function itemOf(plan: PlanOf<"send">["item"], mark: string): InboxItem {
  const message = messageOf(`"${mark}"`);
  switch (plan) {
    case "message":
      return message;
    case "cancel":
      return cancelItem;
    case "update":
      return { ...message, kind: "update", options: `{"id":"${mark}"}` };
    case "outcome of a command":
      return { ...message, kind: "activity_completed", command: 3, attempt: 1 };
    default:
      return plan satisfies never;
  }
}

function finishedOf(side: Side, plan: FinishedPlan): TaskTarget {
  if ("run" in plan) return { runId: runIdOf(side, plan.run, plan.age), command: plan.command, attempt: plan.command + plan.offset };
  const { key, epoch, runId, command, attempt } = taskOfPlan(side, plan.claimed);
  return plan.byCommand ? { runId, command, attempt: attempt + plan.offset } : { key, epoch: epoch + plan.offset };
}

function take(side: Side, runId: string, positions: readonly number[]): void {
  const chain = chainOf(side, runId);
  side.taken.set(chain, new Set([...(side.taken.get(chain) ?? []), ...positions]));
}
