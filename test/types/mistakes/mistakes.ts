// What must not compile. The test also takes the directives away and holds what the compiler then says against mistakes.txt:
// these texts are the first thing that a user in error reads.
import { activity, message, queue, state, stream, update, workflow, workflowRef } from "perdure";
import type {
  ActivityContext,
  ActivityRef,
  Attributes,
  Backend,
  Client,
  Handle,
  Interceptor,
  Launch,
  Message,
  StreamEntry,
  Workflow,
  WorkflowContext,
} from "perdure";
import { z } from "zod";

declare const client: Client;
declare const ctx: WorkflowContext;
declare const handle: Handle<number>;
declare const launch: Launch;
declare const backend: Backend;
interface Order {
  id: number;
}

const fulfil = workflow("fulfil", async (_ctx, order: Order) => order.id);
const tick = workflow("tick", async () => 1);
const print = activity("print", async (order: Order) => `label ${order.id}`);
const ping = activity("ping", () => "pong");
const approved = message<boolean>("approved");
const stop = message("stop");
const dated = workflow("dated", async (_ctx, when) => when.getTime(), { input: z.string().transform((text) => new Date(text)) });

export async function inputs(): Promise<void> {
  // @ts-expect-error missing input
  await client.start(fulfil);
  // @ts-expect-error options in the place of the input
  await client.start(fulfil, { id: "x" });
  // @ts-expect-error options in the place of no input
  await client.start(tick, { id: "x" });
  // @ts-expect-error input where there is none
  await client.start(tick, 1);
  // @ts-expect-error wrong input
  await client.start(fulfil, { id: "one" });
  // @ts-expect-error excess property in the input
  await client.start(fulfil, { id: 1, extra: true });
  // @ts-expect-error one argument too many
  await client.start(fulfil, { id: 1 }, { id: "x" }, 3);
  // @ts-expect-error an option that does not exist
  await client.start(fulfil, { id: 1 }, { ID: "x" });
  // @ts-expect-error what the schema gives out, not what it takes
  await client.start(dated, new Date());
  // @ts-expect-error wrong input of an activity
  await ctx.activity(print, 1);
  // @ts-expect-error missing input of an activity
  await ctx.activity(print);
  // @ts-expect-error options in the place of no input
  await ctx.activity(ping, { timeout: "1s" });
  // @ts-expect-error wrong value of a message
  await handle.send(approved, "yes");
  // @ts-expect-error missing value of a message
  await handle.send(approved);
  // @ts-expect-error a value where there is none
  await handle.send(stop, true);
  // @ts-expect-error wrong value of a message
  approved.of("yes");
  // @ts-expect-error missing value of a message
  approved.of();
}

export async function durations(): Promise<void> {
  // @ts-expect-error no unit
  await ctx.sleep("5");
  // @ts-expect-error unknown unit
  await ctx.sleep("5 fortnights");
  // @ts-expect-error no number
  await ctx.sleep("soon");
  // @ts-expect-error a Date is a time, not a duration
  await ctx.sleep(new Date());
  // @ts-expect-error a duration is not a time
  await ctx.sleepUntil("5m");
  // @ts-expect-error unknown unit
  await ctx.receive(approved, { timeout: "3 dayz" });
  // @ts-expect-error unknown unit
  workflow("late", async () => 1, { timeout: "1 year" });
}

export async function waits(): Promise<void> {
  // @ts-expect-error otherwise without timeout
  await ctx.receive(approved, { otherwise: false });
  // @ts-expect-error otherwise without timeout
  await ctx.receiveAny({ approved, stop }, { otherwise: false });
  // @ts-expect-error otherwise without timeout
  await handle.result({ otherwise: 1 });
  // @ts-expect-error the value may be "late"
  const value: boolean = await ctx.receive(approved, { timeout: "1s", otherwise: "late" });
  return value as unknown as void;
}

export async function kinds(): Promise<void> {
  // @ts-expect-error an activity is not started
  await client.start(print, { id: 1 });
  // @ts-expect-error a workflow is not an activity
  await ctx.activity(fulfil, { id: 1 });
  // @ts-expect-error a message is not an activity
  await ctx.activity(approved, true);
  // @ts-expect-error a workflow is not a message
  await ctx.receive(fulfil);
  // @ts-expect-error a name is not a definition
  await client.start("fulfil", { id: 1 });
  // @ts-expect-error an activity is not a workflow
  await launch({ backend, workflows: [print] });
  // @ts-expect-error a reference has no code to run
  await launch({ backend, workflows: [workflowRef<typeof fulfil>("fulfil")] });
  // @ts-expect-error a reference takes the type of a workflow
  workflowRef<typeof print>("fulfil");
  // @ts-expect-error a workflow of another input
  const other: Workflow<string, number> = fulfil;
  // @ts-expect-error an activity of a narrower input
  const narrower: ActivityRef<{ id: 1 }, string> = print;
  // @ts-expect-error a message of another value
  const said: Message<string> = approved;
  return [other, narrower, said] as unknown as void;
}

