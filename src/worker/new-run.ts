import type { WorkflowRef, AnyWorkflow } from "../api/definition-types.js";
import type { NewRun } from "../backend/records.js";
import { inputHash } from "../codec/input-hash.js";
import { engineVersion } from "../core/events.js";
import { routeOf } from "./routes.js";
import { writeRunOptions, type RunOptions } from "./run-options.js";

export interface RunOrder {
  readonly definition: Pick<WorkflowRef<any, any>, "name"> & Partial<Pick<AnyWorkflow, "version" | "options">>;
  readonly workflowId: string;
  readonly runId: string;
  /** The encoded input; null where it may not even be stored as a hash, because a codec chain hides it. */
  readonly visibleText: string | null;
  readonly deadlineAt: number | null;
  readonly options: RunOptions;
}

/** The record of a run that is to begin. */
export function newRunOf({ definition, workflowId, runId, visibleText, deadlineAt, options }: RunOrder): NewRun {
  const { name, version = null } = definition;
  const pinned = version !== null && definition.options?.versioning === "pinned";
  return {
    workflowId,
    runId,
    name,
    route: routeOf({ name, queue: options.queue, version: pinned ? version : null }),
    version,
    engineVersion,
    // A hash says something about its input: with a chain that hides payloads it is not stored, and a conflict is found by opening the stored one.
    inputHash: visibleText === null ? "" : inputHash(visibleText),
    deadlineAt,
    parentRunId: options.parent?.runId ?? null,
    options: writeRunOptions(pinned ? { ...options, pinned } : options),
  };
}
