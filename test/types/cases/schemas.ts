// Standard Schemas of three libraries: plain, transforming, defaulted, optional.
import { activity, message, workflow } from "perdure";
import type { Activity, Client, InputOf, Message, WorkflowContext } from "perdure";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import { check } from "./check.js";
import type { Same } from "./check.js";

declare const client: Client;
declare const ctx: WorkflowContext;

// plain, inline: the input needs no annotation
export const zodPlain = workflow("zod-plain", async (_ctx, input) => input.qty.toFixed(), { input: z.object({ qty: z.number() }) });
check<Same<InputOf<typeof zodPlain>, { qty: number }>>();
export const valibotPlain = workflow("valibot-plain", async (_ctx, input) => input.qty.toFixed(), { input: v.object({ qty: v.number() }) });
check<Same<InputOf<typeof valibotPlain>, { qty: number }>>();
export const arktypePlain = workflow("arktype-plain", async (_ctx, input) => input.qty.toFixed(), { input: type({ qty: "number" }) });
check<Same<InputOf<typeof arktypePlain>, { qty: number }>>();

// transforming: callers pass one type, the function sees another
export const zodDate = workflow("zod-date", async (_ctx, when) => when.getTime(), {
  input: z.string().transform((text) => new Date(text)),
});
check<Same<InputOf<typeof zodDate>, string>>();
export const valibotDate = activity("valibot-date", async (when) => when.getTime(), {
  input: v.pipe(
    v.string(),
    v.transform((text) => new Date(text)),
  ),
  timeout: "5s",
});
check<Same<typeof valibotDate, Activity<string, number>>>();
export const arktypeDate = workflow("arktype-date", async (_ctx, when) => when.getTime(), {
  input: type("string").pipe((text) => new Date(text)),
});
check<Same<InputOf<typeof arktypeDate>, string>>();

// defaulted and optional
export const zodDefault = workflow("zod-default", async (_ctx, input) => input.qty.toFixed(), {
  input: z.object({ qty: z.number().default(1) }),
});
check<Same<InputOf<typeof zodDefault>, { qty?: number | undefined }>>();
export const valibotDefault = workflow("valibot-default", async (_ctx, n) => n.toFixed(), { input: v.optional(v.number(), 1) });
check<Same<InputOf<typeof valibotDefault>, number | undefined>>();
export const zodOptional = workflow("zod-optional", async (_ctx, n) => n?.toFixed(), { input: z.number().optional() });
check<Same<InputOf<typeof zodOptional>, number | undefined>>();
export const arktypeOptional = workflow("arktype-optional", async (_ctx, n) => n?.toFixed(), { input: type("number | undefined") });
check<Same<InputOf<typeof arktypeOptional>, number | undefined>>();

// an annotation that agrees with the schema, and the id function sees what the schema gives out
export const both = workflow("both", async (_ctx, when: Date) => when, {
  input: z.string().transform((text) => new Date(text)),
  id: (when) => when.toISOString(),
});
check<Same<InputOf<typeof both>, string>>();

// messages: one type to send, another to receive
export const scheduled = message("scheduled", { input: z.string().transform((text) => new Date(text)) });
check<Same<typeof scheduled, Message<Date, string>>>();

export async function use(): Promise<void> {
  await client.start(zodPlain, { qty: 1 });
  await client.start(zodDate, "2025-01-01", { id: "x" });
  await client.start(zodDefault, {});
  await client.start(valibotDefault);
  await client.start(zodOptional, undefined, { id: "x" });
  const time = await ctx.activity(valibotDate, "2025-01-01");
  check<Same<typeof time, number>>();
  const handle = await client.start(arktypeDate, "2025-01-01");
  await handle.send(scheduled, "2025-01-01");
  scheduled.of("2025-01-01");
  const when = await ctx.receive(scheduled);
  check<Same<typeof when, Date>>();
}
