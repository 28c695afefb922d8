import { checkCallOptions, checkName, checkOptions, checkRun, checkSchema, checkWorkflowOptions } from "./define-checks.js";
import type { ActivityContext, WorkflowContext } from "./context-types.js";
import type {
  Activity,
  ActivityRef,
  CallOptions,
  Envelope,
  Message,
  Queue,
  State,
  Stream,
  Update,
  Workflow,
  WorkflowOptions,
  WorkflowRef,
} from "./definition-types.js";
import { callOptions } from "../core/calls.js";
import type { In, InputOf, ResultOf, Schema, StandardSchema, Unset } from "./shape-types.js";

/**
 * Defines a workflow: an async function that survives crashes, because everything it does through `ctx` is recorded.
 * The result is a plain value; it does nothing until it is given to `launch` and started. The name is stored with every run: keep it when you rename the function.
 * @param run takes the context and one input; what it returns is the result. It must do everything that has an effect, or depends on time or chance, through `ctx`.
 * @throws PerdureError `invalid_id` (name) · `invalid_argument` · `invalid_duration`
 * @example
 * const fulfil = workflow("fulfil", async (ctx, order: Order) => {
 *   const payment = await ctx.step("charge", () => payments.charge(order));
 *   await ctx.sleep("1 day");
 *   return { status: "shipped" as const, payment };
 * });
 */
export function workflow<Parsed = void, Result = void, From = Unset>(
  name: string,
  run: (ctx: WorkflowContext<In<From, Parsed>>, input: Parsed) => Result | PromiseLike<Result>,
  options?: WorkflowOptions<Parsed> & Schema<From, Parsed>,
): Workflow<In<From, Parsed>, Result> {
  const what = `workflow(${shown(name)})`;
  checkName(name, "the name of a workflow");
  checkRun(run, what);
  checkOptions(options, what, ["version", "versioning", "id", "timeout", "retry", "queue", "input"]);
  checkWorkflowOptions(options, what);
  const input = checkSchema(options?.input, what);
  const definition = { kind: "workflow", name, version: options?.version, input, options: Object.freeze({ ...options }), run } as const;
  return Object.freeze(definition) as unknown as Workflow<In<From, Parsed>, Result>;
}

/**
 * Defines an activity: a function that does I/O, is queued, and is run by any process that was launched with it. It gets its input first
 * and `{ signal, attempt, idempotencyKey }` last, so an existing function can be passed as it is.
 * @throws PerdureError `invalid_id` (name) · `invalid_argument` · `invalid_duration`
 * @example const printLabel = activity("print-label", async (order: Order, { signal }) => labels.print(order, { signal }), { timeout: "30s" });
 */
export function activity<Parsed = void, Result = void, From = Unset>(
  name: string,
  run: (input: Parsed, io: ActivityContext) => Result | PromiseLike<Result>,
  options?: CallOptions & Schema<From, Parsed>,
): Activity<In<From, Parsed>, Result> {
  const what = `activity(${shown(name)})`;
  checkName(name, "the name of an activity");
  checkRun(run, what);
  checkOptions(options, what, [...callOptions, "input"]);
  checkCallOptions(options, what);
  const input = checkSchema(options?.input, what);
  const definition = { kind: "activity", name, input, options: Object.freeze({ ...options }), run } as const;
  return Object.freeze(definition) as unknown as Activity<In<From, Parsed>, Result>;
}

class MessageDefinition {
  readonly kind = "message";
  readonly name: string;
  readonly input: StandardSchema<any, any> | undefined;
  constructor(name: string, input: StandardSchema<any, any> | undefined) {
    this.name = name;
    this.input = input;
  }
  of(value: unknown): Envelope {
    return Object.freeze({ kind: "envelope", message: this as unknown as Message<any, any>, value });
  }
}

/**
 * Defines a message: what `handle.send` sends and `ctx.receive` takes (Temporal and go-workflows say "signal").
 * Messages of one name are kept in order from before anybody waits for them, and none is lost.
 * @throws PerdureError `invalid_id` (name) · `invalid_argument`
 * @example const approved = message<boolean>("approved");
 */
