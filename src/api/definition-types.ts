// What definitions are: plain values that describe, and do nothing by themselves. Every kind has its own `kind`, so none passes for another.
import type { Duration } from "../core/duration.js";
import type { RetryPolicy } from "../core/retry.js";
import type { ActivityContext, WorkflowContext } from "./context-types.js";
import type { StandardSchema, types, ValueArgs } from "./shape-types.js";

/** All that a client needs of a workflow: its name and types. Made by `workflowRef`, or by `workflow` itself. */
export interface WorkflowRef<in out Input, out Result> {
  readonly kind: "workflow";
  readonly name: string;
  readonly [types]: (input: Input) => [Input, Result];
}

/** A workflow definition. Give it to `launch` to run it, and to `start` or `execute` to begin a run. */
export interface Workflow<in out Input, out Result> extends WorkflowRef<Input, Result> {
  readonly kind: "workflow";
  // Optional, so that an activity in the place of a workflow is refused for its kind and not for the lack of a version.
  readonly version?: string | undefined;
  readonly input: StandardSchema<any, any> | undefined;
  readonly options: WorkflowOptions<any>;
  /** The function itself, as it was given: it takes what the schema gives out, and runs no schema. Call it with a fake context in unit tests. */
  run(ctx: WorkflowContext, input: Input): Promise<Result>;
}

/** All that a workflow needs of an activity that another program runs: its name and types. Made by `activityRef`, or by `activity` itself. */
export interface ActivityRef<in out Input, out Result> {
  readonly kind: "activity";
  readonly name: string;
  readonly [types]: (input: Input) => [Input, Result];
}

/** An activity definition. Give it to `launch` to run it, and to `ctx.activity` to call it. */
export interface Activity<in out Input, out Result> extends ActivityRef<Input, Result> {
  readonly kind: "activity";
  readonly input: StandardSchema<any, any> | undefined;
  readonly options: CallOptions;
  /** The function itself, as it was given: it takes what the schema gives out, and runs no schema. */
  run(input: Input, io: ActivityContext): Promise<Result>;
}

/** A message definition: `handle.send` sends one, `ctx.receive` takes it. Other engines say "signal". */
export interface Message<out Value, in out Input = Value> {
  readonly kind: "message";
  readonly name: string;
  readonly input: StandardSchema<any, any> | undefined;
  readonly [types]: (input: Input) => [Input, Value];
  /** A message with its value, to be sent with a start. @example engine.start(fulfil, order, { send: [approved.of(true)] }) */
  of(...args: ValueArgs<Input>): Envelope;
}

/** A message with its value, made by {@link Message.of}; the schema runs when it is sent. */
export interface Envelope {
  readonly kind: "envelope";
  readonly message: Message<any, any>;
  readonly value: unknown;
}

/** An update definition: a request to a running workflow, with an answer. `handle.update` asks, `ctx.on` answers. */
export interface Update<in out Input, out Result, in out Parsed = Input> {
  readonly kind: "update";
  readonly name: string;
  readonly input: StandardSchema<any, any> | undefined;
  readonly [types]: (input: Input, parsed: Parsed) => [Input, Result, Parsed];
}

/** A named value that a workflow publishes, and that can be read without any worker. */
export interface State<in out Value> {
  readonly kind: "state";
  readonly name: string;
  readonly [types]: (value: Value) => Value;
}

/** A sequence of chunks that a workflow or its steps write, and that can be followed from anywhere. */
export interface Stream<in out Chunk> {
  readonly kind: "stream";
  readonly name: string;
  readonly [types]: (chunk: Chunk) => Chunk;
}

/** A named queue: runs and activities in it are taken only by processes that serve it. */
export interface Queue {
  readonly kind: "queue";
  readonly name: string;
}

/** Options of a workflow definition. */
export interface WorkflowOptions<Input> {
  /** A label for this version of the code, recorded with each run that starts under it. Default: none. */
  readonly version?: string | undefined;
  /**
   * What becomes of a run when this process has the workflow in another version than the run was started under. `moving`: it goes on with the newest one that
   * is registered (the last in the list that `launch` is given); `pinned`: only with the very version that it was started under, so keep that registered
   * beside the new one until its runs have ended. Default: moving.
   */
  readonly versioning?: "moving" | "pinned" | undefined;
  /** Begins the run again after a failure, as another run of the same id, `info.attempt` one higher. Default: no second attempt. */
  readonly retry?: RetryPolicy | undefined;
  /** The queue that runs wait in for a worker. Default: the default queue, which every worker serves unless it is told otherwise. */
  readonly queue?: Queue | undefined;
  /** The id of a run, from its (parsed) input, where the start names none. Default: a random UUID. */
  readonly id?: ((input: Input) => string) | undefined;
  /** How long a run may take, from its start to its end, all waits included. Default: no limit. */
  readonly timeout?: Duration | undefined;
}

