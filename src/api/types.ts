// Every public type, for the rooms that implement them: `import type { … } from "../api/types.js"`.
export type * from "./client-types.js";
export type * from "./context-types.js";
export type * from "./definition-types.js";
export type * from "./shape-types.js";
export type { Duration, DurationUnit } from "../core/duration.js";
export type { RetryPolicy } from "../core/retry.js";
