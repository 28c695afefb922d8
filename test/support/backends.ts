import type { Backend } from "perdure";
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
