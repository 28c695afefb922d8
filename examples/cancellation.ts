// Cancelling: pending operations reject with CancelledError, bodies get an aborted signal, and the code cleans up behind a shield.
import { setTimeout as pause } from "node:timers/promises";
import { CancelledError, isPerdureError, launch, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const build = workflow("build", async (ctx, project: string) => {
  await ctx.step("rent a machine", () => console.log(`${project}: machine rented`));
  try {
    await ctx.step("compile", async ({ signal }) => {
      console.log(`${project}: compiling`);
      await pause(60_000, undefined, { signal });
    });
    return "built";
  } catch (error) {
    if (error instanceof CancelledError) ctx.log.info(`${project}: stopped on request`);
    throw error; // thrown on, the run ends as cancelled; swallowed, it would go on to an end of its own
  } finally {
    // Without the shield this step would be refused: the run is cancelled.
    await ctx.shield((shielded) => shielded.step("return the machine", () => console.log(`${project}: machine returned`)));
  }
});

// A part of a run is cancelled by a scope of its own; the rest goes on.
const search = workflow("search", async (ctx) => {
  const found = new AbortController();
  const slow = ctx.scope((inner) => inner.sleep("1 hour"), { signal: found.signal });
  await ctx.step("look in the cache", () => undefined);
  found.abort(new Error("found in the cache"));
  return slow.catch((error: Error) => `no need to wait: ${error.message}`);
});

const logger = { ...console, info: (line: string) => console.log(line) };
const engine = await launch({ backend: sqlite("cancellation.db"), workflows: [build, search], logger });
const handle = await engine.start(build, "compiler");
await pause(100);
await handle.cancel("out of budget");
try {
  await handle.result();
} catch (error) {
  if (!isPerdureError(error, "cancelled")) throw error;
  console.log(error.message, (await handle.describe()).status);
}
console.log(await engine.execute(search));
await engine.close();

/* Output:
compiler: machine rented
compiler: compiling
compiler: stopped on request
compiler: machine returned
The run was cancelled: out of budget cancelled
no need to wait: found in the cache
*/