export function message<Value = void, From = Unset>(name: string, options?: Schema<From, Value>): Message<Value, In<From, Value>> {
  checkName(name, "the name of a message");
  const what = `message(${shown(name)})`;
  checkOptions(options, what, ["input"]);
  return Object.freeze(new MessageDefinition(name, checkSchema(options?.input, what))) as unknown as Message<Value, In<From, Value>>;
}

/**
 * Defines an update: a request to a running workflow that is answered. `handle.update` asks, `ctx.on` answers. Durable once it is accepted.
 * @throws PerdureError `invalid_id` (name) · `invalid_argument`
 * @example const setPrice = update<number, { accepted: boolean }>("set-price");
 */
export function update<Parsed = void, Result = void, From = Unset>(
  name: string,
  options?: Schema<From, Parsed>,
): Update<In<From, Parsed>, Result, Parsed> {
  checkName(name, "the name of an update");
  const what = `update(${shown(name)})`;
  checkOptions(options, what, ["input"]);
  const input = checkSchema(options?.input, what);
  return Object.freeze({ kind: "update", name, input }) as unknown as Update<In<From, Parsed>, Result, Parsed>;
}

/**
 * Defines a published state: `ctx.publish` sets it, `handle.read` and `handle.watch` look at it, also when no worker is alive.
 * @throws PerdureError `invalid_id`
 * @example const progress = state<{ done: number; of: number }>("progress");
 */
export function state<Value>(name: string): State<Value> {
  checkName(name, "the name of a state");
  return Object.freeze({ kind: "state", name }) as unknown as State<Value>;
}

/**
 * Defines a stream: `ctx.write` and the `write` of steps append to it, `handle.stream` follows it.
 * @throws PerdureError `invalid_id`
 * @example const tokens = stream<string>("tokens");
 */
export function stream<Chunk>(name: string): Stream<Chunk> {
  checkName(name, "the name of a stream");
  return Object.freeze({ kind: "stream", name }) as unknown as Stream<Chunk>;
}

/**
 * Names a queue: runs and activities that are put into it are taken only by processes that serve it (`launch({ queues })`).
 * @throws PerdureError `invalid_id`
 * @example const gpu = queue("gpu"); const render = activity("render", renderFrame, { queue: gpu });
 */
export function queue(name: string): Queue {
  checkName(name, "the name of a queue");
  return Object.freeze({ kind: "queue", name });
}

/**
 * Names a workflow that another program runs, without pulling in its code: import its type only.
 * A schema of the definition runs in the first worker that takes the run.
 * @example
 * import type { fulfil } from "../worker/fulfil.js";
 * const handle = await client.start(workflowRef<typeof fulfil>("fulfil"), order);
 */
export function workflowRef<W extends WorkflowRef<any, any>>(name: string): WorkflowRef<InputOf<W>, ResultOf<W>> {
  checkName(name, "the name of a workflow");
  return Object.freeze({ kind: "workflow", name }) as unknown as WorkflowRef<InputOf<W>, ResultOf<W>>;
}

/**
 * Names an activity that another program runs, without pulling in its code: import its type only.
 * @example const label = await ctx.activity(activityRef<typeof printLabel>("print-label"), order);
 */
export function activityRef<A extends ActivityRef<any, any>>(name: string): ActivityRef<InputOf<A>, ResultOf<A>> {
  checkName(name, "the name of an activity");
  return Object.freeze({ kind: "activity", name }) as unknown as ActivityRef<InputOf<A>, ResultOf<A>>;
}

/** Is this a workflow or activity definition (with code), and not only a reference? */
export function hasCode<I, R>(def: WorkflowRef<I, R>): def is Workflow<I, R>;
export function hasCode<I, R>(def: ActivityRef<I, R>): def is Activity<I, R>;
export function hasCode(def: object): boolean {
  return "run" in def;
}

function shown(name: unknown): string {
  return typeof name === "string" ? JSON.stringify(name.slice(0, 60)) : String(typeof name);
}