/** Options of a step. */
export interface StepOptions {
  /** Which failures to try again, how often and when. Default: 5 attempts, back-off from 1 s, doubled each time, at most 1 minute, jittered. */
  readonly retry?: RetryPolicy | undefined;
  /** How long one attempt may take; then its `signal` aborts and it counts as failed with a `TimeoutError`. Default: no limit. */
  readonly timeout?: Duration | undefined;
  /**
   * Never begins an attempt again of which it is not known whether it took effect: if the process dies in the middle, or the
   * time of the attempt is over, the step fails with `outcome_unknown`. Costs one commit more, before the body. Failures that the body reports are retried all the same. Default: false, an attempt that was cut off is repeated.
   */
  readonly atMostOnce?: boolean | undefined;
}

/** How long an activity may take; every limit is optional. What exceeds one fails with a `TimeoutError`. */
export interface ActivityTimeouts {
  /** One attempt, from when a worker begins it (start-to-close). Another attempt may follow. */
  readonly attempt?: Duration | undefined;
  /** All attempts and waits together (schedule-to-close). */
  readonly total?: Duration | undefined;
  /** How long an attempt may wait for a worker to take it (schedule-to-start). Not retried: nobody is there. */
  readonly queued?: Duration | undefined;
  /** How long the attempt may be silent between calls of `heartbeat`. Another attempt may follow, and is given the last details. */
  readonly heartbeat?: Duration | undefined;
}

/** Options of an activity: defaults in its definition, overridden one by one at a call. */
export interface CallOptions {
  /** Which failures to try again, how often and when. Default: 5 attempts, back-off from 1 s, doubled each time, at most 1 minute, jittered. */
  readonly retry?: RetryPolicy | undefined;
  /** How long one attempt may take; then its `signal` aborts and it counts as failed with a `TimeoutError`. An object names further limits. Default: no limit. */
  readonly timeout?: Duration | ActivityTimeouts | undefined;
  /** The queue that the activity waits in for a worker. Default: the default queue. */
  readonly queue?: Queue | undefined;
  /**
   * What a cancel does to an activity that is under way. `request`: it is withdrawn and its `signal` aborts, and the call rejects at once; `wait`: it is told to
   * stop, and the call waits for what it makes of that; `abandon`: the call rejects at once and the activity goes on unheard, until the run ends. Default: request.
   */
  readonly onCancel?: "request" | "wait" | "abandon" | undefined;
  /**
   * Runs the activity in the process that drives the workflow, without the queue, if that process has registered it: like a step, with the activity's name, options and
   * context. Heartbeats, the limits `queued` and `heartbeat`, and completion from outside do not apply then. Default: false.
   */
  readonly local?: boolean | undefined;
}

/** Options of a child workflow. */
export interface ChildOptions {
  /** The id of the child's run. Default: one that is derived from this run, the same on every replay. */
  readonly id?: string | undefined;
  /** How long the child may take. Default: that of its definition; never beyond this run's own deadline, unless `deadline` is `detached`. */
  readonly timeout?: Duration | undefined;
  /** Does this run's deadline hold for the child as well? Default: inherited. */
  readonly deadline?: "inherited" | "detached" | undefined;
  /** Begins the child again after a failure. It is stored with the run, so `when` has its place in the definition only. Default: that of its definition. */
  readonly retry?: RetryPolicy | undefined;
  readonly queue?: Queue | undefined;
  /** What becomes of the child if this run ends first, whichever way. `cancel`: it is asked to stop; `terminate`: it is ended; `abandon`: it goes on. Default: cancel. */
  readonly onParentClose?: "cancel" | "terminate" | "abandon" | undefined;
  /** Searchable facts that the child begins with. */
  readonly attributes?: Attributes | undefined;
}

/** Searchable facts about a run, by name; null removes one. */
export type Attributes = Readonly<Record<string, string | number | boolean | Date | null>>;

/** Any workflow definition. */
export type AnyWorkflow = Workflow<any, any>;

/** Any activity definition. */
export type AnyActivity = Activity<any, any>;

/** Any message definition. */
export type AnyMessage = Message<any, any>;

export type { BoundTransaction, TransactionSource } from "../backend/transaction-source.js";
