/** What a differential test does, as data: small numbers that each side translates into its own keys and epochs, so that fast-check can shrink it. */
import fc from "fast-check";
import type { EndedStatus, ParkReason, StartOperation } from "perdure/backend";

export const runCount = 3;
export const workerCount = 3;
export const runRoutes = ["to a", "to b"] as const;
export const taskRoutes = ["to charge", "to mail"] as const;
export const entryNames = ["state", "answer"] as const;
export const attributeNames = ["tier", "Tier"] as const;
export const attributeValues = ["gold", "tin"] as const;
/** Bodies append to the first stream only, under this name. */
export const streams = ["log", "other"] as const;
export const bodyWriter = "7";

/** Times are "past" or "later" than anything that happens in a test; `advance` brings "later" about. */
export type TimePlan = "never" | "past" | "later";

export type NextPlan =
  | { readonly state: "driving" }
  | { readonly state: "idle"; readonly due: TimePlan }
  | { readonly state: "parked"; readonly due: TimePlan; readonly code: ParkReason["code"] }
  | { readonly state: "ended"; readonly status: Exclude<EndedStatus, "continued"> }
  /** `due`: never is at once, with the same worker. */
  | { readonly state: "continued"; readonly due: TimePlan; readonly route: number };

export interface TaskPlan {
  readonly command: number;
  readonly route: number;
  readonly delayed: boolean;
  readonly expires: TimePlan;
  /** Short is over whenever tasks are let expire, long when `advance` has come in between. */
  readonly heartbeat: "none" | "short" | "long";
}

export interface AttributePlan {
  readonly name: number;
  /** An index of `attributeValues`; null removes the attribute. */
  readonly value: number | null;
}

export interface EffectsPlan {
  readonly lines: number;
  readonly consumed: readonly number[];
  readonly tasks: readonly TaskPlan[];
  readonly withdrawn: readonly number[];
  readonly cancelled: readonly number[];
  readonly entries: readonly number[];
  /** Indexes of `streams`. */
  readonly chunks: readonly number[];
  readonly attributes: readonly AttributePlan[];
  /** Has the driver seen the inbox as it was when it last heard of it, or nothing? */
  readonly sawInbox: boolean;
  readonly next: NextPlan;
}

/** A run of a workflow id: its newest, or the one that came `age` before it in a side's book. */
export interface TargetPlan {
  readonly by: "workflowId" | "runId" | "chainOf";
  readonly run: number;
  readonly age: number;
}

/** The task that was claimed so many claims ago, by its claim or by what it is for; or that of a command, claimed or not. */
export type FinishedPlan =
  | { readonly claimed: number; readonly byCommand: boolean; readonly offset: number }
  | { readonly run: number; readonly age: number; readonly command: number; readonly offset: number };

export type OperationPlan =
  | {
      readonly type: "start";
      readonly run: number;
      /** Which of the run ids that starts of this workflow id use: a second start with one is the same start sent again. */
      readonly round: number | string;
      readonly reuse: StartOperation["reuse"];
      readonly terminates: boolean;
      /** The workflow whose first run is the parent; null for none. */
      readonly parent: number | null;
      readonly delayed: boolean;
      readonly messages: number;
      readonly attributes: readonly AttributePlan[];
      readonly eagerWorker: number | null;
      readonly effects: EffectsPlan;
    }
  | {
      readonly type: "turn";
      readonly run: number;
      /** By the driver of the run that was the newest before this one? */
      readonly isOutdated: boolean;
      readonly epochOffset: number;
      readonly seqOffset: number;
      readonly effects: EffectsPlan;
    }
  | {
      readonly type: "send";
      readonly target: TargetPlan;
      readonly item: "message" | "update" | "cancel" | "outcome of a command";
      readonly dedupe: number;
      readonly claimFor: number | null;
    }
  | {
      readonly type: "finish";
      readonly task: FinishedPlan;
      readonly kind: "activity_completed" | "activity_failed" | "done";
      readonly claimFor: number | null;
    }
  | {
      readonly type: "touch";
      readonly task: number;
      readonly epochOffset: number;
      readonly tells: boolean;
      readonly detaches: boolean;
    }
  | {
      readonly type: "append";
      readonly on: { readonly run: number } | { readonly task: number };
      readonly epochOffset: number;
      /** Begins with this many that were appended already. */
      readonly repeats: number;
      /** Which chunks are marks that the writer begins again. */
      readonly restarts: readonly boolean[];
    }
  | { readonly type: "terminate"; readonly target: TargetPlan; readonly leaves: boolean }
  | { readonly type: "resume"; readonly target: TargetPlan };

