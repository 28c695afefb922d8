/// <reference lib="esnext.disposable" preserve="true" />
// What a process holds: a client that starts and looks, an engine that also works, and handles of runs.
import type { Backend } from "../backend/backend.js";
import type { PayloadCodec } from "../codec/codec.js";
import type { CodecLimits } from "../codec/limits.js";
import type { Duration } from "../core/duration.js";
import type { HistoryEvent, HistoryExport } from "./history-types.js";
import type { Interceptor } from "./interceptor-types.js";
import type { ErrorCode } from "../errors.js";
import type { RetryPolicy } from "../core/retry.js";
import type { Logger } from "./context-types.js";
import type {
  ActivityRef,
  AnyActivity,
  AnyWorkflow,
  Attributes,
  BoundTransaction,
  Envelope,
  Message,
  Queue,
  State,
  Stream,
  Update,
  WorkflowRef,
} from "./definition-types.js";
import type { Args, ErrorClass, Wait } from "./shape-types.js";

/** Starts an engine: a client, and a worker that runs the given definitions. @example const engine = await launch({ backend, workflows: [fulfil] }); */
export type Launch = (options: LaunchOptions) => Promise<Engine>;

/** Connects a client, for a process that starts and looks at runs and works on none. @example const client = await connect({ backend }); */
export type Connect = (options: ConnectOptions) => Promise<Client>;

/** Options of `connect`. */
export interface ConnectOptions {
  /** The store. @example sqlite("orders.db") */
  readonly backend: Backend;
  /** Classes of your errors, so that what a run failed with is an instance of them again after it was stored. */
  readonly errors?: readonly ErrorClass[] | undefined;
  /** Where perdure reports what it does and what goes wrong. Default: warnings and errors to the console. */
  readonly logger?: Logger | undefined;
  /** What payloads go through before they are stored, in this order: `compression()`, `encryption(…)`. The same in every process. Default: none, payloads are readable JSON. */
  readonly codec?: readonly PayloadCodec[] | undefined;
  /** How large and how deep a stored value may be. Default: 4 MiB of encoded text, 200 levels, 1,000,000 values; of an error's stack 4,096 characters are kept. */
  readonly limits?: Partial<CodecLimits> | undefined;
  /** Hooks around what this process does, the outermost first. Default: none. */
  readonly interceptors?: readonly Interceptor[] | undefined;
}

/** Options of `launch`. */
export interface LaunchOptions extends ConnectOptions {
  /** The workflows that this process runs. Runs of others are left to the processes that have them. */
  readonly workflows?: readonly AnyWorkflow[] | undefined;
  /** The activities that this process runs. */
  readonly activities?: readonly AnyActivity[] | undefined;
  /** The queues that this process serves. Default: the default queue, and those that its definitions name. */
  readonly queues?: readonly Queue[] | undefined;
  /** How much this process does at once. Runs that wait (for time, messages or activities) do not count. */
  readonly concurrency?:
    | {
        /** Runs that are driven at once. Default: 1000. */
        readonly runs?: number | undefined;
        /** Activities that are executed at once. Default: 100. */
        readonly activities?: number | undefined;
      }
    | undefined;
  /** How long this process may be silent before others take its work over; a process that died is noticed within a second anyhow. Default: 10 seconds; at least 500 ms. */
  readonly lease?: Duration | undefined;
  /** How many idle runs are kept in memory to save a replay, at 2 to 4 kB each. Default: 1000. */
  readonly warmRuns?: number | undefined;
  /**
   * Notices Date.now, Math.random, crypto.randomUUID, timers and fetch in workflow code: the run is parked with a report that names what to use instead,
   * and goes on when the code is put right. Calls that packages make are only warned of. Default: on.
   */
  readonly guard?: boolean | undefined;
}

