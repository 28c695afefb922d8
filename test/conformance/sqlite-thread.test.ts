import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type * as perdureSqlite from "perdure/sqlite";
import type * as perdureTesting from "../../src/testing/index.js";
import { systemRuntime } from "../../src/platform/runtime.js";
import { sampleRun, startOf } from "../../src/testing/conformance/samples.js";

// From dist: a thread loads compiled files, and both sides must be of one build.
const { sqlite } = (await import(`${process.cwd()}/dist/backends/sqlite/index.js`)) as typeof perdureSqlite;
const { backendConformance } = (await import(`${process.cwd()}/dist/testing/index.js`)) as typeof perdureTesting;

const temporaryFile = (): { readonly path: string; readonly dispose: () => Promise<void> } => {
  const folder = mkdtempSync(join(tmpdir(), "perdure-thread-"));
  return { path: join(folder, "store.db"), dispose: async () => rmSync(folder, { recursive: true, force: true }) };
};

backendConformance({
  name: "sqlite, in a thread",
  describe,
  it,
  create: async () => {
    const { path, dispose } = temporaryFile();
    return { backend: sqlite(path, { thread: true }), dispose };
  },
  expectHints: true,
});

describe("a store in a thread", () => {
  it("opens with the errors of the store itself", async () => {
    const backend = sqlite(join(tmpdir(), "no-such-folder", "store.db"), { thread: true });
    await expect(backend.open(systemRuntime())).rejects.toMatchObject({ name: "PerdureError", code: "backend_failed" });
  });

  it("refuses calls once it is closed", async () => {
    const { path, dispose } = temporaryFile();
    const store = await sqlite(path, { thread: true }).open(systemRuntime());
    await store.close();
    await expect(store.findRuns([{ workflowId: "a" }])).rejects.toMatchObject({ code: "closed" });
    await expect(store.applyWithin({}, [])).rejects.toMatchObject({ code: "closed" });
    await dispose();
  });

  it("takes part in a transaction of this thread", async () => {
    const { path, dispose } = temporaryFile();
    const store = await sqlite(path, { thread: true, driver: "libsql" }).open(systemRuntime());
    const Database = createRequire(import.meta.url)("libsql") as new (file: string) => { exec(sql: string): void; close(): void };
    const application = new Database(path);
    const start = startOf(sampleRun({ workflowId: "a" }));
    await expect(store.applyWithin(application, [start])).rejects.toMatchObject({ name: "PerdureError", code: "invalid_argument" });
    application.exec("BEGIN IMMEDIATE; CREATE TABLE customer_order (id TEXT)");
    const [started] = await store.applyWithin(application, [start]);
    expect([started.status, await store.findRuns([{ workflowId: "a" }])]).toEqual(["started", [null]]);
    application.exec("COMMIT");
    expect(await store.findRuns([{ workflowId: "a" }])).toMatchObject([{ run: { workflowId: "a" } }]);
    application.close();
    await store.close();
    await dispose();
  });
});
