// Time: races against the clock, a scope with a limit, reminders until somebody reacts. Durable, so days work like these milliseconds.
import { isPerdureError, launch, message, workflow, type WorkflowContext } from "perdure";
import { sqlite } from "perdure/sqlite";

const confirmed = message<string>("confirmed");

/** Asks up to three times, each time waiting a little longer. */
async function remind(ctx: WorkflowContext, who: string): Promise<string> {
  for (let times = 1; times <= 3; times += 1) {
    await ctx.step(`remind ${times}`, () => console.log(`reminder ${times} for ${who}`));
    const answer = await ctx.receive(confirmed, { timeout: 100 * times, otherwise: "" });
    if (answer !== "") return `${who} said ${answer} after ${times} reminders`;
  }
  return `${who} never answered`;
}

const book = workflow("book", remind);

const race = workflow("race", (ctx) =>
  Promise.race([ctx.sleep("200ms").then(() => "tortoise"), ctx.sleepUntil(new Date(ctx.now().getTime() + 20)).then(() => "hare")]),
);

const hurry = workflow("hurry", async (ctx) => {
  try {
    return await ctx.scope((inner) => inner.sleep("1 hour").then(() => "an hour later"), { timeout: "50ms" });
  } catch (error) {
    if (isPerdureError(error, "timeout")) return "not in time";
    throw error;
  }
});

const engine = await launch({ backend: sqlite("timers.db"), workflows: [book, race, hurry] });

console.log(await engine.execute(race));
console.log(await engine.execute(hurry));
console.log(await engine.execute(book, "Barbara"));
// A message may be there before anybody waits for it.
console.log(await engine.execute(book, "Frances", { send: [confirmed.of("yes")] }));
await engine.close();

/* Output:
hare
not in time
reminder 1 for Barbara
reminder 2 for Barbara
reminder 3 for Barbara
Barbara never answered
reminder 1 for Frances
Frances said yes after 1 reminders
*/
