export { backendConformance, type ConformanceOptions } from "./conformance.js";
export type { ConformanceTarget } from "./lab.js";
