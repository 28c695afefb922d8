// An order that is charged, approved by a person, packed and shipped. Kill the process at any point and start it again: it goes on where it was.
import { activity, launch, message, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Order {
  readonly id: number;
  readonly total: number;
}

const approved = message<boolean>("approved");

const printLabel = activity("print-label", (order: Order) => `label for order ${order.id}`, {
  retry: { attempts: 5, backoff: "1s" },
  timeout: "30s",
});

const fulfil = workflow("fulfil", async (ctx, order: Order) => {
  const payment = await ctx.step("charge", ({ idempotencyKey }) => ({ amount: order.total, once: idempotencyKey !== "" }));
  if (order.total > 1000 && !(await ctx.receive(approved, { timeout: "3 days", otherwise: false }))) return { status: "rejected" as const };
  const [label, stock] = await Promise.all([
    // native combinators are deterministic here
    ctx.activity(printLabel, order),
    ctx.step("reserve", () => "reserved"),
  ]);
  await ctx.sleep("1 second");
  return { status: "shipped" as const, label, stock, payment };
});

const engine = await launch({ backend: sqlite("hello.db"), workflows: [fulfil], activities: [printLabel] });
const order: Order = { id: 17, total: 2000 };
const handle = await engine.start(fulfil, order, { id: `order-${order.id}` }); // idempotent by id
await handle.send(approved, true);
console.log(await handle.result());
await engine.close();

/* Output:
{
  status: 'shipped',
  label: 'label for order 17',
  stock: 'reserved',
  payment: { amount: 2000, once: true }
}
*/
