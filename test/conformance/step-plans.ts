/** What a differential test does, as data: small numbers that each side translates into its own keys and epochs, so that fast-check can shrink it. */
import fc from "fast-check";
import type { EndedStatus, ParkReason } from "perdure/backend";

export const runCount = 3;
export const workerCount = 3;
export const runNames = ["a", "b"] as const;
export const taskNames = ["charge", "mail"] as const;

/** Times are "past" or "later" than anything that happens in a test; `advance` brings "later" about. */
export type TimePlan = "never" | "past" | "later";

export type NextPlan =
  | { readonly state: "driving" }
  | { readonly state: "idle"; readonly due: TimePlan }
  | { readonly state: "parked"; readonly due: TimePlan; readonly code: ParkReason["code"] }
  | { readonly state: "ended"; readonly status: Exclude<EndedStatus, "continued"> };

export interface EffectsPlan {
  readonly lines: number;
  readonly consumed: readonly number[];
  readonly tasks: readonly { readonly command: number; readonly name: (typeof taskNames)[number]; readonly delayed: boolean }[];
  readonly withdrawn: readonly number[];
  /** Has the driver seen the inbox as it was when it last heard of it, or nothing? */
  readonly sawInbox: boolean;
  readonly next: NextPlan;
}

export type OperationPlan =
  | {
      readonly type: "start";
      readonly run: number;
      readonly again: boolean;
      readonly delayed: boolean;
      readonly messages: number;
      readonly eagerWorker: number | null;
      readonly effects: EffectsPlan;
    }
  | { readonly type: "turn"; readonly run: number; readonly epochOffset: number; readonly seqOffset: number; readonly effects: EffectsPlan }
  | {
      readonly type: "send";
      readonly run: number;
      readonly byRunId: boolean;
      readonly cancels: boolean;
      readonly dedupe: number;
      readonly claimFor: number | null;
    }
  | {
      readonly type: "finish";
      readonly task: number;
      readonly epochOffset: number;
      readonly failed: boolean;
      readonly claimFor: number | null;
    }
  | { readonly type: "resume"; readonly run: number };

export type StepPlan =
  | { readonly type: "apply"; readonly operations: readonly OperationPlan[] }
  | { readonly type: "claim_runs"; readonly worker: number; readonly names: readonly string[]; readonly suspects: number }
  | { readonly type: "claim_tasks"; readonly worker: number; readonly names: readonly string[] }
  /** Claims what it can, and takes one turn with every run that the worker drives. */
  | { readonly type: "drive"; readonly worker: number; readonly suspects: number; readonly effects: EffectsPlan }
  /** Claims all tasks and finishes them. */
  | { readonly type: "work"; readonly worker: number; readonly failed: boolean; readonly claimFor: number | null }
  | { readonly type: "reclaim"; readonly worker: number; readonly run: number; readonly epochOffset: number }
  | { readonly type: "release"; readonly worker: number; readonly runs: readonly number[]; readonly tasks: readonly number[] }
  | { readonly type: "retire"; readonly worker: number }
  /** The worker claims all it can, its lease runs out, and (perhaps) its peers recover. */
  | { readonly type: "crash"; readonly worker: number; readonly suspects: number; readonly isNoticed: boolean }
  | { readonly type: "recover" }
  | { readonly type: "retry_parked"; readonly names: readonly string[] }
  | { readonly type: "advance" };

const run = fc.nat(runCount - 1);
const worker = fc.nat(workerCount - 1);
const names = fc.subarray([...runNames], { minLength: 1 });
const command = fc.integer({ min: 1, max: 3 });
const due = fc.constantFrom<TimePlan>("never", "past", "past", "past", "later");
/** Mostly right, sometimes off by one. */
const offset = fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.constantFrom(-1, 1));
const maybeWorker = fc.option(worker, { nil: null, freq: 2 });

const next = fc.oneof<fc.MaybeWeightedArbitrary<NextPlan>[]>(
  { weight: 5, arbitrary: fc.constant({ state: "driving" }) },
  { weight: 6, arbitrary: fc.record({ state: fc.constant("idle"), due }) },
  {
    weight: 3,
    arbitrary: fc.record({ state: fc.constant("parked"), due, code: fc.constantFrom("nondeterminism", "poisoned", "undecodable") }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ state: fc.constant("ended"), status: fc.constantFrom("completed", "failed", "cancelled", "terminated") }),
  },
);

const effects: fc.Arbitrary<EffectsPlan> = fc.record({
  lines: fc.nat(2),
  consumed: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
  tasks: fc.uniqueArray(fc.record({ command, name: fc.constantFrom(...taskNames), delayed: fc.boolean() }), {
    maxLength: 2,
    selector: (task) => task.command,
  }),
  withdrawn: fc.uniqueArray(command, { maxLength: 1 }),
  sawInbox: fc.boolean(),
  next,
});

const operation = fc.oneof<fc.MaybeWeightedArbitrary<OperationPlan>[]>(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("start"),
      run,
      again: fc.boolean(),
      delayed: fc.boolean(),
      messages: fc.nat(2),
      eagerWorker: maybeWorker,
      effects,
    }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("turn"), run, epochOffset: offset, seqOffset: offset, effects }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("send"),
      run,
      byRunId: fc.boolean(),
      cancels: fc.boolean(),
      dedupe: fc.nat(5),
      claimFor: maybeWorker,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("finish"),
      task: fc.nat(3),
      epochOffset: offset,
      failed: fc.boolean(),
      claimFor: maybeWorker,
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("resume"), run }) },
);

const step = fc.oneof<fc.MaybeWeightedArbitrary<StepPlan>[]>(
  { weight: 10, arbitrary: fc.record({ type: fc.constant("drive"), worker, suspects: fc.nat(1), effects }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("work"), worker, failed: fc.boolean(), claimFor: maybeWorker }) },
  { weight: 12, arbitrary: fc.record({ type: fc.constant("apply"), operations: fc.array(operation, { minLength: 1, maxLength: 4 }) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("claim_runs"), worker, names, suspects: fc.nat(1) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("claim_tasks"), worker, names: fc.subarray([...taskNames], { minLength: 1 }) }) },
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
  { weight: 1, arbitrary: fc.record({ type: fc.constant("retry_parked"), names }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("advance") }) },
);

/** Most programs begin with the start of every run: without runs there is little to do. */
const beginnings = fc.tuple(
  ...Array.from({ length: runCount }, (_, index) =>
    fc.record({
      type: fc.constant("start" as const),
      run: fc.constant(index),
      again: fc.constant(false),
      delayed: fc.constant(false),
      messages: fc.nat(1),
      eagerWorker: maybeWorker,
      effects,
    }),
  ),
);

export const stepPlans = (maxLength: number): fc.Arbitrary<readonly StepPlan[]> =>
  fc
    .tuple(fc.option(beginnings, { nil: [], freq: 5 }), fc.array(step, { minLength: 1, maxLength, size: "max" }))
    .map(([operations, steps]) => (operations.length === 0 ? steps : [{ type: "apply", operations }, ...steps]));
