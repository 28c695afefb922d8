import { expect, test } from "vitest";
import { memory } from "perdure/memory";
import { compareWithModel, everyKind } from "./differential.js";
import { createTestRuntime } from "./test-runtime.js";

test("the memory store agrees with itself, and the programs reach every outcome", { timeout: 60_000 }, async () => {
  const create = async () => {
    const { runtime, advance } = createTestRuntime();
    return { backend: memory(), runtime, advance, dispose: async () => {} };
  };
  const seen = await compareWithModel({ create, programs: 300, seed: 1 });
  expect(everyKind.filter((kind) => !seen.has(kind))).toEqual([]);
});
