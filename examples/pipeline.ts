// A data pipeline: extract with heartbeats that let the next attempt go on where the last one stopped, transform in parallel, load once.
import { activity, launch, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const source = Array.from({ length: 1000 }, (_, id) => ({ id, euros: (id * 37) % 101 }));
const warehouse = new Map<string, number>();
const reads = { rows: 0 };

const extract = activity(
  "extract",
  (from: number, { heartbeat, lastHeartbeat, attempt }) => {
    const begun = (lastHeartbeat as { readonly at: number; readonly sum: number } | undefined) ?? { at: from, sum: 0 };
    let { sum } = begun;
    for (let at = begun.at; at < from + 250; at += 1) {
      if (attempt === 1 && at === from + 200) throw new Error("the source went away");
      sum += source[at]?.euros ?? 0;
      reads.rows += 1;
      // Kept for the next attempt. Calls in quick succession are put together into few commits.
      heartbeat({ at: at + 1, sum });
    }
    return { from, sum };
  },
  { retry: { backoff: "10ms" }, timeout: { attempt: "5m", heartbeat: "30s" } },
);

const toCents = activity("to-cents", (part: { readonly from: number; readonly sum: number }) => ({ ...part, cents: part.sum * 100 }));

const nightly = workflow("nightly", async (ctx, day: string) => {
  const parts = await Promise.all(
    [0, 250, 500, 750].map(async (from) => {
      const part = await ctx.activity(extract, from);
      return ctx.activity(toCents, part); // as soon as its own part is there
    }),
  );
  const cents = parts.reduce((sum, part) => sum + part.cents, 0);
  // A write that may be repeated: the same key, the same value.
  await ctx.step("load", () => void warehouse.set(day, cents));
  return cents;
});

const engine = await launch({ backend: sqlite("pipeline.db"), workflows: [nightly], activities: [extract, toCents] });
console.log(await engine.execute(nightly, "2026-01-31", { id: "nightly-2026-01-31" }), "cents");
console.log(warehouse.get("2026-01-31") === source.reduce((sum, row) => sum + row.euros, 0) * 100 ? "complete" : "wrong");
console.log(reads.rows, "rows read for", source.length, "though every part failed once");
await engine.close();

/* Output:
5001000 cents
complete
1000 rows read for 1000 though every part failed once
*/
