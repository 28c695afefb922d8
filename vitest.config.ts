import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests that run in this process see the sources; only tests that start processes use the built package.
    alias: [
      { find: /^perdure$/, replacement: source("index.ts") },
      { find: /^perdure\/sqlite$/, replacement: source("backends/sqlite/index.ts") },
      { find: /^perdure\/postgres$/, replacement: source("backends/postgres/index.ts") },
      { find: /^perdure\/mysql$/, replacement: source("backends/mysql/index.ts") },
      { find: /^perdure\/memory$/, replacement: source("backends/memory/index.ts") },
      { find: /^perdure\/backend$/, replacement: source("backend/index.ts") },
      { find: /^perdure\/testing$/, replacement: source("testing/index.ts") },
    ],
  },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["./scripts/vitest-setup.mjs"],
    // Processes rather than threads: native SQLite drivers and process-wide guards stay apart, and a crash is one file's failure.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    unstubGlobals: true,
    restoreMocks: true,
    typecheck: {
      enabled: true,
      checker: fileURLToPath(new URL("node_modules/typescript/bin/tsc", import.meta.url)),
      include: ["test/types/**/*.test-d.ts"],
      tsconfig: "./tsconfig.json",
      ignoreSourceErrors: true,
    },
  },
});