export async function context(): Promise<void> {
  const { step, sleep } = ctx;
  // @ts-expect-error methods are called on the context
  await step("charge", () => 1);
  // @ts-expect-error methods are called on the context
  await sleep(1);
  // @ts-expect-error a handle is not its result
  const result: number = await client.start(tick);
  // @ts-expect-error the I/O bag comes last
  activity("swapped", async (io: ActivityContext, order: Order) => [io.signal, order]);
  // @ts-expect-error the schema and the annotation disagree
  workflow("disagree", async (_ctx, n: number) => n, { input: z.string() });
  // @ts-expect-error not a schema
  workflow("no-schema", async (_ctx, n: number) => n, { input: { type: "number" } });
  return result as unknown as void;
}

const setPrice = update<number, boolean>("set-price");
const progress = state<number>("progress");
const tokens = stream<string>("tokens");
const gpu = queue("gpu");

export async function shown(entry: StreamEntry<string>): Promise<void> {
  // @ts-expect-error a stream is not a state
  ctx.publish(tokens, "x");
  // @ts-expect-error a state is not a stream
  await ctx.write(progress, 1);
  // @ts-expect-error an update is not a message
  await handle.send(setPrice, 1);
  // @ts-expect-error a message is not an update
  await handle.update(approved, true);
  // @ts-expect-error a message is not received as an update
  await ctx.receive(setPrice);
  // @ts-expect-error a state is read, not streamed
  handle.stream(progress);
  // @ts-expect-error wrong value of a state
  ctx.publish(progress, "half");
  // @ts-expect-error wrong chunk
  await ctx.write(tokens, 1);
  // @ts-expect-error wrong value of an update
  await handle.update(setPrice, "free");
  // @ts-expect-error missing value of an update
  await handle.update(setPrice);
  // @ts-expect-error a handler of another answer
  ctx.on(setPrice, (price) => `${price}`);
  // @ts-expect-error a handler of another request
  ctx.on(setPrice, (price: string) => price === "");
  // @ts-expect-error a restart has no value
  const value: string = entry.value;
  return value as unknown as void;
}

export async function composition(): Promise<void> {
  // @ts-expect-error an activity is not a child
  await ctx.child(print, { id: 1 });
  // @ts-expect-error missing input of a child
  await ctx.child(fulfil);
  // @ts-expect-error options in the place of a child's input
  await ctx.startChild(fulfil, { onParentClose: "abandon" });
  // @ts-expect-error wrong result of a child
  const text: string = await ctx.child(tick);
  // @ts-expect-error a child's handle is not its result
  const number: number = await ctx.startChild(tick);
  // @ts-expect-error a policy that does not exist
  await ctx.child(tick, undefined, { onParentClose: "ignore" });
  // @ts-expect-error another input than the run's own
  workflow("chain", async (ctx: WorkflowContext<number>, n: number): Promise<number> => (n > 0 ? ctx.continueAsNew("next") : n));
  // @ts-expect-error the context of another input
  workflow("other", async (ctx: WorkflowContext<string>, n: number): Promise<number> => (n > 0 ? ctx.continueAsNew("next") : n));
  return [text, number] as unknown as void;
}

export async function options(): Promise<void> {
  // @ts-expect-error a name is not a queue
  await ctx.activity(ping, undefined, { queue: "gpu" });
  // @ts-expect-error a queue is not a message
  await ctx.receive(gpu);
  // @ts-expect-error a limit that does not exist
  await ctx.activity(ping, undefined, { timeout: { start: "1m" } });
  // @ts-expect-error steps have one limit
  await ctx.step("a", () => 1, { timeout: { attempt: "1m" } });
  // @ts-expect-error the first attempt counts, there are no retries to name
  await ctx.step("a", () => 1, { retry: { retries: 3 } });
  // @ts-expect-error a policy that does not exist
  await client.start(tick, undefined, { onExisting: "replace" });
  // @ts-expect-error attributes are plain
  const facts: Attributes = { tags: ["a"] };
  // @ts-expect-error a wrong result from outside
  await client.complete(print, "token", 1);
  // @ts-expect-error a hook that does not exist
  const hooks: Interceptor = { query: () => undefined };
  return [facts, hooks] as unknown as void;
}
