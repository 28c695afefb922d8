import type { ClaimedRun, RunKey } from "../backend/records.js";
import type { RunDriver } from "./run-driver.js";

/**
 * Idle runs that are kept in memory to save a replay, least recently used first to go. They own nothing: a warm run is as good as the store's only if
 * nobody else has claimed it since, which its epoch and last sequence number tell.
 */
export class RunCache {
  readonly #max: number;
  readonly #drivers = new Map<RunKey, RunDriver>();

  constructor(max: number) {
    this.#max = max;
  }

  put(driver: RunDriver): void {
    if (this.#max === 0) return;
    this.#drivers.set(driver.key, driver);
    if (this.#drivers.size <= this.#max) return;
    for (const oldest of this.#drivers.keys()) {
      this.#drivers.delete(oldest);
      break;
    }
  }

  /**
   * The warm driver of a run that was just claimed, if it still stands where the store does. Also one whose code was caught at something that is not durable
   * while nobody drove the run: a replay from the start would forget it, and this way the run is parked for it.
   */
  take(claimed: ClaimedRun): RunDriver | undefined {
    const driver = this.#drivers.get(claimed.key);
    if (driver === undefined) return undefined;
    this.#drivers.delete(claimed.key);
    return driver.epoch + 1 === claimed.epoch && driver.lastSeq === claimed.lastSeq ? driver : undefined;
  }

  clear(): void {
    this.#drivers.clear();
  }
}
