import type { Backend, Store } from "../backend/backend.js";
import type { Codec } from "../codec/codec.js";
import { codecChain } from "../codec/codec-chain.js";
import { jsonCodec } from "../codec/json-codec.js";
import { parseDuration } from "../core/duration.js";
import { PerdureError } from "../errors.js";
import { consoleLogger } from "../platform/console-logger.js";
import { systemRuntime, type Runtime } from "../platform/runtime.js";
import { definitionsOf } from "../worker/definitions.js";
import type { Substitute } from "../worker/body-services.js";
import { openGuard, type Guard } from "../worker/guard.js";
import { GroupCommit } from "../worker/group-commit.js";
import { Worker, type WorkerSettings } from "../worker/worker.js";
import type { Logger } from "./context-types.js";
import type { Client, CloseOptions, ConnectOptions, Engine, Filter, Handle, LaunchOptions, RunInfo, StartOptions } from "./client-types.js";
import { ClientCore } from "./client-core.js";
import type { ActivityRef, WorkflowRef } from "./definition-types.js";
import { checkOptions } from "./define-checks.js";
import { interceptorsOf } from "../worker/interceptors.js";
import { checkKind } from "../core/check-options.js";
import type { Interceptor } from "./interceptor-types.js";
import { Watchers } from "./watchers.js";
import { ResultWaiters } from "./result-waiters.js";
import { safeLogger } from "./safe-logger.js";
import type { Args } from "./shape-types.js";

const settingDefaults = {
  runs: 1000,
  activities: 100,
  warmRuns: 1000,
  leaseMs: 10_000,
  pulseMs: 1600,
  graceMs: 10_000,
  resultPollMs: 1000,
  watchPollMs: 500,
} as const;
const leaseMinMs = 500;

/**
 * Starts an engine: a client and a worker that drives runs of the given workflows and executes the given activities. Resolves when the store is open
 * and the worker is entered. It keeps the process alive until it is closed.
 * @throws PerdureError `duplicate_definition` · `invalid_argument` · `backend_mismatch` · `backend_unavailable` · `driver_missing` and others of the store
 * @example
 * const engine = await launch({ backend: sqlite("orders.db"), workflows: [fulfil], activities: [printLabel] });
 * const result = await engine.execute(fulfil, order, { id: `order-${order.id}` });
 * await engine.close();
 */
export function launch(options: LaunchOptions): Promise<Engine> {
  return launchWith(options, systemRuntime());
}

/**
 * Connects a client, for a process that starts and looks at runs and drives none.
 * @throws PerdureError what opening the store throws
 * @example const client = await connect({ backend: sqlite("orders.db") });
 */
export function connect(options: ConnectOptions): Promise<Client> {
  return connectWith(options, systemRuntime());
}

/** What a test sets about an engine, beyond its options and its runtime. */
export interface Conditions {
  /** Nothing is looked for now and then, and the lease lasts for ever: a virtual clock would pass from one look to the next. `onWorker` is given what can be told to look. */
  readonly unhurried?: boolean | undefined;
  /** In the place of a guard of the engine's own, which it would close. */
  readonly guard?: Guard | undefined;
  readonly substitute?: Substitute | undefined;
  readonly onWorker?: ((worker: { look(): Promise<void> }) => void) | undefined;
}

/** `launch` on a runtime of one's own: virtual time for the simulator and for tests. */
export async function launchWith(options: LaunchOptions, runtime: Runtime, conditions: Conditions = {}): Promise<Engine> {
  checkOptions(options, "launch", [
    "backend",
    "errors",
    "logger",
    "codec",
    "limits",
    "interceptors",
    "queues",
    "workflows",
    "activities",
    "concurrency",
    "lease",
    "warmRuns",
    "guard",
  ]);
  const definitions = definitionsOf(options.workflows ?? [], options.activities ?? [], options.queues);
  const settings = readSettings(options, conditions);
  const ambient = readSwitch(options.guard, true, "guard");
  const parts = await openParts(options, runtime, conditions);
  const guard = conditions.guard ?? openGuard({ ambient, logger: parts.logger });
  const worker = new Worker({
    ...parts,
    definitions,
    settings,
    guard,
    substitute: conditions.substitute,
    interceptors: interceptorsOf(parts.interceptors),
    onEnded: (facts, terminal) => parts.waiters.tell(facts.id, facts.runId, terminal),
  });
  try {
    await worker.start();
  } catch (error) {
    await worker.stop(0);
    await parts.store.close();
    throw error;
  }
  conditions.onWorker?.(worker);
  return new OpenEngine(parts, worker);
}

/** `connect` on a runtime of one's own. */
export async function connectWith(options: ConnectOptions, runtime: Runtime, conditions: Conditions = {}): Promise<Client> {
  checkOptions(options, "connect", ["backend", "errors", "logger", "codec", "limits", "interceptors"]);
  return new OpenEngine(await openParts(options, runtime, conditions), undefined);
}

interface Parts {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly codec: Codec;
  readonly commits: GroupCommit;
  readonly waiters: ResultWaiters;
  readonly watchers: Watchers;
  readonly logger: Logger;
  readonly interceptors: readonly Interceptor[];
}

