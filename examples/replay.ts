// Replay in CI: histories of real runs are kept as files, and every change of the code must fit them. No database is needed, and no body runs.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type HistoryExport, isPerdureError, launch, message, workflow } from "perdure";
import { replayAll } from "perdure/testing";
import { sqlite } from "perdure/sqlite";

const delivered = message("delivered");

const ship = workflow("ship", async (ctx, parcel: string) => {
  await ctx.step("pack", () => parcel);
  await ctx.step("label", () => parcel);
  await ctx.receive(delivered);
});

// Once in a while, where runs are: export some, the interesting ones among them.
const engine = await launch({ backend: sqlite("replay.db"), workflows: [ship] });
mkdirSync("histories");
for (const id of ["open", "done"]) {
  const handle = await engine.start(ship, "a lamp", { id });
  if (id === "done") await handle.send(delivered).then(() => handle.result());
  writeFileSync(`histories/${id}.json`, JSON.stringify(await handle.export()));
}
await engine.close();

// In CI, with the code as it is now.
const histories = readdirSync("histories").map((file) => JSON.parse(readFileSync(`histories/${file}`, "utf8")) as HistoryExport);
console.log("the code of today:", await replayAll(histories, [ship]));

const hasty = workflow("ship", async (ctx, parcel: string) => {
  await ctx.step("label", () => parcel); // the order was changed
  await ctx.step("pack", () => parcel);
  await ctx.receive(delivered);
});
for (const { id, error } of await replayAll(histories, [hasty]))
  if (isPerdureError(error, "nondeterminism")) console.log(`${id}:`, error.message.replace(/^.*?: /, ""));

const careful = workflow("ship", async (ctx, parcel: string) => {
  if (ctx.patched("weigh")) await ctx.step("weigh", () => 2); // only runs that come this way from now on
  await ctx.step("pack", () => parcel);
  await ctx.step("label", () => parcel);
  await ctx.receive(delivered);
});
console.log("with a patch:", await replayAll(histories, [careful]));

/* Output:
the code of today: []
done: At command 1 (event 1) the history has step "pack", but the code did step "label".
open: At command 1 (event 1) the history has step "pack", but the code did step "label".
with a patch: []
*/
