// A job at regular times: a loop that sleeps until the next slot and starts a child named after it, so that no slot is done twice. A cancel ends it.
import { launch, workflow, type WorkflowContext } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Schedule {
  readonly everyMs: number;
  /** The time of the next slot. */
  readonly slot: Date;
  readonly done: number;
}

const report = workflow("report", async (ctx, number: number) => {
  await ctx.step("write", () => console.log(`report ${number}`));
});

const reports = workflow("reports", async (ctx: WorkflowContext<Schedule>, { everyMs, slot, done }: Schedule): Promise<void> => {
  await ctx.sleepUntil(slot); // never early
  // Abandoned: going on as a new run ends this one, and would cancel its children.
  await ctx.startChild(report, done + 1, { id: `report-${slot.toISOString()}`, onParentClose: "abandon" });
  // A slot that was slept through, because no worker was alive, is left out rather than made up for.
  const missed = Math.floor(Math.max(0, ctx.now().getTime() - slot.getTime()) / everyMs);
  return ctx.continueAsNew({ everyMs, slot: new Date(slot.getTime() + (missed + 1) * everyMs), done: done + 1 });
});

const engine = await launch({ backend: sqlite("schedule.db"), workflows: [reports, report] });
const handle = await engine.start(reports, { everyMs: 400, slot: new Date(), done: 0 }, { id: "reports" });

// Until three are written.
for (let written = 0; written < 3;) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  written = 0;
  for await (const run of engine.list({ name: "report", status: "completed" })) if (run.status === "completed") written += 1;
}
await handle.cancel("enough");
await handle.result().catch((error: Error) => console.log(error.message));
await engine.close();

/* Output:
report 1
report 2
report 3
The run was cancelled: enough
*/
