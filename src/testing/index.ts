// For tests of code that uses perdure.

export { fakeContext, fakeStep } from "./fake-context.js";
export type { FakeCall, FakeContext, FakeContextOptions } from "./fake-context.js";
