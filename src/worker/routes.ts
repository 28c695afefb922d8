import { defaultQueue } from "../core/defaults.js";

/** By what workers claim: where somebody has to look for it. */
export interface Place {
  readonly name: string;
  readonly queue?: string | undefined;
  /** Only for runs that nobody but this version may drive. */
  readonly version?: string | null | undefined;
}

/** Of most, simply the name. The others are JSON, as is a name that would look like it. */
export function routeOf({ name, queue = defaultQueue, version = null }: Place): string {
  if (queue === defaultQueue && version === null && !name.startsWith("[")) return name;
  return JSON.stringify(version === null ? [queue, name] : [queue, name, version]);
}

/** Tasks of the engine's own, which every worker takes. */
export const errandName = "perdure:errand";
export const errandRoute = routeOf({ name: errandName, queue: "perdure" });