export type StepPlan =
  | { readonly type: "apply"; readonly operations: readonly OperationPlan[] }
  | { readonly type: "claim_runs"; readonly worker: number; readonly routes: readonly string[]; readonly suspects: number }
  | { readonly type: "claim_tasks"; readonly worker: number; readonly routes: readonly string[] }
  /** Starts every workflow id anew that is free for this policy. */
  | { readonly type: "begin"; readonly worker: number | null; readonly reuse: StartOperation["reuse"]; readonly effects: EffectsPlan }
  /** Claims what it can, and takes one turn with every run that the worker drives. */
  | { readonly type: "drive"; readonly worker: number; readonly suspects: number; readonly effects: EffectsPlan }
  /** Claims all tasks, and finishes or detaches them, or says that they go on. */
  | {
      readonly type: "work";
      readonly worker: number;
      readonly kind: "activity_completed" | "activity_failed" | "done" | "detach" | "touch";
      readonly byCommand: boolean;
      readonly claimFor: number | null;
    }
  | { readonly type: "reclaim"; readonly worker: number; readonly run: number; readonly epochOffset: number }
  | { readonly type: "release"; readonly worker: number; readonly runs: readonly number[]; readonly tasks: readonly number[] }
  | { readonly type: "retire"; readonly worker: number }
  /** The worker claims all it can, its lease runs out, and (perhaps) its peers recover. */
  | { readonly type: "crash"; readonly worker: number; readonly suspects: number; readonly isNoticed: boolean }
  | { readonly type: "recover" }
  | { readonly type: "expire" }
  | { readonly type: "retry_parked"; readonly routes: readonly string[] }
  | { readonly type: "advance" };

type Weighted<Plan> = fc.MaybeWeightedArbitrary<Plan>[];

const run = fc.nat(runCount - 1);
const worker = fc.nat(workerCount - 1);
const routes = fc.subarray([...runRoutes], { minLength: 1 });
const command = fc.integer({ min: 1, max: 3 });
const due = fc.constantFrom<TimePlan>("never", "past", "past", "past", "past", "later");
/** Mostly right, sometimes off by one. */
const offset = fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.constantFrom(-1, 1));
const maybeWorker = fc.option(worker, { nil: null, freq: 2 });
const outcomeKind = fc.constantFrom(
  "activity_completed" as const,
  "activity_completed" as const,
  "activity_failed" as const,
  "done" as const,
);
/** Mostly nothing: most turns have few kinds of effects. */
const seldom = (index: number): fc.Arbitrary<readonly number[]> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(fc.nat(index), { maxLength: 2 }));

const next = fc.oneof<Weighted<NextPlan>>(
  { weight: 8, arbitrary: fc.constant({ state: "driving" }) },
  { weight: 6, arbitrary: fc.record({ state: fc.constant("idle"), due }) },
  {
    weight: 2,
    arbitrary: fc.record({ state: fc.constant("parked"), due, code: fc.constantFrom("nondeterminism", "poisoned", "undecodable") }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      state: fc.constant("ended"),
      status: fc.constantFrom("completed", "completed", "failed", "cancelled", "terminated"),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      state: fc.constant("continued"),
      due: fc.constantFrom("never", "never", "never", "past", "later"),
      route: fc.nat(1),
    }),
  },
);

const task: fc.Arbitrary<TaskPlan> = fc.record({
  command,
  route: fc.nat(taskRoutes.length - 1),
  delayed: fc.boolean(),
  expires: fc.constantFrom("never", "never", "past", "later"),
  heartbeat: fc.constantFrom("none", "short", "long"),
});

const attribute: fc.Arbitrary<AttributePlan> = fc.record({
  name: fc.nat(attributeNames.length - 1),
  value: fc.option(fc.nat(attributeValues.length - 1), { nil: null, freq: 3 }),
});
const attributes = fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(attribute, { maxLength: 3 }));

const effects: fc.Arbitrary<EffectsPlan> = fc.record({
  lines: fc.nat(2),
  consumed: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
  tasks: fc.uniqueArray(task, { maxLength: 2, selector: (plan) => plan.command }),
  withdrawn: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.uniqueArray(command, { maxLength: 1 })),
  cancelled: fc.uniqueArray(command, { maxLength: 2 }),
  entries: seldom(entryNames.length - 1),
  chunks: seldom(streams.length - 1),
  attributes,
  sawInbox: fc.boolean(),
  next,
});

