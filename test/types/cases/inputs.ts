// Where a definition's input type comes from.
import { activity, workflow } from "perdure";
import type { ActivityContext, Client, Handle, InputOf, ResultOf, Workflow, WorkflowContext } from "perdure";
import { check } from "./check.js";
import type { Same } from "./check.js";

declare const client: Client;
interface Order {
  id: number;
}

// from the annotation
export const annotated = workflow("annotated", async (_ctx, order: Order) => order.id);
check<Same<InputOf<typeof annotated>, Order>>();
check<Same<ResultOf<typeof annotated>, number>>();
check<Same<typeof annotated, Workflow<Order, number>>>();

// from a named function
async function named(ctx: WorkflowContext, order: Order): Promise<string> {
  return await ctx.step("id", () => String(order.id));
}
export const fromNamed = workflow("named", named);
check<Same<InputOf<typeof fromNamed>, Order>>();
check<Same<ResultOf<typeof fromNamed>, string>>();

// no input at all
export const nothing = workflow("nothing", async () => 1);
check<Same<InputOf<typeof nothing>, void>>();
export const onlyContext = workflow("only-context", async (ctx) => ctx.now());
check<Same<InputOf<typeof onlyContext>, void>>();
check<Same<ResultOf<typeof onlyContext>, Date>>();

// a function that is not async, and one that returns nothing
export const plain = workflow("plain", (_ctx, n: number) => n + 1);
check<Same<ResultOf<typeof plain>, number>>();
export const silent = workflow("silent", async (ctx) => {
  await ctx.sleep(1);
});
check<Same<ResultOf<typeof silent>, void>>();

// an existing function as an activity: input first, the bag last
declare function print(order: Order, options?: { signal?: AbortSignal }): Promise<URL>;
declare const printStrict: (order: Order, io: ActivityContext) => URL;
export const printing = activity("print", print);
check<Same<InputOf<typeof printing>, Order>>();
check<Same<ResultOf<typeof printing>, URL>>();
export const printingStrictly = activity("print-strictly", printStrict);
check<Same<InputOf<typeof printingStrictly>, Order>>();

export const optional = workflow("optional", async (_ctx, order?: Order) => order?.id);
check<Same<InputOf<typeof optional>, Order | undefined>>();
export const defaulted = workflow("defaulted", async (_ctx, n: number | undefined = 3) => n.toFixed());
check<Same<InputOf<typeof defaulted>, number | undefined>>();
export const anything = workflow("anything", async (_ctx, input: any) => input as string);
export const unknown = workflow("unknown", async (_ctx, input: unknown) => typeof input);

// options know the input
export const withId = workflow("with-id", async (_ctx, order: Order) => order, {
  id: (order) => `order-${order.id}`,
  version: "2",
  timeout: "1 hour",
});
check<Same<InputOf<typeof withId>, Order>>();

// starting each of them
export async function starts(): Promise<void> {
  const order: Order = { id: 1 };
  const handle = await client.start(annotated, order);
  check<Same<Awaited<ReturnType<typeof handle.describe>>["id"], string>>();
  await client.start(annotated, order, { id: "x", timeout: "5m", delay: new Date() });
  await client.start(nothing);
  await client.start(nothing, undefined, { id: "x" });
  await client.start(optional);
  await client.start(optional, order);
  await client.start(optional, undefined, { id: "x" });
  await client.start(defaulted);
  await client.start(defaulted, 4, { id: "x" });
  await client.start(anything);
  await client.start(anything, { what: "ever" }, { id: "x" });
  await client.start(unknown);
  await client.start(unknown, [1, "two"], { id: "x" });
  const answer = await client.execute(fromNamed, order);
  check<Same<typeof answer, string>>();
  const got = client.get(annotated, "x");
  check<Same<typeof got, Handle<number>>>();
  const untyped = client.get("x");
  check<Same<typeof untyped, Handle<unknown>>>();
  const claimed = client.get<Order>("x");
  check<Same<typeof claimed, Handle<Order>>>();
  for await (const run of client.list({ status: ["parked", "failed"], limit: 10 })) void run.parked?.message;
}
