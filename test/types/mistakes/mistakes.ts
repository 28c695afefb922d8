// What must not compile. The test also takes the directives away and holds what the compiler then says against mistakes.txt:
// these texts are the first thing that a user in error reads.
import { activity, message, workflow, workflowRef } from "perdure";
import type { ActivityContext, ActivityRef, Backend, Client, Handle, Launch, Message, Workflow, WorkflowContext } from "perdure";
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
