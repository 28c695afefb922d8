// Sleeping until a date: months have no fixed length, so compute a Date from ctx.now(). A sleeping run is a row; it needs no process until then.
import { launch, workflow, type WorkflowContext } from "perdure";
import { fakeContext } from "perdure/testing";
import { sqlite } from "perdure/sqlite";

/** The first moment after the month that `date` is in. */
const monthEnd = (date: Date): Date => new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1));

const billing = workflow("billing", async (ctx: WorkflowContext<string>, customer: string): Promise<string> => {
  const from = ctx.now();
  await ctx.sleepUntil(monthEnd(from));
  await ctx.step("invoice", () => console.log(`invoice for ${customer}, ${from.toISOString().slice(0, 7)}`));
  return ctx.continueAsNew(customer); // next month, with an empty history
});

// In earnest: it sleeps, and the engine may be closed and the machine switched off meanwhile.
const engine = await launch({ backend: sqlite("month-end.db"), workflows: [billing] });
const handle = await engine.start(billing, "Ada", { id: "billing-ada" });
while ((await handle.describe()).status === "running") await new Promise((resolve) => setTimeout(resolve, 5));
const { status, waitingFor } = await handle.describe();
console.log(status, "until day", waitingFor[0]?.until?.getUTCDate(), "of a month");
await handle.terminate("only an example");
await engine.close();

// In a unit test: the clock of a fake context moves by itself, and waits for nothing.
for (const day of ["2026-01-31T09:00Z", "2026-12-01T00:00Z", "2028-02-10T00:00Z"]) {
  const ctx = fakeContext({ now: new Date(day) });
  await billing.run(ctx, "Ada");
  console.log(ctx.now().toISOString(), "then again:", ctx.continuedWith?.input);
}

/* Output:
sleeping until day 1 of a month
invoice for Ada, 2026-01
2026-02-01T00:00:00.000Z then again: Ada
invoice for Ada, 2026-12
2027-01-01T00:00:00.000Z then again: Ada
invoice for Ada, 2028-02
2028-03-01T00:00:00.000Z then again: Ada
*/
