// A test of a workflow that takes a month: on a virtual clock, with a mock, a message that comes after two days, and a worker that is killed at every write.
import assert from "node:assert/strict";
import { activity, message, workflow } from "perdure";
import { crashEverywhere, testEngine } from "perdure/testing";

const cancelled = message<string>("cancelled");

const sendMail = activity("send-mail", async (to: string): Promise<string> => {
  throw new Error(`no mail for ${to} from a test, please`);
});

const trial = workflow("trial", async (ctx, customer: string) => {
  await ctx.activity(sendMail, `welcome ${customer}`);
  const reason = await ctx.receive(cancelled, { timeout: "30 days", otherwise: "" });
  if (reason !== "") return `left: ${reason}`;
  const paid = await ctx.step("charge", () => "paid");
  await ctx.activity(sendMail, `thanks ${customer}`);
  return paid;
});

const options = { workflows: [trial], activities: [sendMail] };

const engine = await testEngine(options);
const mails: string[] = [];
engine.mock(sendMail, async (text) => `mail ${mails.push(text)}`);

// While a result is awaited, the clock moves by itself.
assert.equal(await engine.execute(trial, "Ada"), "paid");
console.log(`${mails.join(", ")} on ${engine.now().toDateString()}`);

// At other times it stands still, and is moved by hand.
const handle = await engine.start(trial, "Bob");
await engine.advance("2 days");
console.log((await handle.describe()).waitingFor.map(({ name }) => name));
await handle.send(cancelled, "too loud");
console.log(await handle.result());
await engine.close();

const { crashes } = await crashEverywhere(options, async (one) => {
  const sent = new Set<string>();
  one.mock(sendMail, async (_, { idempotencyKey }) => `mail ${sent.add(idempotencyKey).size}`);
  const result = await one.execute(trial, "Eve");
  return { result, mails: sent.size };
});
console.log(crashes > 10 ? "the same after every crash" : "hardly a crash");

/* Output:
welcome Ada, thanks Ada on Fri Jan 31 2025
[ 'cancelled' ]
left: too loud
the same after every crash
*/
