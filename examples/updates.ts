// Updates: requests to a running workflow that are answered by it. What the validator refuses leaves no trace in the history.
import { launch, message, update, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const bid = update<{ readonly who: string; readonly euros: number }, { readonly leading: boolean; readonly highest: number }>("bid");
const hammer = message("hammer");

const auction = workflow("auction", async (ctx, reserve: number) => {
  let highest = { who: "nobody", euros: reserve };
  ctx.on(
    bid,
    async (offer) => {
      // A handler is workflow code: it may use ctx, and what it waits for is durable.
      await ctx.step("check funds", () => undefined);
      if (offer.euros > highest.euros) highest = offer;
      return { leading: highest.who === offer.who, highest: highest.euros };
    },
    {
      validate: ({ euros }) => {
        if (!Number.isInteger(euros)) throw new RangeError("whole euros, please");
      },
    },
  );
  await ctx.receive(hammer);
  // Bids that were accepted are answered before the run ends.
  return highest;
});

const engine = await launch({ backend: sqlite("updates.db"), workflows: [auction] });
const handle = await engine.start(auction, 100, { id: "lot-7" });

console.log(await handle.update(bid, { who: "Ada", euros: 120 }));
console.log(await handle.update(bid, { who: "Alan", euros: 110 }));
// Repeated under the same key it is one bid, answered alike.
for (let attempt = 1; attempt <= 2; attempt += 1) console.log(await handle.update(bid, { who: "Alan", euros: 150 }, { key: "alan-150" }));

const before = (await handle.history()).length;
await handle.update(bid, { who: "Grace", euros: 160.5 }).catch((error: Error) => console.log(`${error.name}: ${error.message}`));
console.log("events written by the refusal:", (await handle.history()).length - before);

await handle.send(hammer);
console.log(await handle.result());
await engine.close();

/* Output:
{ leading: true, highest: 120 }
{ leading: false, highest: 120 }
{ leading: true, highest: 150 }
{ leading: true, highest: 150 }
RangeError: whole euros, please
events written by the refusal: 0
{ who: 'Alan', euros: 150 }
*/
