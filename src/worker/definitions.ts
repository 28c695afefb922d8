import type { AnyActivity, AnyWorkflow } from "../api/definition-types.js";
import { PerdureError } from "../errors.js";

/** What a worker can run, by name. Maps, not objects: a stored name like "__proto__" finds nothing. */
export interface Definitions {
  readonly workflows: ReadonlyMap<string, AnyWorkflow>;
  readonly activities: ReadonlyMap<string, AnyActivity>;
}

/** @throws PerdureError `duplicate_definition`, `invalid_argument` */
export function definitionsOf(workflows: readonly AnyWorkflow[], activities: readonly AnyActivity[]): Definitions {
  return { workflows: byName(workflows, "workflow"), activities: byName(activities, "activity") };
}

function byName<D extends { readonly kind: string; readonly name: string; readonly run: unknown }>(
  definitions: readonly D[],
  kind: D["kind"],
): ReadonlyMap<string, D> {
  const map = new Map<string, D>();
  for (const definition of definitions) {
    if ((definition as Partial<D> | undefined)?.kind !== kind || typeof definition.run !== "function") {
      throw new PerdureError(
        "invalid_argument",
        `launch was given something else than ${kind} definitions among its ${kind === "workflow" ? "workflows" : "activities"}. Make them with ${kind}(name, run).`,
      );
    }
    if (map.has(definition.name)) {
      throw new PerdureError(
        "duplicate_definition",
        `Two ${kind} definitions have the name "${definition.name}". Runs find their code by name, so give each its own.`,
        { details: { name: definition.name } },
      );
    }
    map.set(definition.name, definition);
  }
  return map;
}
