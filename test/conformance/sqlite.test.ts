import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { sqlite } from "perdure/sqlite";
import { backendConformance } from "../../src/testing/conformance/index.js";
import { createTestRuntime } from "./test-runtime.js";

const temporaryFile = (): { readonly path: string; readonly dispose: () => Promise<void> } => {
  const folder = mkdtempSync(join(tmpdir(), "perdure-sqlite-"));
  return { path: join(folder, "store.db"), dispose: async () => rmSync(folder, { recursive: true, force: true }) };
};

backendConformance({
  name: "sqlite, on the system's clock",
  describe,
  it,
  create: async () => {
    const { path, dispose } = temporaryFile();
    return { backend: sqlite(path), dispose };
  },
  expectHints: true,
});

backendConformance({
  name: "sqlite, on a clock that is set by hand",
  describe,
  it,
  create: async () => {
    const { path, dispose } = temporaryFile();
    const { runtime, advance } = createTestRuntime();
    return { backend: sqlite(path, { synchronous: "normal" }), runtime, advance, dispose };
  },
});
