import assert from "node:assert/strict";
import type { Hint } from "../../backend/index.js";
import type { Checks } from "./lab.js";
import { afterTurn, appendOf, chunkOf, completed, driving, sendOf, taskOf, terminateOf, turnOf } from "./samples.js";

/** Hints may be lost, so most of what can be asked of them is that they do no harm. */
export const hints = ({ areExpected }: { readonly areExpected: boolean }): Checks => ({
  async "nobody is called any more after stopping, or after closing"(lab) {
    const [stopped, closed] = [await lab.open(), await lab.open()];
    let calls = 0;
    const subscription = stopped.onHint(() => (calls += 1));
    subscription.stop();
    subscription.stop();
    closed.onHint(() => (calls += 1));
    await closed.close();
    const witness = await lab.open();
    await lab.start();
    await lab.claimOnly(await lab.worker({ store: witness }));
    await lab.until(lab.store.now() + 50);
    assert.equal(calls, 0);
  },

  async "stopping one subscription leaves the others"(lab) {
    const second = await lab.open();
    let isCalled = false;
    second.onHint(() => assert.fail("called after it was stopped")).stop();
    second.onHint(() => (isCalled = true));
    await lab.start();
    if (areExpected) await lab.eventually("the hint", async () => isCalled);
    assert.equal((await second.listRuns({ limit: 1 })).length, 1);
  },

  ...(areExpected && subjects),
  ...(areExpected && {
    async "another process hears of new work and of the end of a run"(lab) {
      const second = await lab.open();
      let calls = 0;
      second.onHint(() => (calls += 1));
      const worker = await lab.worker();
      const run = await lab.start();
      await lab.eventually("a hint of the start", async () => calls > 0);
      const claimed = await lab.claimOnly(worker);
      await lab.until(lab.store.now() + 50);
      calls = 0;
      await lab.do(turnOf(claimed, completed));
      await lab.eventually("a hint of the end", async () => calls > 0);
      assert.equal((await second.findRuns([run]))[0]?.run.status, "completed");
    },

    async "another process hears of what is appended or published, of tasks that expire, and of an end by force"(lab) {
      const second = await lab.open();
      let calls = 0;
      second.onHint(() => (calls += 1));
      const worker = await lab.worker();
      const run = await lab.drive(worker, {}, { tasks: [taskOf(1, { expiresAt: 1 })] });
      const works: Readonly<Record<string, () => Promise<unknown>>> = {
        "a chunk": () => lab.do(appendOf({ run: run.key, epoch: run.epoch }, [chunkOf("1", 1, "a")])),
        "an entry": () => lab.do(turnOf(run, driving, { entries: [{ name: "e", payload: "1" }] })),
        "an expired task": () => lab.store.expireTasks(),
        "an end by force": () => lab.do(terminateOf({ runId: run.runId })),
      };
      for (const [what, work] of Object.entries(works)) {
        await lab.until(lab.store.now() + 50);
        calls = 0;
        await work();
        await lab.eventually(`a hint of ${what}`, async () => calls > 0);
      }
    },
  }),
});

/** What stores that can tell their hints apart say of each. */
const subjects: Checks = {
  async "a hint says what it is about, or that it may be about anything"(lab) {
    const second = await lab.open();
    const heard: Hint[] = [];
    const worker = await lab.worker();
    const run = await lab.drive(worker);
    const driven = afterTurn(run, turnOf(run, driving), { inboxCount: 0 });
    const works: readonly (readonly [what: string, about: keyof Hint, work: () => Promise<unknown>])[] = [
      ["a run to be claimed", "runs", () => lab.start()],
      ["a task", "tasks", () => lab.do(turnOf(run, driving, { tasks: [taskOf(1)] }))],
      ["what is sent to a run of another process", "mail", () => lab.do(sendOf(run, "k"), second)],
      ["a chunk", "shown", () => lab.do(appendOf({ run: run.key, epoch: run.epoch }, [chunkOf("1", 1, "a")]))],
      ["an end", "ends", () => lab.do(turnOf(driven, completed, { inboxSeen: 1 }))],
    ];
    for (const store of [lab.store, second]) store.onHint((hint) => heard.push(hint));
    for (const [what, about, work] of works) {
      await lab.until(lab.store.now() + 50);
      heard.length = 0;
      await work();
      await lab.eventually(`a hint of ${what}`, async () => heard.some((hint) => hint[about]));
    }
  },
};
