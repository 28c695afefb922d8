import type { Outcome, StartOperation } from "../backend/operations.js";
import type { Mail } from "./next-event.js";

/** A start whose first turn is made before it is stored, and whom to tell what became of it. One of the two is called, once. */
export interface Birth {
  readonly operation: (eager: StartOperation["eager"]) => StartOperation;
  readonly mail: readonly Mail[];
  readonly onBorn: (outcome: Outcome<StartOperation>) => void;
  /** The store failed, or the driver was dropped before it had anything to commit. */
  readonly onUnborn: (error: unknown) => void;
}
