// Failures: one that passes, one that is not worth a second attempt, and one that is cleaned up after.
import { isPerdureError, launch, NonRetryableError, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const bank = {
  calls: 0,
  transfer(euros: number): string {
    this.calls += 1;
    if (euros > 1000) throw new NonRetryableError("the limit is 1000 €");
    if (this.calls < 3) throw new Error("the line is busy");
    return `${euros} € transferred in call ${this.calls}`;
  },
};

const pay = workflow("pay", (ctx, euros: number) =>
  // Attempts are counted in the database: a crash between them starts no new count.
  ctx.step("transfer", ({ attempt }) => `${bank.transfer(euros)}, attempt ${attempt}`, { retry: { attempts: 5, backoff: "20ms" } }),
);

const buy = workflow("buy", async (ctx, euros: number) => {
  await ctx.step("reserve", () => console.log("reserved"));
  try {
    return await ctx.step("transfer", () => bank.transfer(euros));
  } catch (error) {
    await ctx.step("release", () => console.log("released"));
    throw error;
  }
});

const engine = await launch({ backend: sqlite("retries.db"), workflows: [pay, buy] });

console.log(await engine.execute(pay, 50));
try {
  await engine.execute(buy, 5000);
} catch (error) {
  if (!isPerdureError(error, "run_failed")) throw error;
  console.log(error.code, "because", error.cause instanceof NonRetryableError ? error.cause.message : error.cause);
}
await engine.close();

/* Output:
50 € transferred in call 3, attempt 3
reserved
released
run_failed because the limit is 1000 €
*/
