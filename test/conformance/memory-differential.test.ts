import { expect, test } from "vitest";
import { memory } from "perdure/memory";
import { compareWithModel } from "./differential.js";
import { createTestRuntime } from "./test-runtime.js";

/** What a differential test must have come across to mean anything. */
const statuses = [
  "started",
  "exists",
  "committed",
  "fenced",
  "unseen_inbox",
  "sent",
  "duplicate",
  "not_running",
  "not_found",
  "finished",
  "gone",
  "resumed",
  "not_parked",
  "claimed run",
  "claimed suspect",
  "claimed task",
  "reclaimed",
  "recovered",
  "retried",
];

test("the memory store agrees with itself, and the programs reach every outcome", async () => {
  const create = async () => {
    const { runtime, advance } = createTestRuntime();
    return { backend: memory(), runtime, advance, dispose: async () => {} };
  };
  const seen = await compareWithModel({ create, programs: 300, seed: 1 });
  expect(statuses.filter((status) => !seen.has(status))).toEqual([]);
});