async function openParts(options: ConnectOptions, runtime: Runtime, { unhurried = false }: Conditions): Promise<Parts> {
  if (typeof (options.backend as Partial<Backend> | undefined)?.open !== "function") {
    throw new PerdureError(
      "invalid_argument",
      'The option backend is missing or is not a backend. Give one, for example sqlite("app.db") from "perdure/sqlite".',
    );
  }
  const logger = safeLogger(options.logger ?? consoleLogger);
  const codec = codecChain(jsonCodec({ errors: options.errors ?? [], limits: options.limits ?? {} }), options.codec ?? []);
  const store = await options.backend.open(runtime);
  const onTrouble = (failure: Error, attempt: number): void => {
    // Short troubles (a busy file, a reconnect) are normal; those that last are worth a line, ever more rarely.
    if (attempt >= 5 && Number.isInteger(Math.log2(attempt)))
      logger.warn("The store does not take writes; trying again.", { error: failure, attempt });
  };
  const watchers = new Watchers(runtime, unhurried ? Infinity : settingDefaults.watchPollMs);
  const commits = new GroupCommit({ store, runtime, onTrouble, onCommitted: (operations) => watchers.committed(operations) });
  const waiters = new ResultWaiters(store, runtime, unhurried ? Infinity : settingDefaults.resultPollMs);
  return { store, runtime, codec, commits, waiters, watchers, logger, interceptors: options.interceptors ?? [] };
}

function readSettings(options: LaunchOptions, { unhurried = false }: Conditions): WorkerSettings {
  const { concurrency, lease, warmRuns } = options;
  checkOptions(concurrency, "concurrency", ["runs", "activities"]);
  const leaseMs = lease === undefined ? settingDefaults.leaseMs : parseDuration(lease, "the option lease of launch");
  if (leaseMs < leaseMinMs)
    throw new PerdureError(
      "invalid_argument",
      `The option lease of launch is ${leaseMs} ms. Give at least ${leaseMinMs} ms: a shorter one is lost to any hiccup.`,
    );
  return {
    runConcurrency: readCount(concurrency?.runs, settingDefaults.runs, 1, "concurrency.runs"),
    activityConcurrency: readCount(concurrency?.activities, settingDefaults.activities, 1, "concurrency.activities"),
    warmRuns: readCount(warmRuns, settingDefaults.warmRuns, 0, "warmRuns"),
    leaseMs: unhurried ? Infinity : leaseMs,
    pulseMs: unhurried ? Infinity : settingDefaults.pulseMs,
  };
}

function readCount(value: number | undefined, byDefault: number, least: number, what: string): number {
  if (value === undefined) return byDefault;
  if (!Number.isInteger(value) || value < least)
    throw new PerdureError("invalid_argument", `The option ${what} of launch is ${String(value)}. Give a whole number from ${least}.`);
  return value;
}

function readSwitch(value: boolean | undefined, byDefault: boolean, what: string): boolean {
  if (value !== undefined && typeof value !== "boolean")
    throw new PerdureError("invalid_argument", `The option ${what} of launch is ${String(value)}. Give true or false.`);
  return value ?? byDefault;
}

class OpenEngine implements Engine {
  readonly #parts: Parts;
  readonly #worker: Worker | undefined;
  readonly #core: ClientCore;
  readonly #hint: { stop(): void };
  #closing: Promise<void> | undefined;

  constructor(parts: Parts, worker: Worker | undefined) {
    this.#parts = parts;
    this.#worker = worker;
    this.#core = new ClientCore({ ...parts, worker });
    this.#hint = parts.store.onHint(({ ends, shown }) => {
      if (ends) parts.waiters.hint();
      if (ends || shown) parts.watchers.hint();
    });
  }

  get workerId(): string {
    return this.#worker?.workerId ?? "";
  }

  start<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, StartOptions>): Promise<Handle<R>> {
    const [input, options] = args as [unknown, StartOptions?];
    return this.#core.start(def, input, options);
  }

  async execute<I, R>(def: WorkflowRef<I, R>, ...args: Args<NoInfer<I>, StartOptions>): Promise<R> {
    return (await this.start(def, ...args)).result();
  }

  get<R = unknown>(...target: [id: string] | [def: WorkflowRef<any, R>, id: string]): Handle<R> {
    return this.#core.handle<R>(target.length === 1 ? target[0] : target[1]);
  }

  getRun<R = unknown>(runId: string): Handle<R> {
    return this.#core.runHandle<R>(runId);
  }

  complete<R>(def: ActivityRef<any, R>, token: string, result: NoInfer<R>): Promise<void> {
    checkKind(def, "activity", "complete", "made by activity(…) or activityRef(…)");
    return this.#core.finishActivity(token, { result });
  }

  fail(token: string, error: Error): Promise<void> {
    return this.#core.finishActivity(token, { error });
  }

  list(filter?: Filter): AsyncIterable<RunInfo> {
    return this.#core.reads.list(filter);
  }

  async close(options: CloseOptions = {}): Promise<void> {
    checkOptions(options, "close", ["grace"]);
    const graceMs = options.grace === undefined ? settingDefaults.graceMs : parseDuration(options.grace, "the grace of close");
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(graceMs: number): Promise<void> {
    const { commits, store } = this.#parts;
    this.#hint.stop();
    await this.#worker?.stop(graceMs);
    this.#core.close();
    commits.close();
    await commits.idle();
    await store.close();
  }
}
