export type { Backend, Pulse, Store } from "./backend.js";
export { everything, hintOf, news, type Hint, type News } from "./news.js";
export { StoreFailure } from "./failures.js";
export type * from "./operations.js";
export type * from "./records.js";
export type * from "./transaction-source.js";
export { isOpen, nextStatuses } from "./records.js";
