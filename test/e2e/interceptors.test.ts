import { expect, it } from "vitest";
import { activity, message, update, workflow, type Interceptor } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const go = message<string>("go");
const ask = update<number, number>("ask");

onEveryBackend("interceptors", (lab) => {
  it("are around everything, and carry headers from a start to children and activities in other processes", async () => {
    const log: string[] = [];
    const traced = (who: string): Interceptor => ({
      start: (call, next) => ((call.headers["trace"] = `t-${who}`), log.push(`start ${call.workflow} ${call.id}`), next()),
      send: (call, next) => (log.push(`send ${call.name} ${String(call.value)}`), next()),
      update: async (call, next) => {
        const answer = await next();
        log.push(`update ${call.name} ${String(answer)}`);
        return answer;
      },
      outbound: (call) => void (call.headers["via"] = call.kind),
      workflow: async (call, next) => {
        const result = await next();
        if (call.info.name === "child") log.push(`${call.info.name} ${call.headers["trace"]} ${call.headers["via"]}`);
        return result;
      },
      step: (call, next) => (log.push(`step ${call.name} ${call.headers["trace"]} ${call.attempt}`), next()),
      activity: (call, next) => (log.push(`${who} activity ${call.name} ${call.headers["trace"]} ${call.headers["via"]}`), next()),
    });
    const act = activity("act", (n: number) => n + 1);
    const child = workflow("child", async (ctx) => ctx.activity(act, 1));
    const parent = workflow("parent", async (ctx) => {
      ctx.on(ask, (n) => n * 2);
      await ctx.step("s", () => 1);
      await ctx.receive(go);
      return ctx.child(child);
    });
    await lab.launch({ workflows: [parent, child], interceptors: [traced("worker")] });
    await lab.launch({ activities: [act], interceptors: [traced("other")] });
    const client = await lab.connect({ interceptors: [traced("client")] });
    const handle = await client.start(parent, undefined, { id: "p" });
    expect(await lab.time.run(handle.update(ask, 21))).toBe(42);
    await handle.send(go, "now");
    expect(await lab.time.run(handle.result())).toBe(2);
    expect(log).toEqual([
      "start parent p",
      "step s t-client 1",
      "update ask 42",
      "send go now",
      "other activity act t-client activity",
      "child t-client child",
    ]);
  });

  it("may refuse, and may change what comes back", async () => {
    const guarded: Interceptor = {
      start: (call, next) => (call.workflow === "secret" ? Promise.reject(new Error("not for you")) : next()),
      step: async (_, next) => `<${String(await next())}>`,
    };
    const open = workflow("open", async (ctx) => ctx.step("s", () => "x"));
    const secret = workflow("secret", async () => 1);
    const engine = await lab.launch({ workflows: [open, secret], interceptors: [guarded] });
    await expect(engine.start(secret)).rejects.toThrow("not for you");
    expect(await lab.time.run(engine.execute(open))).toBe("<x>");
  });
});
