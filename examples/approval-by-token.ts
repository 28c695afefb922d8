// An activity that somebody outside completes: it hands its token to a person, a web hook or another system, and takes no process while it waits.
import { activity, connect, launch, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Verdict {
  readonly by: string;
  readonly approved: boolean;
}

/** What an e-mail with a link would be: the token is all that the answer needs. */
const outbox: { readonly invoice: string; readonly token: string }[] = [];

const approve = activity(
  "approve",
  (invoice: string, { token, completeLater }): Verdict => {
    outbox.push({ invoice, token });
    return completeLater();
  },
  { retry: { attempts: 2, backoff: "10ms" }, timeout: { total: "14 days" } },
);

const pay = workflow("pay", async (ctx, invoice: string) => {
  const { by, approved } = await ctx.activity(approve, invoice);
  return approved ? `${invoice} paid, as ${by} said` : `${invoice} refused by ${by}`;
});

const backend = sqlite("approval-by-token.db");
const engine = await launch({ backend, workflows: [pay], activities: [approve] });
const handle = await engine.start(pay, "invoice 7");

async function nextMail(): Promise<string> {
  for (;;) {
    const mail = outbox.shift();
    if (mail !== undefined) return mail.token;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// Answers come from anywhere: a web server that is only a client, for one. A failure is retried as the policy says, with a new token.
const webServer = await connect({ backend });
const first = await nextMail();
await webServer.fail(first, new Error("the link was broken"));
const second = await nextMail();
await webServer.complete(approve, second, { by: "Grace", approved: true });
console.log(await handle.result());

// A token is good for one attempt, and for one answer.
for (const token of [first, second])
  await webServer.complete(approve, token, { by: "Alan", approved: false }).catch((error: { code?: string }) => console.log(error.code));
await webServer.close();
await engine.close();

/* Output:
invoice 7 paid, as Grace said
not_found
not_found
*/
