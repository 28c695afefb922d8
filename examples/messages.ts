// Messages to a run, from whoever knows its id. They are kept in order from before anybody waits; a key makes a repeated send count once.
import { connect, launch, message, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const added = message<{ readonly item: string; readonly count: number }>("added");
const removed = message<string>("removed");
const checkout = message("checkout");

const cart = workflow("cart", async (ctx) => {
  const items = new Map<string, number>();
  for (;;) {
    // Takes the first of any kind and leaves the others where they are. A receive that loses a Promise.race would still take one.
    const next = await ctx.receiveAny({ added, removed, checkout }, { timeout: "30 days", otherwise: "abandoned" });
    if (next === "abandoned") return "nobody came back";
    switch (next.key) {
      case "added":
        items.set(next.value.item, (items.get(next.value.item) ?? 0) + next.value.count);
        break;
      case "removed":
        items.delete(next.value);
        break;
      case "checkout":
        return [...items].map(([item, count]) => `${count} × ${item}`).join(", ");
    }
  }
});

const backend = sqlite("messages.db");
const engine = await launch({ backend, workflows: [cart] });
// What is sent with the start is there from the beginning.
const handle = await engine.start(cart, undefined, { id: "cart-1", send: [added.of({ item: "lamp", count: 1 })] });
await handle.send(added, { item: "bulb", count: 4 });
await handle.send(added, { item: "rug", count: 1 });

// Any process that has the database can send.
const client = await connect({ backend });
const shop = client.get(cart, "cart-1");
for (let attempt = 1; attempt <= 3; attempt += 1) await shop.send(added, { item: "bulb", count: 1 }, { key: "click-77" });
await shop.send(removed, "rug");
await shop.send(checkout);
console.log(await handle.result());

try {
  await shop.send(added, { item: "sofa", count: 1 });
} catch (error) {
  console.log("too late:", (error as { code?: string }).code);
}
await client.close();
await engine.close();

/* Output:
1 × lamp, 5 × bulb
too late: not_running
*/
