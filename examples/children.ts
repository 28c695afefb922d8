// Child workflows: runs of their own, with their own history, id and retries. The parent starts them, writes to them, and waits for what they give.
import { isPerdureError, launch, message, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const price = message<number>("price");

const quote = workflow("quote", async (ctx, carrier: string) => {
  const offered = await ctx.receive(price);
  if (offered > 100) throw new RangeError(`${carrier} is too dear`);
  return ctx.step("note", () => `${carrier} for ${offered} €`);
});

const audit = workflow("audit", async (ctx, what: string) => {
  await ctx.sleep("200ms");
  return `audited ${what}`;
});

const ship = workflow("ship", async (ctx, carriers: Readonly<Record<string, number>>) => {
  // Left alone when this run ends; without the option it would be cancelled.
  await ctx.startChild(audit, "ship", { id: "audit-1", onParentClose: "abandon" });

  const names = Object.keys(carriers);
  const children = await Promise.all(names.map((name) => ctx.startChild(quote, name, { id: `quote-${name}` })));
  for (const [index, name] of names.entries()) await children[index]?.send(price, carriers[name] ?? 0);

  const offers: string[] = [];
  for (const child of children) {
    try {
      offers.push(await child.result());
    } catch (error) {
      // What the child threw is the cause.
      if (!isPerdureError(error, "run_failed")) throw error;
      offers.push(`none: ${(error.cause as Error).message}`);
    }
  }
  return offers;
});

const engine = await launch({ backend: sqlite("children.db"), workflows: [ship, quote, audit] });
console.log(await engine.execute(ship, { post: 12, drone: 480, bike: 9 }, { id: "ship-1" }));
for await (const run of engine.list({ name: "quote", status: "failed" })) console.log(run.id, "of", run.parent?.id, run.status);
console.log(await engine.get(audit, "audit-1").result());
await engine.close();

/* Output:
[ 'post for 12 €', 'none: drone is too dear', 'bike for 9 €' ]
quote-drone of ship-1 failed
audited ship
*/
