import type { LaunchOptions } from "../../api/client-types.js";
import { drawFaultRates, noFaults, type FaultRates } from "./faults.js";
import { drawMisfortunes, type Misfortune } from "./nemesis.js";
import type { Prng } from "./prng.js";
import { drawWorkload, type Workload } from "./workload.js";

/** Everything about a schedule that is decided before it begins. */
export interface ScheduleConfig {
  /** Processes that work; the clients of some live in them, those of others in processes of their own. */
  readonly workers: number;
  readonly clientProcesses: number;
  /** How long faults go on, in virtual ms. */
  readonly unsafeMs: number;
  readonly rates: FaultRates;
  readonly misfortunes: readonly Misfortune[];
  readonly clockErrorMs: number;
  /** How many commits of one process the store takes at once. */
  readonly appliesMax: number;
  /** By place: how wrong the clocks are. */
  readonly skewMs: readonly number[];
  readonly drift: readonly number[];
  /** Of every engine: small caches and few slots bring other paths to light. */
  readonly settings: Pick<LaunchOptions, "lease" | "warmRuns" | "concurrency">;
  /** By place of a worker: what it has. The first always has everything. */
  readonly abilities: readonly ("all" | "workflows" | "activities")[];
  /** Do payloads pass through an asynchronous codec? */
  readonly slowCodec: boolean;
  readonly workload: Workload;
}

export function drawConfig(prng: Prng): ScheduleConfig {
  const workers = prng.pick([1, 2, 2, 3, 3, 4]);
  const clientProcesses = prng.int(0, 2);
  const places = workers + clientProcesses;
  const unsafeMs = prng.logarithmic(1500, 25_000);
  const calm = prng.chance(0.1);
  const skewed = prng.chance(0.5);
  return {
    workers,
    clientProcesses,
    unsafeMs,
    rates: calm ? noFaults : drawFaultRates(prng.fork("rates")),
    misfortunes: calm ? [] : drawMisfortunes(prng.fork("misfortunes"), places, unsafeMs),
    clockErrorMs: prng.pick([0, 0, 5, 50]),
    appliesMax: prng.fork("applies").pick([1, 2, 3]),
    skewMs: Array.from({ length: places }, () => (skewed ? Math.round((prng.next() * 2 - 1) * 3_600_000) : 0)),
    drift: Array.from({ length: places }, () => (skewed ? (prng.next() * 2 - 1) * 0.002 : 0)),
    settings: {
      lease: prng.pick([500, 1000, 3000]),
      warmRuns: prng.pick([0, 1, 1000, 1000]),
      concurrency: { runs: prng.pick([1, 2, 1000, 1000]), activities: prng.pick([1, 2, 100, 100]) },
    },
    abilities: Array.from({ length: workers }, (_, index) =>
      index === 0 || prng.chance(0.8) ? "all" : prng.pick(["workflows", "activities"] as const),
    ),
    slowCodec: prng.chance(0.2),
    workload: drawWorkload(prng.fork("workload"), prng.int(1, 3)),
  };
}
