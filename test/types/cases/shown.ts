// What runs show and are asked: updates, published state, streams; and the hooks around everything.
import { activity, state, stream, update, workflow } from "perdure";
import type {
  ActivityContext,
  Client,
  Handle,
  HistoryExport,
  InputOf,
  Interceptor,
  ResultOf,
  State,
  StepContext,
  Stream,
  StreamEntry,
  StreamReader,
  Update,
  WorkflowContext,
} from "perdure";
import { z } from "zod";
import { check } from "./check.js";
import type { Same } from "./check.js";

declare const ctx: WorkflowContext;
declare const client: Client;
declare const handle: Handle<void>;

// updates: what is asked, what is answered, and what the schema makes of it in between
const setPrice = update<number, { readonly old: number }>("set-price");
check<Same<typeof setPrice, Update<number, { readonly old: number }>>>();
check<Same<InputOf<typeof setPrice>, number>>();
check<Same<ResultOf<typeof setPrice>, { readonly old: number }>>();
const poke = update<void, string>("poke");

export async function asks(): Promise<void> {
  const answer = await handle.update(setPrice, 99);
  check<Same<typeof answer, { readonly old: number }>>();
  await handle.update(setPrice, 99, { key: "once" });
  const poked = await handle.update(poke);
  check<Same<typeof poked, string>>();
  await handle.update(poke, undefined, { key: "once" });
}

export const shop = workflow("shop", async (ctx) => {
  let price = 1;
  ctx.on(setPrice, (next) => {
    check<Same<typeof next, number>>();
    const old = price;
    price = next;
    return { old };
  });
  ctx.on(
    setPrice,
    async (next) => {
      await ctx.step("check", () => next);
      return { old: price };
    },
    {
      validate: (next) => {
        check<Same<typeof next, number>>();
        if (next < 0) throw new RangeError("negative");
      },
    },
  );
  ctx.on(poke, () => "ouch");
  return price;
});

// with a schema the types follow from it, but an answer has to be named, and then all three: parsed, answer, asked
const at = z.string().transform((text) => new Date(text));
const dated = update("dated", { input: at });
check<Same<typeof dated, Update<string, void, Date>>>();
const booked = update<Date, boolean, string>("booked", { input: at });
check<Same<typeof booked, Update<string, boolean, Date>>>();
ctx.on(booked, (when) => {
  check<Same<typeof when, Date>>();
  return when.getTime() > 0;
});
export async function books(): Promise<boolean> {
  await handle.update(dated, "2026-01-31");
  return handle.update(booked, "2026-01-31");
}

// published state
const progress = state<{ readonly done: number }>("progress");
check<Same<typeof progress, State<{ readonly done: number }>>>();
ctx.publish(progress, { done: 1 });
export async function reads(): Promise<void> {
  const value = await handle.read(progress);
  check<Same<typeof value, { readonly done: number } | undefined>>();
  for await (const seen of handle.watch(progress, { signal: AbortSignal.timeout(5) }))
    check<Same<typeof seen, { readonly done: number }>>();
}

// streams, and the narrowing of their entries
const tokens = stream<string>("tokens");
check<Same<typeof tokens, Stream<string>>>();
export const speaker = workflow("speaker", async (ctx) => {
  await ctx.write(tokens, "begin");
  return ctx.step("say", async ({ write, written }) => {
    const from = await written(tokens);
    check<Same<typeof from, number>>();
    await write(tokens, "more");
  });
});
export const shouter = activity("shouter", async (text: string, { write }) => write(tokens, text.toUpperCase()));
export async function follows(): Promise<void> {
  const reader = handle.stream(tokens, { from: 3 });
  check<Same<typeof reader, StreamReader<string>>>();
  for await (const token of reader) check<Same<typeof token, string>>();
  for await (const entry of reader.entries()) {
    check<Same<typeof entry, StreamEntry<string>>>();
    check<Same<typeof entry.offset, number>>();
    if (entry.kind === "chunk") check<Same<typeof entry.value, string>>();
    else check<Same<typeof entry.from, number>>();
  }
  const web = reader.readable();
  check<Same<typeof web, ReadableStream<string>>>();
}

// kinds are told apart, also where their types agree
check<Same<Stream<string> extends State<string> ? true : false, false>>();
check<Same<State<string> extends Stream<string> ? true : false, false>>();
check<Same<Update<string, void> extends State<string> ? true : false, false>>();

// activities that others complete, and what they are handed
const approve = activity("approve", (_invoice: string, { token, completeLater, heartbeat, lastHeartbeat }): { readonly by: string } => {
  check<Same<typeof token, string>>();
  check<Same<typeof lastHeartbeat, unknown>>();
  heartbeat();
  heartbeat({ at: 1 });
  return completeLater();
});
check<Same<ResultOf<typeof approve>, { readonly by: string }>>();
check<Same<ActivityContext extends StepContext ? true : false, true>>();
export async function completes(token: string): Promise<void> {
  await client.complete(approve, token, { by: "ann" });
  await client.fail(token, new Error("no"));
  const history = await client.getRun<number>("run").export();
  check<Same<typeof history, HistoryExport>>();
  const result = await client.getRun<number>("run").result();
  check<Same<typeof result, number>>();
  await client.get("x").terminate("enough");
}

// interceptors: all hooks, and none of them
export const traced: Interceptor = {
  start: (call, next) => {
    call.headers["trace"] = call.id;
    return next();
  },
  send: async (call, next) => {
    check<Same<typeof call.value, unknown>>();
    await next();
  },
  update: (call, next) => (call.name === "refused" ? Promise.reject(new Error("no")) : next()),
  workflow: (call, next) => {
    check<Same<typeof call.ctx, WorkflowContext>>();
    return next();
  },
  outbound: (call) => {
    check<Same<typeof call.kind, "activity" | "child">>();
    call.headers["via"] = call.name;
  },
  step: (call, next) => (call.attempt > 1 ? next() : next().then((value) => value)),
  activity: async (call, next) => [call.workflowId, await next()],
};
export const none: Interceptor = {};
