// For tests of code that uses perdure, and of stores for it.

export { fakeContext, fakeStep } from "./fake-context.js";
export type { FakeCall, FakeContext, FakeContextOptions } from "./fake-context.js";
export { backendConformance } from "./conformance/index.js";
export type { ConformanceOptions, ConformanceTarget } from "./conformance/index.js";

/** The simulator that perdure itself is tested with: the real engine on virtual time and a simulated store. See `npm run sim`. */
export * as simulation from "./sim/index.js";
