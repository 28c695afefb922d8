// Interceptors: hooks around everything, for tracing and authorization. Headers go along from the start to activities and children.
import { AsyncLocalStorage } from "node:async_hooks";
import { activity, connect, type Interceptor, launch, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const request = new AsyncLocalStorage<{ readonly user: string; readonly trace: string }>();
const log: string[] = [];

// In the process that starts runs: who asks, and under which trace.
const fromRequest: Interceptor = {
  start(call, next) {
    const { user, trace } = request.getStore() ?? { user: "nobody", trace: "none" };
    if (user === "nobody") throw new Error(`nobody may start ${call.workflow}`);
    Object.assign(call.headers, { user, trace });
    return next();
  },
};

// In the workers: a span around every body. `workflow` and `outbound` run on every replay too, so they only pass things on.
const span = async (what: string, trace: string | undefined, next: () => Promise<unknown>): Promise<unknown> => {
  log.push(`${trace} > ${what}`);
  const result = await next();
  log.push(`${trace} < ${what}`);
  return result;
};
const traced: Interceptor = {
  step: (call, next) => span(`step ${call.name}`, call.headers["trace"], next),
  activity: (call, next) => span(`activity ${call.name} for ${call.headers["user"]}`, call.headers["trace"], next),
  outbound: (call) => void (call.headers["via"] = call.kind),
  workflow: async (call, next) => (call.headers["via"] === "child" ? `${String(await next())}, as a child` : next()),
};

const mail = activity("mail", (text: string) => `mailed ${text}`);
const remind = workflow("remind", async (ctx, text: string) => ctx.activity(mail, text));
const notify = workflow("notify", async (ctx, text: string) => ctx.child(remind, await ctx.step("compose", () => `"${text}"`)));

const backend = sqlite("interceptors.db");
const engine = await launch({ backend, workflows: [notify, remind], activities: [mail], interceptors: [traced] });
const client = await connect({ backend, interceptors: [fromRequest] });
await client.start(notify, "hi").catch((error: Error) => console.log(error.message));
console.log(await request.run({ user: "ada", trace: "t-1" }, () => client.execute(notify, "hi")));
console.log(log.join("\n"));
await client.close();
await engine.close();

/* Output:
nobody may start notify
mailed "hi", as a child
t-1 > step compose
t-1 < step compose
t-1 > activity mail for ada
t-1 < activity mail for ada
*/
