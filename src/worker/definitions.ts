import type { AnyActivity, AnyWorkflow, Queue } from "../api/definition-types.js";
import { defaultQueue } from "../core/defaults.js";
import { PerdureError } from "../errors.js";
import { errandName, errandRoute, routeOf } from "./routes.js";
import { readRunOptions } from "./run-options.js";

/** What a worker can run, by name. Maps, not objects: a stored name like "__proto__" finds nothing. */
export interface Definitions {
  /** Where runs wait that this worker can drive. */
  readonly runRoutes: readonly string[];
  /** Where tasks wait that this worker can execute, its own included. */
  readonly taskRoutes: readonly string[];
  readonly activities: ReadonlyMap<string, AnyActivity>;
  /** The code for a run: the version that it is pinned to, or else the newest. */
  workflow(run: { readonly name: string; readonly version: string | null; readonly options: string | null }): AnyWorkflow | undefined;
}

/** @throws PerdureError `duplicate_definition`, `invalid_argument` */
export function definitionsOf(
  workflows: readonly AnyWorkflow[],
  activities: readonly AnyActivity[],
  queues: readonly Queue[] | undefined,
): Definitions {
  for (const workflow of workflows) checkDefinition(workflow, "workflow");
  for (const activity of activities) checkDefinition(activity, "activity");
  for (const queue of queues ?? []) checkQueue(queue);
  const versions = byVersion(workflows);
  const activitiesByName = byName(activities);
  const named = queues?.map(({ name }) => name);
  const runRoutes = workflows.flatMap(({ name, version = null, options }) =>
    // Also a workflow that is pinned now may have runs from before it was.
    servedBy(named, options.queue).flatMap((queue) => [
      routeOf({ name, queue }),
      ...(version === null ? [] : [routeOf({ name, queue, version })]),
    ]),
  );
  const taskRoutes = activities.flatMap(({ name, options }) => servedBy(named, options.queue).map((queue) => routeOf({ name, queue })));
  return {
    runRoutes: [...new Set(runRoutes)],
    taskRoutes: [...new Set(taskRoutes), errandRoute],
    activities: activitiesByName,
    workflow({ name, version, options }) {
      const ofName = versions.get(name);
      // Most runs have no options at all.
      return options !== null && readRunOptions(options).pinned === true ? ofName?.byVersion.get(version) : ofName?.newest;
    },
  };
}

/** Without a choice a worker serves the default queue, and those that its definitions name. */
const servedBy = (queues: readonly string[] | undefined, own: Queue | undefined): readonly string[] =>
  queues ?? (own === undefined ? [defaultQueue] : [defaultQueue, own.name]);

interface Versions {
  readonly byVersion: Map<string | null, AnyWorkflow>;
  newest: AnyWorkflow;
}

function byVersion(workflows: readonly AnyWorkflow[]): ReadonlyMap<string, Versions> {
  const map = new Map<string, Versions>();
  for (const workflow of workflows) {
    const { name, version = null } = workflow;
    let versions = map.get(name);
    if (versions === undefined) map.set(name, (versions = { byVersion: new Map(), newest: workflow }));
    if (versions.byVersion.has(version)) throw duplicate("workflow", name, version);
    versions.byVersion.set(version, workflow);
    versions.newest = workflow;
  }
  return map;
}

function byName(activities: readonly AnyActivity[]): ReadonlyMap<string, AnyActivity> {
  const map = new Map<string, AnyActivity>();
  for (const activity of activities) {
    const { name } = activity;
    if (name.startsWith(errandName))
      throw new PerdureError("invalid_argument", `The name "${name}" of an activity is taken by perdure itself. Choose another one.`);
    if (map.has(name)) throw duplicate("activity", name, null);
    map.set(name, activity);
  }
  return map;
}

function duplicate(kind: string, name: string, version: string | null): PerdureError {
  const which = version === null ? `the name "${name}"` : `the name "${name}" and the version "${version}"`;
  return new PerdureError(
    "duplicate_definition",
    `Two ${kind} definitions have ${which}. Runs find their code by it, so give each its own.`,
    { details: { name } },
  );
}

function checkDefinition(definition: AnyWorkflow | AnyActivity, kind: "workflow" | "activity"): void {
  if ((definition as Partial<AnyWorkflow> | undefined)?.kind === kind && typeof definition.run === "function") return;
  throw new PerdureError(
    "invalid_argument",
    `launch was given something else than ${kind} definitions among its ${kind === "workflow" ? "workflows" : "activities"}. Make them with ${kind}(name, run).`,
  );
}

function checkQueue(queue: Queue): void {
  if ((queue as Partial<Queue> | undefined)?.kind === "queue") return;
  throw new PerdureError("invalid_argument", "launch was given something else than queues among its queues. Make them with queue(name).");
}
