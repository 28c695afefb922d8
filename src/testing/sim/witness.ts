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
  readonly type: "start" | "send" | "cancel" | "describe" | "list" | "result";
  readonly workflowId: string;
  /** Sent value; unique. */
  readonly value: string | null;
  readonly key: string | null;
  readonly calledAt: number;
  /** `open`: it never returned, because its process died or the schedule ended. */
  outcome: "open" | "ok" | "error";
  returnedAt: number | null;
  code: string | null;
  answer: string | null;
}

/** An inbox item that the store accepted. */
export interface Accepted {
  readonly runKey: number;
  readonly position: number;
  readonly kind: SendOperation["item"]["kind"];
  readonly name: string;
  readonly payload: string | null;
  readonly dedupeKey: string | null;
  readonly atMs: number;
  /** How many lines of history the run had then. */
  readonly linesThen: number;
}

/** What is known about a schedule from outside of the store. */
export interface Witness {
  nowMs(): number;
  readonly effects: EffectLog;
  readonly calls: ClientCall[];
  readonly accepted: Accepted[];
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
    violations,
    violate(invariant, message) {
      if (violations.length < 10) violations.push({ invariant, message, atMs: nowMs() });
    },
  };
}
