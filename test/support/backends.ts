import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "perdure";
import { sqlite } from "perdure/sqlite";
import { memoryOn } from "../../src/backends/memory/memory.js";
import { createMemoryState } from "../../src/backends/memory/state.js";
import { inMariadb } from "./mariadb-backend.js";
import { inPostgres } from "./postgres-backend.js";
import { textOf } from "./text-of.js";
import type { VirtualTime } from "./virtual-time.js";

/** A place for data, of which engines may be opened, closed and opened again. */
export interface TestStore {
  readonly backend: Backend;
  /** Everything that is stored, as text: to look for what must not be there. */
  dump(): Promise<string>;
  dispose(): Promise<void>;
}

export interface TestBackend {
  readonly name: string;
  /** Called where tests are declared: has the server that they need, if any, started before the first of them and ended after the last. */
  declare(): void;
  /** Undefined if there is no such server to be had, which the reader was told loudly. */
  create(time: VirtualTime): Promise<TestStore | undefined>;
}

const inMemory: TestBackend = {
  name: "memory",
  declare: () => undefined,
  create: async () => {
    const state = createMemoryState();
    return { backend: memoryOn(state), dump: async () => textOf(state), dispose: async () => undefined };
  },
};

const inSqlite: TestBackend = {
  name: "SQLite",
  declare: () => undefined,
  create: async () => {
    const folder = mkdtempSync(join(tmpdir(), "perdure-e2e-"));
    return {
      // A power cut is not what these tests are about, and waiting for the disk is most of what they would do.
      backend: sqlite(join(folder, "a.db"), { synchronous: "normal" }),
      dump: async () =>
        readdirSync(folder)
          .map((name) => readFileSync(join(folder, name), "latin1"))
          .join("\n"),
      dispose: async () => rmSync(folder, { recursive: true, force: true }),
    };
  },
};

export const backends: readonly TestBackend[] = [inMemory, inSqlite, inPostgres, inMariadb];
