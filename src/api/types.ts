// Every public type, for the rooms that implement them: `import type { … } from "../api/types.js"`.
export type * from "./client-types.js";
export type * from "./context-types.js";
export type * from "./definition-types.js";
export type * from "./shape-types.js";
