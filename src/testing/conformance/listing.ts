import assert from "node:assert/strict";
import type { RunRecord } from "../../backend/index.js";
import { expectStatus } from "./assertions.js";
import type { Checks } from "./lab.js";
import { completed, continued, idle, parked, sampleRun, turnOf } from "./samples.js";

const ids = (runs: readonly RunRecord[]): readonly string[] => runs.map(({ workflowId }) => workflowId);

export const listing: Checks = {
  async "runs are listed newest first, with the records that finding them gives"(lab) {
    assert.deepEqual(await lab.store.listRuns({ limit: 10 }), []);
    for (const workflowId of ["b", "a", "c"]) await lab.start({ workflowId });
    const listed = await lab.store.listRuns({ limit: 10 });
    assert.deepEqual(ids(listed), ["c", "a", "b"]);
    const found = await lab.store.findRuns(listed.map(({ runId }) => ({ runId })));
    assert.deepEqual(
      listed,
      found.map((outcome) => outcome?.run),
    );
    assert.deepEqual(ids(await lab.store.listRuns({ limit: 2 })), ["c", "a"]);
  },

  async "a listing goes on where a page ended, without gap or overlap"(lab) {
    const started: string[] = [];
    for (let count = 0; count < 25; count += 1) started.push((await lab.start({ name: count % 2 === 0 ? "even" : "odd" })).workflowId);
    for (const name of [undefined, "even"]) {
      const pages: string[] = [];
      let page = await lab.store.listRuns({ name, limit: 4 });
      while (page.length > 0) {
        pages.push(...ids(page));
        page = await lab.store.listRuns({ name, limit: 4, before: page.at(-1)?.key });
      }
      assert.deepEqual(pages, started.filter((_, index) => name === undefined || index % 2 === 0).toReversed());
    }
    assert.deepEqual(await lab.store.listRuns({ limit: 4, before: 0 }), []);
  },

  async "listings are narrowed by name and status, alone and together"(lab) {
    const worker = await lab.worker();
    await lab.drive(worker, { workflowId: "driven" });
    await lab.drive(worker, { workflowId: "sleeping", name: "other" }, { next: idle(1) });
    await lab.drive(worker, { workflowId: "parked" }, { next: parked(), events: [] });
    await lab.drive(worker, { workflowId: "done" }, { next: completed });
    await lab.drive(worker, { workflowId: "failed", name: "other" }, { next: { state: "ended", status: "failed" } });
    const list = async (options: { readonly name?: string; readonly status?: RunRecord["status"] }): Promise<readonly string[]> =>
      ids(await lab.store.listRuns({ ...options, limit: 10 }));
    assert.deepEqual(await list({ name: "other" }), ["failed", "sleeping"]);
    assert.deepEqual(await list({ status: "running" }), ["sleeping", "driven"]);
    assert.deepEqual(await list({ status: "parked" }), ["parked"]);
    assert.deepEqual(await list({ name: "order", status: "completed" }), ["done"]);
    assert.deepEqual(await list({ name: "order", status: "failed" }), []);
    assert.deepEqual(await list({ name: "Other" }), []);
  },

  async "the children of a run are listed by its run id, also those of a run that the store does not know"(lab) {
    const worker = await lab.worker();
    const parent = await lab.drive(worker, { workflowId: "parent" });
    const children = { parentRunId: parent.runId };
    const first = await lab.drive(worker, { workflowId: "first", ...children });
    await lab.start({ workflowId: "second", name: "other", ...children });
    await lab.drive(worker, { workflowId: "third", ...children }, { next: completed });
    await lab.start({ workflowId: "of another", parentRunId: "PARENT" });
    await lab.start({ workflowId: "of nobody" });
    const list = async (options: Partial<Parameters<typeof lab.store.listRuns>[0]>): Promise<readonly string[]> =>
      ids(await lab.store.listRuns({ limit: 10, ...options }));
    assert.deepEqual(await list(children), ["third", "second", "first"]);
    assert.deepEqual(await list({ ...children, limit: 2 }), ["third", "second"]);
    assert.deepEqual(await list({ ...children, before: first.key + 1 }), ["first"]);
    assert.deepEqual(await list({ ...children, status: "running" }), ["second", "first"]);
    assert.deepEqual(await list({ ...children, name: "other" }), ["second"]);
    assert.deepEqual(await list({ ...children, workflowIdPrefix: "t" }), ["third"]);
    assert.deepEqual(await list({ parentRunId: "PARENT" }), ["of another"]);
    assert.deepEqual(await list({ parentRunId: "none" }), []);
    assert.equal((await list({})).length, 6);
    assert.deepEqual([(await lab.look(first)).run.parentRunId, (await lab.look(parent)).run.parentRunId], [parent.runId, null]);
    const next = sampleRun({ workflowId: "first", runId: "next", ...children });
    expectStatus(await lab.do(turnOf(first, continued(next))), "committed");
    assert.deepEqual(await list(children), ["first", "third", "second", "first"]);
  },

  async "a prefix is taken literally"(lab) {
    const all = ["a%1", "a_1", "ab1", "A%1", "a\\1", "a'1", "ä1", "a", "\u{1F600}x", "[a]1", "a*1"];
    for (const workflowId of all) await lab.start({ workflowId });
    for (const workflowIdPrefix of ["", "a", "a%", "a_", "A", "a\\", "a'", "ä", "\u{1F600}", "[a]", "a*", "%", "a%1", "a%12"]) {
      const listed = ids(await lab.store.listRuns({ workflowIdPrefix, limit: 100 }));
      assert.deepEqual(listed, all.filter((id) => id.startsWith(workflowIdPrefix)).toReversed(), `prefix ${workflowIdPrefix}`);
    }
  },
};
