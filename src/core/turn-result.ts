import type { Command } from "./commands.js";
import type { Divergence } from "./determinism.js";

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly data: object | undefined;
}

export type TurnState =
  | { readonly state: "waiting" }
  | { readonly state: "completed"; readonly result: string }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "cancelled"; readonly error: unknown }
  | { readonly state: "continued"; readonly input: string; readonly version: string | undefined }
  | { readonly state: "diverged"; readonly divergence: Divergence };

/** The answer of an update, encoded. */
export interface UpdateAnswer {
  readonly id: string;
  /** `refused`: the validator did not let it in, and nothing about it is recorded. */
  readonly status: "completed" | "failed" | "refused";
  readonly text: string;
}

/** What a turn shows to the outside beside its commands, once it is committed. Nothing of it on replay. */
export interface TurnOutput {
  readonly logs: readonly LogLine[];
  readonly published: readonly { readonly name: string; readonly text: string }[];
  readonly chunks: readonly { readonly stream: string; readonly text: string }[];
  readonly attributes: readonly { readonly name: string; readonly value: string | null }[];
  readonly answers: readonly UpdateAnswer[];
}

export interface TurnResult extends TurnOutput {
  /** What this turn asked for, in order. */
  readonly commands: readonly Command[];
  /** Operations that this turn cancelled or no longer needs. */
  readonly withdrawn: readonly Command[];
  /** Operations that this turn asks to stop, and goes on waiting for. */
  readonly cancelled: readonly Command[];
  readonly outcome: TurnState;
}

const none: readonly never[] = [];

/** Collects the output of one turn. Lists are made when something is put into them: most turns say nothing. */
export class OutputCollector implements TurnOutput {
  logs: LogLine[] | readonly never[] = none;
  published: TurnOutput["published"][number][] | readonly never[] = none;
  chunks: TurnOutput["chunks"][number][] | readonly never[] = none;
  attributes: TurnOutput["attributes"][number][] | readonly never[] = none;
  answers: UpdateAnswer[] | readonly never[] = none;

  add<Kind extends keyof TurnOutput>(kind: Kind, item: TurnOutput[Kind][number]): void {
    const list = this[kind] as unknown[];
    if (list.length > 0) list.push(item);
    else (this as Record<Kind, unknown>)[kind] = [item];
  }
}

/** For turns without any. */
export const noOutput: TurnOutput = { logs: none, published: none, chunks: none, attributes: none, answers: none };
