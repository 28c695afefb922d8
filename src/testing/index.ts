// For tests of code that uses perdure, and of stores for it.

export { fakeContext, fakeStep } from "./fake-context.js";
export type { FakeCall, FakeContext, FakeContextOptions } from "./fake-context.js";
export { backendConformance } from "./conformance/index.js";
export type { ConformanceOptions, ConformanceTarget } from "./conformance/index.js";
export { replay, replayAll } from "./replay.js";
export type { ReplayOptions } from "./replay.js";
export { testEngine } from "./test-engine.js";
export type { TestEngine, TestEngineOptions } from "./test-engine.js";
export { crashEverywhere } from "./crash-everywhere.js";
export type { CrashReport } from "./crash-everywhere.js";
