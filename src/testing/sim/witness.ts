import type { SendOperation } from "../../backend/operations.js";
import { createEffectLog, type EffectLog } from "./effect-log.js";

/** A rule that was broken: which invariant, and what was seen. */
export interface Violation {
  readonly invariant: string;
  readonly message: string;
  readonly atMs: number;
}

/** A client's operation as the client saw it. */
export interface ClientCall {
  readonly client: string;
  readonly number: number;
  readonly type: "start" | "send" | "cancel" | "terminate" | "describe" | "list" | "result" | "update" | "read" | "stream";
  readonly workflowId: string;
  /** Sent value; unique. */
  readonly value: string | null;
  readonly key: string | null;
  /** Of a state, stream or update. */
  readonly name: string;
  readonly calledAt: number;
  /** Is the process that made it still there to be answered? */
  readonly isHeard: () => boolean;
  /** `open`: it never returned, because its process died or the schedule ended. */
  outcome: "open" | "ok" | "error";
  returnedAt: number | null;
  code: string | null;
  answer: string | null;
  /** What a stream's reader saw, in order. */
  readonly entries: { readonly offset: number; readonly from: number | null; readonly value: string | null }[];
}

/** An inbox item that the store accepted. */
export interface Accepted {
  /** The run that was the newest of its chain. */
  readonly runKey: number;
  readonly chain: number;
  readonly position: number;
  readonly kind: SendOperation["item"]["kind"];
  readonly name: string;
  readonly command: number | null;
  readonly payload: string | null;
  readonly options: string | null;
  readonly dedupeKey: string | null;
  readonly atMs: number;
  /** How many lines of history the run had then. */
  readonly linesThen: number;
}

/** Somebody outside finishes an activity by its token. */
export interface Finish {
  readonly value: string;
  readonly fails: boolean;
  readonly execution: number;
  outcome: "open" | "ok" | "refused";
  atMs: number;
}

/** A value that a committed turn published. */
export interface Published {
  readonly chain: number;
  readonly workflowId: string;
  readonly name: string;
  readonly payload: string;
  readonly atMs: number;
}

/** What is known about a schedule from outside of the store. */
export interface Witness {
  nowMs(): number;
  readonly effects: EffectLog;
  readonly calls: ClientCall[];
  readonly accepted: Accepted[];
  readonly finishes: Finish[];
  readonly published: Published[];
  readonly violations: Violation[];
  violate(invariant: string, message: string): void;
}

export function createWitness(nowMs: () => number): Witness {
  const violations: Violation[] = [];
  return {
    nowMs,
    effects: createEffectLog(),
    calls: [],
    accepted: [],
    finishes: [],
    published: [],
    violations,
    violate(invariant, message) {
      if (violations.length < 10) violations.push({ invariant, message, atMs: nowMs() });
    },
  };
}
