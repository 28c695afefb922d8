// Errors of every kind: yours, with class and cause, live and on replay; and perdure's, told apart by their code.
import { setTimeout as pause } from "node:timers/promises";
import { isPerdureError, launch, NonRetryableError, RunFailedError, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

class CardDeclined extends Error {
  override readonly name = "CardDeclined";
}

/** An error in one line. */
function tell(error: unknown): string {
  if (isPerdureError(error)) return `perdure's ${error.code}`;
  if (error instanceof CardDeclined) return `CardDeclined: ${error.message}, because of ${String(error.cause)}`;
  return String(error);
}

const once = { retry: { attempts: 1 } } as const;
const declined = (): Promise<never> => Promise.reject(new CardDeclined("card 4242", { cause: new RangeError("limit") }));

const collect = workflow("collect", async (ctx) => {
  const attempts: Promise<unknown>[] = [
    ctx.step("of your class", declined, once),
    ctx.step("not worth another attempt", () => Promise.reject(new NonRetryableError("closed for ever"))),
    ctx.step("too slow", ({ signal }) => pause(60_000, undefined, { signal }), { ...once, timeout: 30 }),
    ctx.step("not storable", () => ({ callback: () => 1 })),
    ctx.step("ctx in a body", () => ctx.step("inside", () => 1), once),
    ctx.scope((inner) => inner.sleep("1 hour"), { timeout: 30 }),
  ];
  for (const outcome of await Promise.allSettled(attempts)) if (outcome.status === "rejected") ctx.log.info(tell(outcome.reason));
  await ctx.step("charge", declined, once); // nobody catches it: the run fails
});

const logger = { ...console, info: (line: string) => console.log(line) };
const engine = await launch({ backend: sqlite("errors.db"), workflows: [collect], errors: [CardDeclined], logger });
try {
  await engine.execute(collect, undefined, { id: "c" });
} catch (error) {
  if (error instanceof RunFailedError) console.log(`${tell(error)}: ${tell(error.cause)}`);
}
await engine
  .get("nobody")
  .cancel()
  .catch((error: unknown) => console.log(tell(error)));
await engine
  .get("c")
  .cancel()
  .catch((error: unknown) => console.log(tell(error)));
await engine.close();

/* Output:
CardDeclined: card 4242, because of RangeError: limit
NonRetryableError: closed for ever
perdure's timeout
perdure's unserializable
perdure's context_misuse
perdure's timeout
perdure's run_failed: CardDeclined: card 4242, because of RangeError: limit
perdure's not_found
perdure's not_running
*/
