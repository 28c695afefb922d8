// Children, chains, other runs, and what options may say.
import { activity, message, queue, workflow, workflowRef } from "perdure";
import type {
  ActivityTimeouts,
  AnyWorkflow,
  Attributes,
  CallOptions,
  ChildHandle,
  ChildOptions,
  InputOf,
  Queue,
  ResultOf,
  RetryPolicy,
  StartOptions,
  WorkflowContext,
  WorkflowRunHandle,
} from "perdure";
import { z } from "zod";
import { check } from "./check.js";
import type { Same } from "./check.js";

declare const ctx: WorkflowContext;
interface Order {
  id: number;
}

// a child: its input and result follow from its definition
const audit = workflow("audit", async (_ctx, order: Order) => ({ ok: order.id > 0 }));
const tick = workflow("tick", async () => "tock" as const);
const dated = workflow("dated", async (_ctx, when) => when, { input: z.string().transform((text) => new Date(text)) });
const approved = message<boolean>("approved");

export const parent = workflow("parent", async (ctx, order: Order) => {
  const outcome = await ctx.child(audit, order);
  check<Same<typeof outcome, { ok: boolean }>>();
  const said = await ctx.child(tick);
  check<Same<typeof said, "tock">>();
  await ctx.child(tick, undefined, { id: "tick", timeout: "1 hour", onParentClose: "abandon", deadline: "detached" });
  const date = await ctx.child(dated, "2026-01-31", { attributes: { at: new Date(0) } });
  check<Same<typeof date, Date>>();
  const elsewhere = await ctx.child(workflowRef<typeof audit>("audit"), order);
  check<Same<typeof elsewhere, { ok: boolean }>>();

  const handle = await ctx.startChild(audit, order, { retry: { attempts: 3 }, queue: queue("audits") });
  check<Same<typeof handle, ChildHandle<{ ok: boolean }>>>();
  check<Same<typeof handle.id, string>>();
  await handle.send(approved, true, { key: "once" });
  await handle.cancel("no need");
  const result = await handle.result();
  check<Same<typeof result, { ok: boolean }>>();
  const timed = await handle.result({ timeout: "1 minute", otherwise: "late" });
  check<Same<typeof timed, { ok: boolean } | "late">>();
  const [first, second] = await Promise.all([ctx.startChild(tick), ctx.startChild(audit, order)]);
  check<Same<typeof first, ChildHandle<"tock">>>();
  check<Same<typeof second, ChildHandle<{ ok: boolean }>>>();
  return [outcome, said] as const;
});
check<Same<ResultOf<typeof parent>, readonly [{ ok: boolean }, "tock"]>>();

// a handle is not thenable, so it may be returned
check<Same<"then" extends keyof ChildHandle<1> ? true : false, false>>();
check<Same<ChildHandle<1> extends WorkflowRunHandle ? true : false, true>>();

// any other run, by its id
export async function others(): Promise<void> {
  const other = ctx.get("order-17");
  check<Same<typeof other, WorkflowRunHandle>>();
  await other.send(approved, true);
  await other.cancel();
}

// a workflow that is its own child annotates its result, and so do two that are each other's
export const countdown = workflow("countdown", async (ctx, n: number): Promise<number> =>
  n === 0 ? 0 : (await ctx.child(countdown, n - 1)) + 1,
);
check<Same<ResultOf<typeof countdown>, number>>();
export const ping = workflow("ping", async (ctx, n: number): Promise<string> => (n === 0 ? "ping" : ctx.child(pong, n - 1)));
export const pong = workflow("pong", async (ctx, n: number): Promise<string> => (n === 0 ? "pong" : ctx.child(ping, n - 1)));
check<Same<ResultOf<typeof pong>, string>>();
// one whose child's result goes nowhere needs no more than a name for its type
export const spawner: AnyWorkflow = workflow("spawner", async (ctx, n: number) => void (n > 0 && (await ctx.startChild(spawner, n - 1))));

// going on as a new run: the context is told the input, and the call fits any result
interface State {
  readonly round: number;
  readonly seen: readonly string[];
}
export const chain = workflow("chain", async (ctx: WorkflowContext<State>, { round, seen }: State): Promise<string> => {
  if (round > 3) return seen.join();
  const next = await ctx.scope(async (inner) => {
    await inner.sleep(1);
    return { round: round + 1, seen };
  });
  if (round === 2) return ctx.continueAsNew(next, { version: "2" });
  return ctx.continueAsNew(next);
});
check<Same<InputOf<typeof chain>, State>>();
check<Same<ResultOf<typeof chain>, string>>();
export const inferred = workflow("inferred", async (ctx: WorkflowContext<number>, n: number) =>
  n < 3 ? ctx.continueAsNew(n + 1) : "done",
);
check<Same<ResultOf<typeof inferred>, string>>();
// without an annotation the context knows the input as well
export const told = workflow("told", async (ctx, n: number): Promise<number> => (n < 3 ? ctx.continueAsNew(n + 1) : n));
check<Same<InputOf<typeof told>, number>>();
// helpers that only work with a context take any
export async function rest(ctx: WorkflowContext): Promise<void> {
  await ctx.sleep(1);
}
export const resting = workflow("resting", async (ctx: WorkflowContext<State>, state: State): Promise<State> => {
  await rest(ctx);
  return ctx.continueAsNew(state);
});

// options
const timeouts: ActivityTimeouts = { attempt: "1m", total: "1 hour", queued: 500, heartbeat: "10s" };
const gpu = queue("gpu");
check<Same<typeof gpu, Queue>>();
const policy: RetryPolicy = {
  attempts: Infinity,
  backoff: "1s",
  factor: 2,
  maxBackoff: "1 minute",
  when: (error) => error instanceof TypeError,
};
const calls: readonly CallOptions[] = [
  { timeout: "1m" },
  { timeout: timeouts },
  { queue: gpu, onCancel: "wait" },
  { local: true, retry: policy },
];
const render = activity("render", (scene: string) => scene, calls[0]);
export async function called(): Promise<string[]> {
  return Promise.all(calls.map((options) => ctx.activity(render, "opening", options)));
}
export const defined = workflow("defined", async () => 1, {
  version: "2",
  versioning: "pinned",
  queue: gpu,
  retry: policy,
  timeout: "1 day",
});
export const starts: readonly StartOptions[] = [
  { onExisting: "fail" },
  { onExisting: "terminate", reuse: "after-failure" },
  { queue: gpu, retry: { attempts: 2 }, attributes: { total: 99.5, vip: true, since: new Date(0), customer: "c-17" } },
];
export const children: readonly ChildOptions[] = [{ onParentClose: "terminate" }, { id: "x", deadline: "inherited", timeout: 1 }];
export const facts: Attributes = { removed: null, text: "x", number: 1, truth: false, time: new Date(0) };
ctx.setAttributes(facts);
check<Same<ReturnType<typeof ctx.patched>, boolean>>();