/** Starts runs and looks at them. */
export interface Client extends AsyncDisposable {
  /**
   * Starts a run, and resolves once it is stored. Starting an id that there is already gives a handle of the run that there is; with another
   * workflow or another input it throws `id_conflict`.
   * @throws `invalid_input` · `invalid_id` · `unserializable` · `payload_too_large` · `id_conflict` · `closed`
   * @example const handle = await engine.start(fulfil, order, { id: `order-${order.id}` });
   */
  start<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, StartOptions>): Promise<Handle<R>>;

  /**
   * Starts a run and waits for its result: `start`, then `result`.
   * @throws what `start` and {@link Handle.result} throw
   */
  execute<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, StartOptions>): Promise<R>;

  /**
   * Completes an activity that was left to somebody outside with `completeLater`, by its token.
   * @throws `not_found` if the activity does not wait any more · `outcome_unknown` if this call itself may have finished it
   * @example await client.complete(approveInvoice, token, { approvedBy: "ann" });
   */
  complete<R>(def: ActivityRef<any, R>, token: string, result: NoInfer<R>): Promise<void>;

  /** Fails such an activity; its retry policy decides what follows. @throws `not_found` · `outcome_unknown` */
  fail(token: string, error: Error): Promise<void>;

  /**
   * A handle of exactly one run, by its run id: where a run of a chain goes on as another one, this handle stays.
   * @example const first = client.getRun(info.runId);
   */
  getRun<R = unknown>(runId: string): Handle<R>;

  /**
   * A handle of a run by its id. Nothing is read yet: a wrong id shows at the first use, as `not_found`.
   * @example const handle = engine.get(fulfil, "order-17");
   */
  get<R = unknown>(...target: [id: string] | [def: WorkflowRef<any, R>, id: string]): Handle<R>;

  /** The runs that match, newest first. @example for await (const run of engine.list({ status: "parked" })) console.log(run.id, run.parked?.message); */
  list(filter?: Filter): AsyncIterable<RunInfo>;

  /** Stops working and lets go of the store. Runs that are in progress go on elsewhere, or after the next launch. Same as `await using`. */
  close(options?: CloseOptions): Promise<void>;
}

/** A client that also works: it runs the workflows and activities that it was launched with. */
export interface Engine extends Client {
  /** The id of this worker, as `describe` shows it. */
  readonly workerId: string;
}

/** Options of `close`. */
export interface CloseOptions {
  /** How long step and activity bodies that are running may take to end before they are aborted. Default: 10 seconds. */
  readonly grace?: Duration | undefined;
}

/** Options of a start. */
export interface StartOptions {
  /** The id of the run; starting the same id twice gives one run. Default: the definition's `id` function, else a random UUID. */
  readonly id?: string | undefined;
  /** How long the run may take, from its start (after the `delay`, if there is one) to its end. Default: that of the definition, else no limit. */
  readonly timeout?: Duration | undefined;
  /** When to begin: after this time, or at it. Default: at once. */
  readonly delay?: Duration | Date | undefined;
  /** Messages that the run finds waiting; stored together with the start. @example { send: [approved.of(true)] } */
  readonly send?: readonly Envelope[] | undefined;
  /** What to do where a run with this id is open. `use`: give a handle of it; `fail`: throw `already_exists`; `terminate`: end it by force, and start. Default: use. */
  readonly onExisting?: "use" | "fail" | "terminate" | undefined;
  /**
   * What to do where a run with this id has ended. `never`: it counts as the one that was asked for (see `onExisting`); `after-failure`: start again if it failed, was
   * cancelled or terminated; `always`: start again. Default: never.
   */
  readonly reuse?: "never" | "after-failure" | "always" | undefined;
  /** Begins the run again after a failure. It is stored with the run, so `when` has its place in the definition only. Default: that of the definition. */
  readonly retry?: RetryPolicy | undefined;
  /** The queue that it waits in for a worker. Default: that of the definition. */
  readonly queue?: Queue | undefined;
  /** Searchable facts that the run begins with. */
  readonly attributes?: Attributes | undefined;
  /** A transaction of your own in the backend's database: the run is there when it commits, and never was if it does not. */
  readonly transaction?: BoundTransaction | undefined;
}

/** Options of a send. */
export interface SendOptions {
  /** Tells repeated sends of one message apart from new ones: a second send with the same key to the same run changes nothing. Default: none. */
  readonly key?: string | undefined;
}

