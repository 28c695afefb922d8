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

/** Options of a workflow definition. */
export interface WorkflowOptions<Input> {
  /** A label for this version of the code, recorded with each run that starts under it. Default: none. */
  readonly version?: string | undefined;
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
}

/** Options of an activity: defaults in its definition, overridden one by one at a call. */
export interface CallOptions {
  /** Which failures to try again, how often and when. Default: 5 attempts, back-off from 1 s, doubled each time, at most 1 minute, jittered. */
  readonly retry?: RetryPolicy | undefined;
  /** How long one attempt may take; then its `signal` aborts and it counts as failed with a `TimeoutError`. Default: no limit. */
  readonly timeout?: Duration | undefined;
}

/** Any workflow definition. */
export type AnyWorkflow = Workflow<any, any>;

/** Any activity definition. */
export type AnyActivity = Activity<any, any>;

/** Any message definition. */
export type AnyMessage = Message<any, any>;
