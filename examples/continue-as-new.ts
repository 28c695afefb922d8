// A run that lives for ever keeps its history short: it goes on as a fresh one under the same id, and takes along what nobody has read.
import { launch, message, workflow, type WorkflowContext } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Account {
  readonly balance: number;
  readonly round: number;
}

const deposit = message<number>("deposit");
const close = message("close");

// The input type of the context is what continueAsNew takes; the result type is written out, since the code calls itself.
const account = workflow("account", async (ctx: WorkflowContext<Account>, { balance, round }: Account): Promise<string> => {
  let now = balance;
  // Three at a time here; in earnest ask ctx.info.continueSuggested, which is true from 4,096 events on.
  for (let taken = 0; taken < 3; taken += 1) {
    const next = await ctx.receiveAny({ deposit, close });
    if (next.key === "close") return `${now} € in round ${round}, after ${ctx.info.historyLength} events`;
    now += next.value;
  }
  // It does not throw, so that no catch can swallow it: return what it gives.
  return ctx.continueAsNew({ balance: now, round: round + 1 });
});

const engine = await launch({ backend: sqlite("continue-as-new.db"), workflows: [account] });
const handle = await engine.start(account, { balance: 0, round: 1 }, { id: "account-1" });
for (let euros = 1; euros <= 10; euros += 1) await handle.send(deposit, euros);
await handle.send(close);

// The handle follows the chain.
console.log(await handle.result());
for await (const run of engine.list({ name: "account" })) console.log(run.id, run.status, run.historyLength);
await engine.close();

/* Output:
55 € in round 4, after 3 events
account-1 completed 4
account-1 continued 5
account-1 continued 5
account-1 continued 5
*/
