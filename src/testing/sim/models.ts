/** What the checkers know of runs and chains: built from nothing but what the store was asked and answered. */
import { nextStatuses, type HistoryRecord, type RunStatus } from "../../backend/records.js";
import type { CommandRecord, EventEnvelope } from "../../core/events.js";
import { ShelfModel } from "./shelf-model.js";
import type { VirtualProcess } from "./virtual-process.js";

/** What the runs of a chain share. */
export interface ChainModel {
  /** The key of its first run. */
  readonly key: number;
  inboxCount: number;
  readonly consumed: Set<number>;
  readonly shelf: ShelfModel;
  readonly runs: RunModel[];
}

export interface RunModel {
  readonly key: number;
  readonly runId: string;
  readonly workflowId: string;
  readonly chain: ChainModel;
  status: RunStatus;
  epoch: number;
  /** Who was given the current epoch; null if nobody. */
  holder: VirtualProcess | null;
  readonly lines: HistoryRecord[];
  readonly envelopes: EventEnvelope[];
  /** Commands whose outcome is recorded. */
  readonly settled: Set<number>;
  readonly dueOf: Map<number, number>;
  commandCount: number;
  readonly startedAtMs: number;
  /** When the checker learned of its end, on the witness's clock. */
  endedAtMs: number | null;
}

export const createChainModel = (key: number): ChainModel => ({
  key,
  inboxCount: 0,
  consumed: new Set(),
  shelf: new ShelfModel(),
  runs: [],
});

export function createRunModel(
  key: number,
  chain: ChainModel,
  { runId, workflowId }: { readonly runId: string; readonly workflowId: string },
  startedAtMs: number,
): RunModel {
  const model: RunModel = {
    key,
    runId,
    workflowId,
    chain,
    status: "running",
    epoch: 0,
    holder: null,
    lines: [],
    envelopes: [],
    settled: new Set(),
    dueOf: new Map(),
    commandCount: 0,
    startedAtMs,
    endedAtMs: null,
  };
  chain.runs.push(model);
  return model;
}

export const hasEnded = ({ status }: RunModel): boolean => nextStatuses[status].length === 0;

/** The commands of a run, by number less one. */
export const commandsIn = (model: RunModel): readonly CommandRecord[] =>
  model.envelopes.flatMap((envelope) => ("commands" in envelope ? envelope.commands : []));
