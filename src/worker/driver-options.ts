import type { NextState } from "../backend/operations.js";
import type { RunMachine } from "../core/run-machine.js";
import type { DriverHost } from "./driver-host.js";
import type { EndingRun } from "./run-end.js";

/** How a driver is done with its run. `idle`: given up with a machine that may be kept warm. */
export type DriverEnd = "idle" | "ended" | "parked" | "dropped";

export interface DriverOptions {
  readonly host: DriverHost;
  readonly machine: RunMachine;
  /** What is needed to end the run, and to go on with another of its chain. */
  readonly run: EndingRun;
  readonly parkCount: number;
}

/** What becomes of a run that does not end. */
export type Next = Exclude<NextState, { readonly state: "ended" | "continued" }>;
