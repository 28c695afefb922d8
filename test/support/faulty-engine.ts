import { afterEach, expect } from "vitest";
import type { Engine, LaunchOptions } from "perdure";
import { launchWith } from "../../src/api/launch.js";
import type { Store } from "../../src/backend/backend.js";
import type { Operation, TurnOperation } from "../../src/backend/operations.js";
import { memoryOn } from "../../src/backends/memory/memory.js";
import { createMemoryState, type MemoryState } from "../../src/backends/memory/state.js";
import type { Runtime } from "../../src/platform/runtime.js";
import { faultyBackend, type Faults } from "./faulty-backend.js";
import { virtualTime, type VirtualTime } from "./virtual-time.js";

export interface FaultyEngine {
  readonly time: VirtualTime;
  readonly state: MemoryState;
  readonly engine: Engine;
  /** The same data, seen undisturbed, as another process would. */
  readonly other: Store;
  /** What the engine warned of. */
  readonly warnings: string[];
}

export interface FaultyOptions extends Omit<LaunchOptions, "backend"> {
  readonly faults?: Faults;
  readonly runtime?: (runtime: Runtime) => Runtime;
}

const toClose: FaultyEngine[] = [];
afterEach(async () => {
  for (const { time, engine, other } of toClose.splice(0)) {
    await time.run(engine.close({ grace: 0 }));
    await other.close();
    expect(time.timers(), "timers left armed").toBe(0);
  }
});

/** An engine in memory and on virtual time, on the far side of a line that the test disturbs. Closed after the test. */
export async function openFaulty({ faults = {}, runtime = (same) => same, ...options }: FaultyOptions): Promise<FaultyEngine> {
  const time = virtualTime();
  const state = createMemoryState();
  const warnings: string[] = [];
  const ignore = (): void => undefined;
  const logger = {
    debug: ignore,
    info: ignore,
    warn: (text: string) => void warnings.push(text),
    error: (text: string) => void warnings.push(text),
  };
  const backend = faultyBackend(memoryOn(state), faults);
  const engine = await launchWith({ logger, ...options, backend }, runtime(time.runtime()));
  const other = await memoryOn(state).open(time.runtime());
  const one = { time, state, engine, other, warnings };
  toClose.push(one);
  return one;
}

/** A promise that the test settles. */
export function gate<T = void>(): { readonly open: (value: T) => void; readonly opened: Promise<T> } {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => void (open = resolve));
  return { open: (value) => open(value), opened };
}

/** The turn among the operations that leaves its run in this state. */
export const turnInto = (operations: readonly Operation[], state: TurnOperation["effects"]["next"]["state"]): TurnOperation | undefined =>
  operations.find((one): one is TurnOperation => one.type === "turn" && one.effects.next.state === state);

/** A message as another process sends it, of which this one hears nothing. */
export const sendFrom = (other: Store, workflowId: string, name: string, value: unknown): Promise<unknown> =>
  other.apply([
    {
      type: "send",
      target: { workflowId },
      item: { kind: "message", name, command: null, attempt: null, payload: JSON.stringify(value), options: null },
      dedupeKey: `${name}/${JSON.stringify(value)}`,
      claimFor: null,
    },
  ]);

/** Rejections that nobody handled while `work` ran: they would end a process. */
export async function unhandledDuring(work: () => Promise<void>): Promise<unknown[]> {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", note);
  try {
    await work();
    await new Promise((resolve) => void setImmediate(resolve));
  } finally {
    process.off("unhandledRejection", note);
  }
  return unhandled;
}
