import { describe, it } from "vitest";
import { memory } from "perdure/memory";
import { backendConformance } from "../../src/testing/conformance/index.js";
import { createTestRuntime } from "./test-runtime.js";

backendConformance({
  name: "memory, on the system's clock",
  describe,
  it,
  create: async () => ({ backend: memory(), dispose: async () => {} }),
  expectHints: true,
});

backendConformance({
  name: "memory, on a clock that is set by hand",
  describe,
  it,
  create: async () => {
    const { runtime, advance } = createTestRuntime();
    return { backend: memory(), runtime, advance, dispose: async () => {} };
  },
  expectHints: true,
});
