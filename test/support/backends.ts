import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "perdure";
import { sqlite } from "perdure/sqlite";
import { memoryOn } from "../../src/backends/memory/memory.js";
import { createMemoryState } from "../../src/backends/memory/state.js";

/** A place for data, of which engines may be opened, closed and opened again. */
export interface TestStore {
  readonly backend: Backend;
  /** Everything that is stored, as text: to look for what must not be there. */
  dump(): string;
  dispose(): Promise<void>;
}

export interface TestBackend {
  readonly name: string;
  create(): Promise<TestStore>;
}

const inMemory: TestBackend = {
  name: "memory",
  create: async () => {
    const state = createMemoryState();
    return { backend: memoryOn(state), dump: () => textOf(state), dispose: async () => undefined };
  },
};

const inSqlite: TestBackend = {
  name: "SQLite",
  create: async () => {
    const folder = mkdtempSync(join(tmpdir(), "perdure-e2e-"));
    return {
      // A power cut is not what these tests are about, and waiting for the disk is most of what they would do.
      backend: sqlite(join(folder, "a.db"), { synchronous: "normal" }),
      dump: () =>
        readdirSync(folder)
          .map((name) => readFileSync(join(folder, name), "latin1"))
          .join("\n"),
      dispose: async () => rmSync(folder, { recursive: true, force: true }),
    };
  },
};

export const backends: readonly TestBackend[] = [inMemory];

/** All strings and bytes that can be reached from a value. */
function textOf(value: unknown, seen = new Set<unknown>()): string {
  if (typeof value === "string") return `${value}\n`;
  if (value instanceof Uint8Array) return `${Buffer.from(value).toString("latin1")}\n`;
  if (typeof value !== "object" || value === null || seen.has(value)) return "";
  seen.add(value);
  const parts: Iterable<unknown> = value instanceof Map ? [...value].flat() : value instanceof Set ? value : Object.values(value);
  return [...parts].map((part) => textOf(part, seen)).join("");
}
