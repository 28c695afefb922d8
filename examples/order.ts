// An order that is charged, approved by a person, packed and shipped. Kill the process while it waits or sleeps and start it again: it goes on where
// it was, and the card is charged once. Started a third time it only tells the result: a start is idempotent by its id.
import { activity, launch, message, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Order {
  readonly id: number;
  readonly total: number;
  readonly items: readonly string[];
}

const approved = message<boolean>("approved");

const printLabel = activity("print-label", (order: Order) => `label ${order.id}`, {
  retry: { attempts: 5, backoff: "1s" },
  timeout: "30s",
});

const fulfil = workflow("fulfil", async (ctx, order: Order) => {
  const payment = await ctx.step("charge", ({ idempotencyKey }) => charge(order, idempotencyKey));
  if (order.total > 1000 && !(await ctx.receive(approved, { timeout: "3 days", otherwise: false }))) return { status: "rejected" as const };
  const [label, stock] = await Promise.all([
    // native combinators are deterministic here
    ctx.activity(printLabel, order),
    ctx.step("reserve", () => `${order.items.length} items`),
  ]);
  await ctx.sleep("1 second");
  return { status: "shipped" as const, label, stock, payment };
});

function charge(order: Order, onceBy: string): string {
  console.log(`charging ${order.total}`, onceBy === "" ? "twice?" : "once");
  return `paid ${order.total}`;
}

const engine = await launch({ backend: sqlite("orders.db"), workflows: [fulfil], activities: [printLabel] });
const order: Order = { id: 17, total: 1999, items: ["lamp", "bulb"] };
const handle = await engine.start(fulfil, order, { id: `order-${order.id}`, send: [approved.of(true)] });
console.log(await handle.result()); // typed: { status: "rejected" } | { status: "shipped", … }
await engine.close();

/* Output:
charging 1999 once
{
  status: 'shipped',
  label: 'label 17',
  stock: '2 items',
  payment: 'paid 1999'
}
*/
