import type { ParkReason } from "../backend/records.js";
import type { Divergence } from "../core/determinism.js";
import { isPerdureError } from "../errors.js";

/** Why runs are parked, and for how long: decisions as data, for those who commit them. */

export const divergedReason = ({ message, report }: Divergence): ParkReason => ({ code: "nondeterminism", message, report });

export const poisonedReason = (crashCount: number): ParkReason => ({
  code: "poisoned",
  message: `The run's process died ${crashCount} times in a row while it was driven, so it is not driven any more. Find out why (memory, process.exit, an endless loop), then resume it.`,
});

/** The reason for an error that is not the workflow's own. */
export function errorReason(error: unknown): ParkReason {
  const message = error instanceof Error ? error.message : String(error);
  if (isPerdureError(error, "undecodable") || isPerdureError(error, "history_too_long")) return { code: error.code, message };
  return { code: "internal", message, ...(error instanceof Error && error.stack !== undefined ? { report: error.stack } : {}) };
}

const restFirstMs = 5000;
const restMaxMs = 300_000;

/** When a parked run is tried again: after 5 s, doubled each time, at most 5 minutes. Never by itself if no other code can mend the cause. */
export function retryParkedAt(reason: ParkReason, parkCount: number, nowMs: number): number | null {
  if (reason.code === "poisoned" || reason.code === "history_too_long") return null;
  return nowMs + Math.min(restMaxMs, restFirstMs * 2 ** Math.min(parkCount, 10));
}
