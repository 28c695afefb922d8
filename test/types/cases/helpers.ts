// Generic helpers, references, recursion, and contexts that are passed on.
import { activity, activityRef, message, workflow, workflowRef } from "perdure";
import type {
  ActivityRef,
  AnyActivity,
  AnyWorkflow,
  Client,
  Duration,
  Handle,
  InputOf,
  ResultOf,
  WorkflowContext,
  WorkflowRef,
} from "perdure";
import { check } from "./check.js";
import type { Same } from "./check.js";

declare const client: Client;
declare const context: WorkflowContext;

// fan-out over any activity
export async function fanOut<I, R>(ctx: WorkflowContext, def: ActivityRef<I, R>, inputs: readonly I[]): Promise<R[]> {
  return await Promise.all(inputs.map((input) => ctx.activity(def, input)));
}
const size = activity("size", async (file: string) => file.length);
export const sizes = workflow("sizes", async (ctx, files: string[]) => fanOut(ctx, size, files));
check<Same<ResultOf<typeof sizes>, number[]>>();

// starting any workflow
export async function startAll<I, R>(def: WorkflowRef<I, R>, inputs: readonly I[]): Promise<Handle<R>[]> {
  return await Promise.all(inputs.map((input) => client.start(def, input)));
}
export const started = startAll(sizes, [["a"], ["b"]]);
check<Same<Awaited<typeof started>, Handle<number[]>[]>>();

// helpers ask for no more than they use
export async function nap(ctx: Pick<WorkflowContext, "sleep" | "now">, duration: Duration): Promise<Date> {
  await ctx.sleep(duration);
  return ctx.now();
}
export const napping = workflow("napping", async (ctx, seconds: number) => nap(ctx, `${seconds}s`));
check<Same<ResultOf<typeof napping>, Date>>();

// inside scopes and shields
export const guarded = workflow("guarded", async (ctx, file: string) => {
  try {
    return await ctx.scope((inner) => fanOut(inner, size, [file]), { timeout: "10 minutes", signal: ctx.signal });
  } finally {
    await ctx.shield((inner) => inner.step("release", () => undefined));
  }
});
check<Same<ResultOf<typeof guarded>, number[]>>();

// references carry the types without the code
const sizesElsewhere = workflowRef<typeof sizes>("sizes");
check<Same<typeof sizesElsewhere, WorkflowRef<string[], number[]>>>();
const sizeElsewhere = activityRef<typeof size>("size");
check<Same<InputOf<typeof sizeElsewhere>, string>>();
export async function elsewhere(): Promise<void> {
  const total = await context.activity(sizeElsewhere, "file", {
    retry: { attempts: 2, backoff: "1s", when: (error) => error instanceof TypeError },
  });
  check<Same<typeof total, number>>();
  const list = await client.execute(sizesElsewhere, ["a"]);
  check<Same<typeof list, number[]>>();
}

// a workflow that starts itself, and two that start each other: from a step, through a client
export const countdown: AnyWorkflow = workflow("countdown", async (ctx, n: number) => {
  if (n > 0) await ctx.step("next", async () => void (await client.start(countdown, n - 1)));
});
export const selfTyped = workflow("self-typed", async (ctx, n: number): Promise<number> => {
  if (n === 0) return 0;
  const below = await ctx.step("next", async () => client.execute(selfTyped, n - 1));
  return below + 1;
});
check<Same<typeof selfTyped extends WorkflowRef<number, number> ? true : false, true>>();
export const ping = workflow("ping", async (ctx, n: number): Promise<string> =>
  n === 0 ? "ping" : ctx.step("pong", () => client.execute(pong, n - 1)),
);
export const pong = workflow("pong", async (ctx, n: number): Promise<string> =>
  n === 0 ? "pong" : ctx.step("ping", () => client.execute(ping, n - 1)),
);
check<Same<ResultOf<typeof ping>, string>>();

// lists of definitions of all types
export const workflows: readonly AnyWorkflow[] = [sizes, napping, guarded, selfTyped, ping, workflow("none", async () => {})];
export const activities: readonly AnyActivity[] = [size, activity("none", () => {})];

// values of steps keep their types
export async function steps(): Promise<void> {
  const answer = await context.step("answer", () => 42 as const);
  check<Same<typeof answer, 42>>();
  const [a, b] = await Promise.all([context.step("a", async () => "a"), context.receive(message<Date>("b"))]);
  check<Same<typeof a, string>>();
  check<Same<typeof b, Date>>();
  const durations: readonly Duration[] = [0, 1.5, "5m", "5 m", "250ms", "2 hours", "1.5 days", "1 week", "30 seconds"];
  await context.sleep(durations[0] ?? 1);
  await context.sleepUntil(new Date(0));
}
