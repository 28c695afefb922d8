import { expect, it } from "vitest";
import { z } from "zod";
import { message, workflow } from "perdure";
import { onEveryBackend } from "../support/lab.js";

const note = message<string>("note");
const stop = message<number>("stop");
const late = message<string>("late");

onEveryBackend("messages", (lab) => {
  it("that come before anybody waits are kept, in order, over restarts", async () => {
    const wf = workflow("w", async (ctx) => {
      await ctx.sleep("1 minute");
      return [await ctx.receive(note), await ctx.receive(note), await ctx.receive(note)];
    });
    let engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { id: "1" });
    await handle.send(note, "a");
    await handle.send(note, "b");
    engine = await lab.restart(engine, { workflows: [wf] });
    expect((await engine.get("1").describe()).unreadMessages).toBe(2);
    await engine.get("1").send(note, "c");
    expect(await lab.time.run(engine.get("1").result())).toEqual(["a", "b", "c"]);
  });

  it("wake a run that gave up its place, from whichever process they come", async () => {
    const wf = workflow("w", async (ctx) => `${await ctx.receive(note)}${await ctx.receive(note)}`);
    const engine = await lab.launch({ workflows: [wf], warmRuns: 0 });
    const client = await lab.connect();
    const handle = await engine.start(wf);
    await lab.waits(handle, "message", "note");
    await client.get(handle.id).send(note, "x");
    await lab.waits(handle, "message", "note");
    await handle.send(note, "y");
    expect(await lab.time.run(handle.result())).toBe("xy");
  });

  it("are first in first out for each name, and names do not stand in each other's way", async () => {
    const wf = workflow("w", async (ctx) => {
      const stopped = await ctx.receive(stop);
      const first = await ctx.receive(note);
      return [stopped, first, await ctx.receive(note)];
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    for (const text of ["n1", "n2"]) await handle.send(note, text);
    await handle.send(stop, 1);
    expect(await lab.time.run(handle.result())).toEqual([1, "n1", "n2"]);
  });

  it("go to several receivers in the order in which these asked", async () => {
    const wf = workflow("w", (ctx) => Promise.all([ctx.receive(note), ctx.receive(note), ctx.receive(note)]));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    for (const text of ["1", "2", "3"]) await handle.send(note, text);
    expect(await lab.time.run(handle.result())).toEqual(["1", "2", "3"]);
  });

  it("of any kind: receiveAny takes the first and leaves the others", async () => {
    const wf = workflow("w", async (ctx) => {
      const first = await ctx.receiveAny({ n: note, s: stop });
      const second = await ctx.receiveAny({ n: note, s: stop });
      const none = await ctx.receiveAny({ n: note, s: stop }, { timeout: "1s", otherwise: "none" });
      return [first, second, none];
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf, undefined, { send: [stop.of(7), note.of("text")] });
    expect(await lab.time.run(handle.result())).toEqual([{ key: "s", value: 7 }, { key: "n", value: "text" }, "none"]);
  });

  it("that do not come in time: TimeoutError, or what `otherwise` says, undefined included", async () => {
    const wf = workflow("w", async (ctx) => {
      const began = ctx.now().getTime();
      const code = await ctx.receive(note, { timeout: "30s" }).catch((error: unknown) => (error as { code: string }).code);
      const waited = ctx.now().getTime() - began;
      const nothing = await ctx.receive(note, { timeout: 5, otherwise: undefined });
      const value = await ctx.receive(note, { timeout: 5, otherwise: { none: true } });
      return { code, nothing, value, waited };
    });
    const engine = await lab.launch({ workflows: [wf] });
    const result = await lab.time.run(engine.execute(wf));
    expect(result).toMatchObject({ code: "timeout", value: { none: true } });
    expect(result).toHaveProperty("nothing", undefined);
    expect(result.waited).toBeGreaterThanOrEqual(30_000);
    expect(result.waited).toBeLessThan(31_000);
  });

  it("that come in time disarm the timeout", async () => {
    const wf = workflow("w", async (ctx) => {
      const got = await ctx.receive(note, { timeout: "10s", otherwise: "late" });
      await ctx.sleep("1 minute");
      return got;
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await handle.send(note, "in time");
    expect(await lab.time.run(handle.result())).toBe("in time");
    expect((await handle.history()).map(({ kind }) => kind)).toEqual(["started", "message_received", "timer_fired", "run_completed"]);
  });

  it("are still taken by a receive that lost a race", async () => {
    const wf = workflow("w", async (ctx) => {
      const lost = ctx.receive(note);
      const winner = await Promise.race([lost, ctx.sleep("1s").then(() => "timer")]);
      return { winner, next: await ctx.receive(note), lost: await lost };
    });
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.advance(5000);
    await handle.send(note, "first");
    await handle.send(note, "second");
    expect(await lab.time.run(handle.result())).toEqual({ winner: "timer", lost: "first", next: "second" });
  });

  it("sent with a start are there from the beginning, in order, once", async () => {
    const wf = workflow("w", async (ctx) => [
      await ctx.receive(note),
      await ctx.receive(note),
      await ctx.receive(note, { timeout: "1s", otherwise: "no more" }),
    ]);
    const engine = await lab.launch({ workflows: [wf] });
    const client = await lab.connect();
    const options = { send: [note.of("a"), note.of("b")] };
    const local = await engine.start(wf, undefined, { id: "local", ...options });
    // The same start again: the run is there, and its messages are not sent once more.
    await engine.start(wf, undefined, { id: "local", ...options });
    const remote = await client.start(wf, undefined, { id: "remote", ...options });
    expect(await lab.time.run(local.result())).toEqual(["a", "b", "no more"]);
    expect(await lab.time.run(remote.result())).toEqual(["a", "b", "no more"]);
  });

  it("with a key that was sent already change nothing", async () => {
    const wf = workflow("w", async (ctx) => [await ctx.receive(note), await ctx.receive(note, { timeout: "1s", otherwise: "no more" })]);
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    const other = await engine.start(wf);
    for (let i = 0; i < 3; i++) await handle.send(note, `try ${i}`, { key: "k" });
    await other.send(note, "another run", { key: "k" });
    expect(await lab.time.run(handle.result())).toEqual(["try 0", "no more"]);
    expect(await lab.time.run(other.result())).toEqual(["another run", "no more"]);
  });

  it("are parsed by their schema where they are sent", async () => {
    const amount = message("amount", { input: z.object({ cents: z.coerce.number().int() }) });
    const wf = workflow("w", (ctx) => ctx.receive(amount));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await expect(handle.send(amount, { cents: 1.5 })).rejects.toMatchObject({ code: "invalid_input" });
    await expect(engine.start(wf, undefined, { send: [amount.of({ cents: "x" })] })).rejects.toMatchObject({ code: "invalid_input" });
    await handle.send(amount, { cents: "12" });
    expect(await lab.time.run(handle.result())).toEqual({ cents: 12 });
  });

  it("to a run that has ended or never was: not_running, not_found", async () => {
    const wf = workflow("w", () => "done");
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await lab.time.run(handle.result());
    await expect(handle.send(note, "x")).rejects.toMatchObject({ code: "not_running", details: { id: handle.id } });
    await expect(handle.cancel()).rejects.toMatchObject({ code: "not_running" });
    const nobody = engine.get("nobody");
    for (const call of [
      () => nobody.send(note, "x"),
      () => nobody.cancel(),
      () => nobody.describe(),
      () => nobody.history(),
      () => nobody.resume(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: "not_found" });
    }
    await expect(lab.time.run(nobody.result())).rejects.toMatchObject({ code: "not_found" });
  });

  it("that were accepted and never received are told by describe", async () => {
    const wf = workflow("w", async (ctx) => void (await ctx.receive(stop)));
    const engine = await lab.launch({ workflows: [wf] });
    const handle = await engine.start(wf);
    await handle.send(note, "never");
    await handle.send(late, "read");
    expect((await handle.describe()).unreadMessages).toBe(2);
    await handle.send(stop, 1);
    await lab.time.run(handle.result());
    expect(await handle.describe()).toMatchObject({ status: "completed", unreadMessages: 2, waitingFor: [] });
  });

  it("accepted are delivered: none is lost to the commit that completes", async () => {
    // The run ends when it has done its steps and finds no message; senders fire all the while. It must not end over a message that was accepted before.
    const wf = workflow("w", async (ctx) => {
      let taken = 0;
      for (let i = 0; i < 3; i++) await ctx.step("work", () => new Promise<void>((resolve) => void setImmediate(resolve)));
      while ((await ctx.receive(note, { timeout: 0, otherwise: undefined })) !== undefined) taken++;
      return taken;
    });
    const engine = await lab.launch({ workflows: [wf] });
    const client = await lab.connect();
    const sum = { accepted: 0, refused: 0, taken: 0, unread: 0 };
    // Somewhat more rounds of the event loop than a run takes, which on a server are as many as it pleases.
    let spread = 40;
    for (let round = 0; round < 150; round++) {
      const handle = await engine.start(wf, undefined, { id: `r${round}` });
      const sends = [handle, client.get(handle.id), handle, client.get(handle.id)].map(async (target, index) => {
        const hops = (((round * 7 + index * 11) % 40) * spread) / 40;
        for (let hop = 0; hop < hops; hop++) await new Promise((resolve) => void setImmediate(resolve));
        await target.send(note, "m").then(
          () => sum.accepted++,
          (error: unknown) => {
            expect(error).toMatchObject({ code: "not_running" });
            sum.refused++;
          },
        );
      });
      let isOver = false;
      const counted = (async () => {
        let hops = 0;
        for (; !isOver; hops++) await new Promise((resolve) => void setImmediate(resolve));
        return hops;
      })();
      sum.taken += await lab.time.run(handle.result()).finally(() => (isOver = true));
      spread = Math.max(40, 1.3 * (await counted));
      await Promise.all(sends);
      sum.unread += (await handle.describe()).unreadMessages;
    }
    expect(sum).toMatchObject({ taken: sum.accepted, unread: 0 });
    // The test means nothing unless it met both sides of the race.
    expect(Math.min(sum.taken, sum.refused), JSON.stringify(sum)).toBeGreaterThan(20);
  });

  it("to a run whose end was refused for them are received, and steps in flight are not run again", async () => {
    let ran = 0;
    const wf = workflow("w", async (ctx) => {
      const got: string[] = [];
      const gather = async (): Promise<void> => {
        for (;;) got.push(await ctx.receive(note));
      };
      void gather().catch(() => undefined);
      await ctx.step("work", async () => {
        ran++;
        await new Promise((resolve) => void setImmediate(resolve));
      });
      return got;
    });
    const engine = await lab.launch({ workflows: [wf] });
    for (let round = 0; round < 60; round++) {
      ran = 0;
      const handle = await engine.start(wf);
      const sent: string[] = [];
      const send = async (): Promise<void> => {
        for (let i = 0; i < 10; i++) {
          await handle.send(note, `m${i}`);
          sent.push(`m${i}`);
        }
      };
      const sending = send().catch(() => undefined);
      const got = await lab.time.run(handle.result());
      await sending;
      expect(got).toEqual(sent);
      expect((await handle.describe()).unreadMessages).toBe(0);
      expect(ran).toBe(1);
    }
  });
});
