// The hello-world of the README, with what it leaves out declared here.
import { workflow, activity, message } from "perdure";
import type { Backend, Launch } from "perdure";
import { check } from "./check.js";
import type { Same } from "./check.js";

interface Order {
  id: number;
  total: number;
  items: string[];
}
interface Call {
  signal: AbortSignal;
  idempotencyKey?: string;
}
declare const order: Order;
declare const payments: { charge(order: Order, call: Call): Promise<{ receipt: string }> };
declare const labels: { print(order: Order, call: Call): Promise<{ url: string }> };
declare const warehouse: { reserve(items: string[]): Promise<void> };
declare const launch: Launch;
declare const sqlite: (file: string) => Backend;

const approved = message<boolean>("approved");

const printLabel = activity("print-label", async (order: Order, { signal, idempotencyKey }) =>
  labels.print(order, { signal, idempotencyKey }), { retry: { attempts: 5, backoff: "1s" }, timeout: "30s" });

const fulfil = workflow("fulfil", async (ctx, order: Order) => {
  const payment = await ctx.step("charge", ({ signal }) => payments.charge(order, { signal }));
  if (order.total > 1000 && !(await ctx.receive(approved, { timeout: "3 days", otherwise: false })))
    return { status: "rejected" as const };
  const [label, stock] = await Promise.all([                 // native combinators are deterministic here
    ctx.activity(printLabel, order),
    ctx.step("reserve", () => warehouse.reserve(order.items)),
  ]);
  await ctx.sleep("1 day");
  check<Same<typeof stock, void>>();
  return { status: "shipped" as const, label, payment };
});

export async function main(): Promise<void> {
  await using engine = await launch({ backend: sqlite("orders.db"), workflows: [fulfil], activities: [printLabel] });
  const handle = await engine.start(fulfil, order, { id: `order-${order.id}` });   // idempotent by id
  await handle.send(approved, true);
  const result = await handle.result();                        // typed: { status: "rejected" } | { status: "shipped", … }

  check<Same<typeof result.status, "rejected" | "shipped">>();
  if (result.status === "shipped") check<Same<typeof result.label, { url: string }>>();
  if (result.status === "shipped") check<Same<typeof result.payment, { receipt: string }>>();
}
