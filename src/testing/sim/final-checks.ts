/** Checked when everything has come to rest: what the store holds, what clients were told and what bodies did, against each other. */
import type { MemoryState, RunRow } from "../../backends/memory/state.js";
import type { EndedStatus } from "../../backend/records.js";
import type { ValueCodec } from "../../codec/codec.js";
import { isTerminal, type TerminalEnvelope } from "../../core/events.js";
import { checkBodies } from "./check-bodies.js";
import { checkCalls } from "./check-calls.js";
import { checkChain } from "./check-chains.js";
import { checkFamily } from "./check-family.js";
import { checkShelf } from "./check-shelf.js";
import { replayCold, type Replayed } from "./cold-replay.js";
import type { ChainModel, RunModel } from "./models.js";
import type { Tally } from "./tally.js";
import type { Witness } from "./witness.js";
import { sameLine, textOf } from "./record-texts.js";

export interface FinalOptions {
  readonly state: MemoryState;
  readonly models: ReadonlyMap<number, RunModel>;
  readonly chains: ReadonlyMap<number, ChainModel>;
  readonly witness: Witness;
  readonly tally: Tally;
  readonly codec: ValueCodec;
  readonly settle: (callback: () => void) => void;
  readonly startMs: number;
  /** How far processes may be wrong about the store's time, in ms. */
  readonly toleranceMs: number;
}

/** A run at rest, from all sides. */
export interface RestingRun {
  readonly row: RunRow;
  readonly model: RunModel;
  readonly replayed: Replayed;
}

export async function checkAtRest(options: FinalOptions): Promise<void> {
  const { state, models, chains, codec, settle } = options;
  const resting = new Map<number, RestingRun>();
  for (const row of state.runs.values()) {
    const model = models.get(row.key);
    if (model === undefined) continue;
    checkHistory(options, row, model);
    const replayed = await replayCold(row, state.histories.get(row.key) ?? [], codec, settle);
    resting.set(row.key, { row, model, replayed });
    checkReplay(options, row, model, replayed);
    checkBodies(options, { row, model, replayed });
  }
  for (const chain of chains.values()) {
    checkChain(options, chain);
    checkShelf(options, chain, resting);
  }
  checkFamily(options);
  checkCalls(options, resting);
}

const statusAfter: Readonly<Record<TerminalEnvelope["kind"], EndedStatus>> = {
  run_completed: "completed",
  run_failed: "failed",
  run_terminated: "terminated",
  run_continued: "continued",
  run_cancelled: "cancelled",
};

function checkHistory({ state, witness }: FinalOptions, row: RunRow, model: RunModel): void {
  const history = state.histories.get(row.key) ?? [];
  if (history.length !== model.lines.length)
    witness.violate("I1", `run ${row.key} has ${history.length} lines of ${model.lines.length} that were committed`);
  for (const [index, line] of history.entries()) {
    const committed = model.lines[index];
    if (committed === undefined || !sameLine(line, committed))
      witness.violate("I1", `run ${row.key}: line ${line.seq} changed after it was committed`);
  }
  const [terminal, ...more] = model.envelopes.filter(isTerminal);
  if (terminal === undefined || more.length > 0)
    return witness.violate("I4", `run ${row.key} (${row.status}) has ${more.length + Number(terminal !== undefined)} terminal lines`);
  if (statusAfter[terminal.kind] !== row.status)
    witness.violate("I4", `run ${row.key} is ${row.status} and its last line says ${terminal.kind}`);
}

function checkReplay({ state, witness, codec }: FinalOptions, row: RunRow, { envelopes }: RunModel, { state: end }: Replayed): void {
  if (end.state === "diverged") return witness.violate("I14", `run ${row.key}: a cold replay differs: ${end.divergence.message}`);
  // Ended from outside, wherever its code stood, or in the place of a child that was never started.
  if (row.status === "terminated" || (row.status === "cancelled" && envelopes.length === 1)) return undefined;
  const last = envelopes.at(-1);
  const isRetry = last?.kind === "run_continued" && last.retry === true;
  if (end.state !== (isRetry ? "failed" : row.status))
    return witness.violate("I14", `run ${row.key} is ${row.status}, and a cold replay of it ends ${end.state}`);
  const stored = textOf(state.histories.get(row.key)?.at(-1)?.payload ?? null);
  switch (end.state) {
    case "completed":
      if (end.result !== stored) witness.violate("I14", `run ${row.key} gave ${stored}, and a cold replay of it ${end.result}`);
      return undefined;
    case "failed":
    case "cancelled": {
      const replayed = codec.encodeError(end.error);
      if (messageOf(codec, replayed) !== messageOf(codec, stored))
        witness.violate("I14", `run ${row.key} ended with ${stored}, and a cold replay of it with ${replayed}`);
      return undefined;
    }
    case "continued": {
      const follower = witness.accepted.find((item) => item.runKey === row.nextInChain?.key && item.kind === "start");
      if (follower?.payload !== end.input)
        witness.violate("I20", `run ${row.key} goes on with ${follower?.payload}, and a cold replay of it with ${end.input}`);
      return undefined;
    }
    default:
      return end satisfies never;
  }
}

const messageOf = (codec: ValueCodec, text: string | null): string => (text === null ? "" : codec.decodeError(text).message);
