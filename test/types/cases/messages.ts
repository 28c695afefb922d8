// Messages, and waits that end.
import { message, workflow } from "perdure";
import type { Client, Engine, Handle, Message, ResultOf, WorkflowContext } from "perdure";
import { check } from "./check.js";
import type { Same } from "./check.js";

declare const ctx: WorkflowContext;
declare const client: Client;
declare const handle: Handle<{ done: boolean }>;

const approved = message<boolean>("approved");
const cancelled = message("cancelled");
const note = message<string | undefined>("note");
check<Same<typeof approved, Message<boolean, boolean>>>();
check<Same<typeof cancelled, Message<void, void>>>();

export async function sends(): Promise<void> {
  await handle.send(approved, true);
  await handle.send(approved, true, { key: "once" });
  await handle.send(cancelled);
  await handle.send(cancelled, undefined, { key: "once" });
  await handle.send(note);
  await handle.send(note, "text");
  await client.start(
    workflow("any", async () => 1),
    undefined,
    { send: [approved.of(true), cancelled.of(), note.of(), note.of("text")] },
  );
}

export async function receives(): Promise<void> {
  const plain = await ctx.receive(approved);
  check<Same<typeof plain, boolean>>();
  const nothing = await ctx.receive(cancelled);
  check<Same<typeof nothing, void>>();
  const timed = await ctx.receive(approved, { timeout: "1h" });
  check<Same<typeof timed, boolean>>();
  const literal = await ctx.receive(approved, { timeout: "1h", otherwise: "late" });
  check<Same<typeof literal, boolean | "late">>();
  const falsy = await ctx.receive(approved, { timeout: 250, otherwise: undefined });
  check<Same<typeof falsy, boolean | undefined>>();
  const same = await ctx.receive(approved, { timeout: "2 hours", otherwise: false });
  check<Same<typeof same, boolean>>();
  const object = await ctx.receive(approved, { timeout: "1.5h", otherwise: { late: true } });
  check<Same<typeof object, boolean | { readonly late: true }>>();
}

export async function receivesAny(): Promise<void> {
  const answer = await ctx.receiveAny({ approved, stop: cancelled, note });
  check<Same<typeof answer.key, "approved" | "stop" | "note">>();
  if (answer.key === "approved") check<Same<typeof answer.value, boolean>>();
  else if (answer.key === "note") check<Same<typeof answer.value, string | undefined>>();
  else check<Same<typeof answer.value, void>>();
  const timed = await ctx.receiveAny({ approved }, { timeout: "1h", otherwise: null });
  if (timed !== null) check<Same<typeof timed.value, boolean>>();
}

export async function results(): Promise<void> {
  const plain = await handle.result();
  check<Same<typeof plain, { done: boolean }>>();
  const signalled = await handle.result({ signal: AbortSignal.timeout(5) });
  check<Same<typeof signalled, { done: boolean }>>();
  const timed = await handle.result({ timeout: "5s" });
  check<Same<typeof timed, { done: boolean }>>();
  const falsy = await handle.result({ timeout: "5s", otherwise: undefined });
  check<Same<typeof falsy, { done: boolean } | undefined>>();
  const literal = await handle.result({ timeout: "5s", otherwise: "late", signal: AbortSignal.timeout(5) });
  check<Same<typeof literal, { done: boolean } | "late">>();
}

// a handle is not a promise: an async function may return one
export async function passes(): Promise<Handle<number>> {
  return await client.start(workflow("n", async () => 1));
}
check<Same<"then" extends keyof Handle<1> ? true : false, false>>();
check<Same<Engine extends Client ? true : false, true>>();

// what a wait gives may be the result
export const waiting = workflow("waiting", async (context) => context.receive(approved, { timeout: "1d", otherwise: "late" }));
check<Same<ResultOf<typeof waiting>, boolean | "late">>();
