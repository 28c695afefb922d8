// Waiting for people: a message that is answered, one that is declined, and one that nobody answers in time.
import { launch, message, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Expense {
  readonly who: string;
  readonly euros: number;
}

const approved = message<{ readonly by: string }>("approved");
const declined = message<{ readonly by: string; readonly reason: string }>("declined");

const reimburse = workflow("reimburse", async (ctx, expense: Expense) => {
  if (expense.euros <= 50) return `${expense.who} gets ${expense.euros} €`;
  const answer = await ctx.receiveAny({ approved, declined }, { timeout: "1 second", otherwise: "nobody" });
  if (answer === "nobody") return `${expense.who} has to ask again`;
  if (answer.key === "declined") return `${expense.who} gets nothing: ${answer.value.reason}`;
  return `${expense.who} gets ${expense.euros} €, says ${answer.value.by}`;
});

const engine = await launch({ backend: sqlite("approval.db"), workflows: [reimburse] });

const lunch = await engine.start(reimburse, { who: "Ada", euros: 20 });
const flight = await engine.start(reimburse, { who: "Grace", euros: 300 });
const yacht = await engine.start(reimburse, { who: "Alan", euros: 90_000 });
const book = await engine.start(reimburse, { who: "Edsger", euros: 60 });

await flight.send(approved, { by: "the boss" });
await yacht.send(declined, { by: "the boss", reason: "too small" });

for (const handle of [lunch, flight, yacht, book]) console.log(await handle.result());
await engine.close();

/* Output:
Ada gets 20 €
Grace gets 300 €, says the boss
Alan gets nothing: too small
Edsger has to ask again
*/
