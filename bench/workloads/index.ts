import type { Workload } from "../workload.js";
import { activityFanOut } from "./activity-fan-out.js";
import { activityQueue } from "./activity-queue.js";
import { crash } from "./crash.js";
import { emptyWorkflow } from "./empty-workflow.js";
import { fanOut } from "./fan-out.js";
import { fourProcesses } from "./four-processes.js";
import { longRun } from "./long-run.js";
import { messages } from "./messages.js";
import { sleepers } from "./sleepers.js";
import { streams } from "./streams.js";
import { takeover } from "./takeover.js";
import { tenSteps } from "./ten-steps.js";
import { timers } from "./timers.js";
import { updates } from "./updates.js";

/** In the order in which they run. */
export const workloads: readonly Workload[] = [
  emptyWorkflow,
  tenSteps,
  fanOut,
  sleepers,
  longRun,
  messages,
  crash,
  takeover,
  activityQueue,
  activityFanOut,
  updates,
  streams,
  timers,
  fourProcesses,
];

export function findWorkload(name: string): Workload {
  const found = workloads.find((workload) => workload.name.toLowerCase() === name.toLowerCase());
  if (found === undefined) throw new Error(`there is no workload "${name}"`);
  return found;
}
