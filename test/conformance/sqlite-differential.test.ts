import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sqlite } from "perdure/sqlite";
import { compareWithModel, everyKind } from "./differential.js";
import { createTestRuntime } from "./test-runtime.js";

test("the SQLite store agrees with the memory store on random programs", { timeout: 120_000 }, async () => {
  const create = async () => {
    const folder = mkdtempSync(join(tmpdir(), "perdure-differential-"));
    const { runtime, advance } = createTestRuntime();
    const backend = sqlite(join(folder, "store.db"), { synchronous: "normal" });
    return { backend, runtime, advance, dispose: async () => rmSync(folder, { recursive: true, force: true }) };
  };
  const seen = await compareWithModel({ create, programs: 120, seed: 1 });
  expect(everyKind.filter((kind) => !seen.has(kind))).toEqual([]);
});