const target: fc.Arbitrary<TargetPlan> = fc.record({
  by: fc.constantFrom("workflowId", "runId", "chainOf", "chainOf"),
  run,
  age: fc.nat(1),
});

const start = fc.record({
  type: fc.constant("start" as const),
  run,
  round: fc.nat(7),
  reuse: fc.constantFrom("never" as const, "after_failure" as const, "always" as const),
  terminates: fc.constantFrom(false, false, false, true),
  parent: fc.option(run, { nil: null }),
  delayed: fc.boolean(),
  messages: fc.nat(2),
  attributes,
  eagerWorker: maybeWorker,
  effects,
});

const finished = fc.oneof<Weighted<FinishedPlan>>(
  fc.record({ claimed: fc.nat(3), byCommand: fc.boolean(), offset }),
  fc.record({ run, age: fc.constantFrom(0, 0, 0, 1), command, offset }),
);

const operation = fc.oneof<Weighted<OperationPlan>>(
  { weight: 6, arbitrary: start },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant("turn"),
      run,
      isOutdated: fc.constantFrom(false, false, false, false, true),
      epochOffset: offset,
      seqOffset: offset,
      effects,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("send"),
      target,
      item: fc.constantFrom("message", "update", "cancel", "outcome of a command"),
      dedupe: fc.nat(5),
      claimFor: maybeWorker,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("finish"),
      task: finished,
      kind: outcomeKind,
      claimFor: maybeWorker,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("touch"),
      task: fc.nat(2),
      epochOffset: offset,
      tells: fc.boolean(),
      detaches: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("append"),
      on: fc.oneof(fc.record({ run }), fc.record({ task: fc.nat(2) })),
      epochOffset: offset,
      repeats: fc.nat(2),
      restarts: fc.array(fc.constantFrom(false, false, true), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("terminate"), target, leaves: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("resume"), target }) },
);

const step = fc.oneof<Weighted<StepPlan>>(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("begin"),
      worker: maybeWorker,
      reuse: fc.constantFrom("after_failure" as const, "always" as const),
      effects,
    }),
  },
  { weight: 12, arbitrary: fc.record({ type: fc.constant("drive"), worker, suspects: fc.nat(1), effects }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant("work"),
      worker,
      kind: fc.oneof({ weight: 2, arbitrary: outcomeKind }, fc.constantFrom("detach" as const, "touch" as const)),
      byCommand: fc.boolean(),
      claimFor: maybeWorker,
    }),
  },
  { weight: 14, arbitrary: fc.record({ type: fc.constant("apply"), operations: fc.array(operation, { minLength: 1, maxLength: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("claim_runs"), worker, routes, suspects: fc.nat(1) }) },
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant("claim_tasks"), worker, routes: fc.subarray([...taskRoutes], { minLength: 1 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("reclaim"), worker, run, epochOffset: offset }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("release"),
      worker,
      runs: fc.array(run, { maxLength: 2 }),
      tasks: fc.array(fc.nat(3), { maxLength: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("retire"), worker }) },
  { weight: 7, arbitrary: fc.record({ type: fc.constant("crash"), worker, suspects: fc.nat(1), isNoticed: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("recover") }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant("expire") }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("retry_parked"), routes }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("advance") }) },
);

/** Most programs begin with the start of every run: without runs there is little to do. */
const beginnings = fc.tuple(
  ...Array.from({ length: runCount }, (_, index) =>
    fc.record({
      type: fc.constant("start" as const),
      run: fc.constant(index),
      round: fc.constant(0),
      reuse: fc.constant("never" as const),
      terminates: fc.constant(false),
      parent: fc.constant(null),
      delayed: fc.constant(false),
      messages: fc.nat(1),
      attributes,
      eagerWorker: maybeWorker,
      effects,
    }),
  ),
);

export const stepPlans = (maxLength: number): fc.Arbitrary<readonly StepPlan[]> =>
  fc
    .tuple(fc.option(beginnings, { nil: [], freq: 5 }), fc.array(step, { minLength: 1, maxLength, size: "max" }))
    .map(([operations, steps]) => (operations.length === 0 ? steps : [{ type: "apply", operations }, ...steps]));
