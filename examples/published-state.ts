// Published state: what a run shows of itself. Read without a worker, watched as it changes; other engines have queries for this.
import { connect, launch, message, state, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Progress {
  readonly done: number;
  readonly of: number;
}

const progress = state<Progress>("progress");
const goOn = message("go-on");

const convert = workflow("convert", async (ctx, files: readonly string[]) => {
  for (const [index, file] of files.entries()) {
    if (index === 2) await ctx.receive(goOn);
    await ctx.step(`convert ${file}`, () => undefined);
    // Stored in the commit that the next operation needs anyhow: it costs none of its own.
    ctx.publish(progress, { done: index + 1, of: files.length });
  }
});

const backend = sqlite("published-state.db");
const engine = await launch({ backend, workflows: [convert] });
await engine.start(convert, ["a.wav", "b.wav", "c.wav"], { id: "convert-1" });

const client = await connect({ backend });
const handle = client.get(convert, "convert-1");
// Values that follow quickly on each other may be passed over; the last one never is.
for await (const { done } of handle.watch(progress)) if (done === 2) break;
await engine.close();

console.log("no worker is alive:", await handle.read(progress));
await handle.send(goOn);

const again = await launch({ backend, workflows: [convert] });
let last: Progress | undefined;
for await (const value of handle.watch(progress)) last = value;
console.log("the run has ended:", last);
await again.close();
await client.close();

/* Output:
no worker is alive: { done: 2, of: 3 }
the run has ended: { done: 3, of: 3 }
*/
