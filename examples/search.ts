// Attributes: facts about runs that can be searched for, set at the start or by the run itself, typed as they were given.
import { launch, message, workflow, type Filter } from "perdure";
import { sqlite } from "perdure/sqlite";

const paid = message("paid");

const order = workflow("order", async (ctx, { total }: { readonly total: number }) => {
  ctx.setAttributes({ total, large: total >= 1000, state: "unpaid" });
  await ctx.receive(paid);
  ctx.setAttributes({ state: "paid", large: null }); // null removes
});

const engine = await launch({ backend: sqlite("search.db"), workflows: [order] });

const since = new Date("2026-01-31");
for (const [id, customer, total] of [
  ["order-1", "c-17", 1999],
  ["order-2", "c-17", 20],
  ["order-3", "c-42", 5000],
] as const)
  await engine.start(order, { total }, { id, attributes: { customer, since } });

async function find(filter: Filter): Promise<string> {
  const ids: string[] = [];
  for await (const run of engine.list({ name: "order", ...filter })) ids.push(run.id);
  return ids.join(", ");
}

await engine.get("order-1").send(paid);
await engine.get("order-1").result();

console.log("of c-17:", await find({ attributes: { customer: "c-17" } }));
console.log("large and unpaid:", await find({ attributes: { large: true, state: "unpaid" } }));
console.log("since that day:", await find({ attributes: { since } }));
console.log(
  "20, a number:",
  await find({ attributes: { total: 20 } }),
  '- "20", a text:',
  (await find({ attributes: { total: "20" } })) || "none",
);
console.log("open:", await find({ status: ["waiting", "running", "pending", "sleeping"], limit: 10 }));
console.log((await engine.get("order-1").describe()).attributes);
await engine.close();

/* Output:
of c-17: order-2, order-1
large and unpaid: order-3
since that day: order-3, order-2, order-1
20, a number: order-2 - "20", a text: none
open: order-3, order-2
{
  customer: 'c-17',
  since: 2026-01-31T00:00:00.000Z,
  state: 'paid',
  total: 1999
}
*/