/** A run, from elsewhere: what one can do to it. */
export interface RunHandle {
  /** The id that the run was started with. */
  readonly id: string;
  /**
   * Sends a message; resolves once it is stored. The run takes it with `ctx.receive`, now or later.
   * @throws `not_found` · `not_running` · `invalid_input` · `unserializable` · `payload_too_large`
   * @example await handle.send(approved, true);
   */
  send<I>(message: Message<any, I>, ...args: Args<NoInfer<I>, SendOptions>): Promise<void>;
  /**
   * Asks the run to stop: its pending operations reject with `CancelledError`, so that its code can clean up. Resolves once the request is stored.
   * @throws `not_found` · `not_running`
   */
  cancel(reason?: string): Promise<void>;
}

/** A run, for whoever started it or looked it up. Never thenable: it may be returned from async functions. */
export interface Handle<out R> extends RunHandle {
  /**
   * Waits for the end of the run and gives its result.
   * @throws `run_failed` (its `cause` is what the workflow threw) · `cancelled` · `terminated` · `timeout` · `not_found`
   * @example const result = await handle.result({ timeout: "5s", otherwise: undefined });
   */
  result<const O = never>(wait?: ResultWait<O>): Promise<R | O>;
  /** What the run is, what it waits for, and why it is not moving. @throws `not_found` */
  describe(): Promise<RunInfo>;
  /**
   * Asks the run something and waits for its answer; resolves with what its handler returns.
   * @throws what the handler or the validator throws · `not_found` · `not_running`, also if the run ends without an answer · `invalid_input`
   * @example const price = await handle.update(setPrice, 99);
   */
  update<I, T>(def: Update<I, T, any>, ...args: Args<NoInfer<I>, SendOptions>): Promise<T>;
  /** The value that the run published last; undefined if it has published none. Needs no worker. @throws `not_found` */
  read<V>(state: State<V>): Promise<V | undefined>;
  /** The published value now and each time it changes, until the run ends or `signal` aborts; values that follow quickly may be passed over. */
  watch<V>(state: State<V>, options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<V>;
  /** Follows a stream from an offset on (default: its beginning), until the run has ended and everything was read. */
  stream<C>(stream: Stream<C>, options?: StreamOptions): StreamReader<C>;
  /** Ends the run by force, without its code having a say; its children are closed as their policy says. @throws `not_found` · `not_running` */
  terminate(reason?: string): Promise<void>;
  /** Everything that has happened to the run, in order. @throws `not_found` · `undecodable` */
  history(): Promise<readonly HistoryEvent[]>;
  /** The history as plain data, for a file: `replay` of perdure/testing proves that code fits it. Payloads are in it as readable text. @throws `not_found` · `undecodable` */
  export(): Promise<HistoryExport>;
  /** Lets a parked run go on at once, after its cause was mended; does nothing to others. @throws `not_found` */
  resume(): Promise<void>;
}

/** Options of {@link Handle.stream}. */
export interface StreamOptions {
  /** The offset of the first chunk that is wanted: one more than that of the last that was read. Default: 0. */
  readonly from?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One thing that a stream's reader sees. */
export type StreamEntry<C> =
  | { readonly kind: "chunk"; readonly offset: number; readonly value: C }
  /** A step that was cut off has begun again: what it had written from `from` on does not count any more. */
  | { readonly kind: "restart"; readonly offset: number; readonly from: number };

/** The chunks of a stream, in order. */
export interface StreamReader<C> extends AsyncIterable<C> {
  /** With their offsets, and with the marks of writers that began again. */
  entries(): AsyncIterable<StreamEntry<C>>;
  /** The same chunks as a Web stream. */
  readable(): ReadableStream<C>;
}

/** How long to wait for a result. Without a `timeout`: until the run ends, or `signal` aborts. The run itself is not touched by either. */
export type ResultWait<O> =
  | (Wait<O> & { readonly signal?: AbortSignal | undefined })
  | { readonly timeout?: undefined; readonly otherwise?: never; readonly signal?: AbortSignal | undefined };

/**
 * Where a run is:
 * `pending` it has something to do and no worker has taken it · `running` a worker drives it · `sleeping` it waits for a time ·
 * `waiting` it waits for messages or activities · `parked` it cannot go on until somebody mends the cause (see {@link RunInfo.parked}) ·
 * `completed`, `failed`, `cancelled` and `terminated`: it has ended · `continued`: its chain goes on with another run.
 */
export type RunStatus =
  | "pending"
  | "running"
  | "sleeping"
  | "waiting"
  | "parked"
  | "completed"
  | "failed"
  | "cancelled"
  | "terminated"
  | "continued";

/** Everything that is known of a run without running its code. It answers "why is it not moving". */
export interface RunInfo {
  readonly id: string;
  readonly runId: string;
  /** The name of its workflow. */
  readonly name: string;
  /** The version of the workflow that it started under, if that has one. */
  readonly version?: string | undefined;
  readonly status: RunStatus;
  /** 1 at first; counts executions of the same id. */
  readonly attempt: number;
  readonly createdAt: Date;
  /** When it begins, for a delayed start. */
  readonly startAt?: Date | undefined;
  /** When it must have ended, if it has a timeout. */
  readonly deadline?: Date | undefined;
  readonly endedAt?: Date | undefined;
  /** When its history last grew. */
  readonly progressAt?: Date | undefined;
  /** How many events its history holds. */
  readonly historyLength: number;
  /** How many messages it was sent and has not taken. */
  readonly unreadMessages: number;
  /** Whether a cancel was asked for, and has not ended it yet. */
  readonly cancelRequested?: boolean | undefined;
  /** What it waits for; empty when it has ended, and in a `list`, which does not read histories. */
  readonly waitingFor: readonly WaitingFor[];
  /** The worker that drives it, if any. */
  readonly worker?: { readonly id: string } | undefined;
  /** Searchable facts about it. */
  readonly attributes: Readonly<Record<string, string | number | boolean | Date>>;
  /** The run that it is a child of, if it is one. */
  readonly parent?: { readonly id: string; readonly runId: string } | undefined;
  /** How many times in a row a process ended while it drove this run; at the limit the run is parked as `poisoned`. */
  readonly crashCount: number;
  /** Why it is parked, if it is. It goes on when the cause is mended: nothing is lost meanwhile. */
  readonly parked?: ParkedInfo | undefined;
  /** What it failed with, if it failed, was cancelled or terminated. */
  readonly error?: ErrorInfo | undefined;
}

/** One thing that a run waits for. */
export interface WaitingFor {
  /** `worker`: any worker that has this workflow · `timer` · `message` · `step` · `activity` · `transaction` · `child` · `run`: an answer of the store about another run. */
  readonly kind: "worker" | "timer" | "message" | "step" | "activity" | "transaction" | "child" | "run";
  /** Of the step, the activity, or the messages (`a | b`). */
  readonly name?: string | undefined;
  /** When it was asked for. */
  readonly since?: Date | undefined;
  /** The time of the timer, of the timeout, or of the next attempt. */
  readonly until?: Date | undefined;
  /** Of the step or activity: the attempt that is running or comes next. */
  readonly attempt?: number | undefined;
  /** Of the step or activity: what its last attempt failed with. */
  readonly lastError?: ErrorInfo | undefined;
}

/** Why a run is parked. */
export interface ParkedInfo {
  /** `nondeterminism`, `poisoned`, `undecodable` and so on: see the page of the code. */
  readonly code: ErrorCode;
  /** What happened and what to do. */
  readonly message: string;
  /** The long explanation: what the history says, what the code did, and where. */
  readonly report?: string | undefined;
}

/** An error, told without its class. */
export interface ErrorInfo {
  readonly name: string;
  readonly message: string;
  readonly code?: string | undefined;
}

/** Which runs to list. */
export interface Filter {
  /** The name of their workflow. */
  readonly name?: string | undefined;
  readonly status?: RunStatus | readonly RunStatus[] | undefined;
  /** How their ids begin. */
  readonly idPrefix?: string | undefined;
  /** Facts that they all have. @example { customer: "c-17" } */
  readonly attributes?: Attributes | undefined;
  /** How many at most. Default: all. */
  readonly limit?: number | undefined;
}
