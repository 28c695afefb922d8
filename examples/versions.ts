// Changing code while runs are under way: a patch marks a change in place, versions let old runs keep the code that they began with.
import { type AnyWorkflow, launch, message, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const paid = message("paid");

// Monday's code.
const invoice = workflow("invoice", async (ctx) => {
  const tax = await ctx.step("vat 19", () => 19);
  await ctx.receive(paid);
  return `${tax} %`;
});
const tariffOld = workflow("tariff", async (ctx) => `old tariff, ${await ctx.receive(paid).then(() => "paid")}`, {
  version: "2025",
  versioning: "pinned",
});

// Tuesday's code. Runs that passed this place on Monday keep to the old branch; all others take the new one.
const invoicePatched = workflow("invoice", async (ctx) => {
  const tax = ctx.patched("vat-2026") ? await ctx.step("vat 20", () => 20) : await ctx.step("vat 19", () => 19);
  await ctx.receive(paid);
  return `${tax} %`;
});
// Another version stands beside the old one; it goes when engine.list shows no run of it any more.
const tariffNew = workflow("tariff", async (ctx) => `new tariff, ${await ctx.receive(paid).then(() => "paid")}`, {
  version: "2026",
  versioning: "pinned",
});

async function day(name: string, workflows: readonly AnyWorkflow[], begin: readonly AnyWorkflow[], end: boolean): Promise<void> {
  const engine = await launch({ backend: sqlite("versions.db"), workflows });
  for (const one of begin) await engine.start(one, undefined, { id: `${one.name} of ${name}` });
  if (end)
    for (const id of ["invoice of Monday", "invoice of Tuesday", "tariff of Monday", "tariff of Tuesday"]) {
      await engine.get(id).send(paid);
      console.log(id, "–", await engine.get(id).result());
    }
  await engine.close();
}

await day("Monday", [invoice, tariffOld], [invoice, tariffOld], false);
await day("Tuesday", [invoicePatched, tariffOld, tariffNew], [invoicePatched, tariffNew], true);

/* Output:
invoice of Monday – 19 %
invoice of Tuesday – 20 %
tariff of Monday – old tariff, paid
tariff of Tuesday – new tariff, paid
*/
